import type { IncomingMessage } from 'node:http';
import { ShoalError } from '../util/errors.ts';

/** What a request asks for; which host it names is of no meaning. Throws `invalid_argument` for what is no path, such as `//`. */
export function urlOf(request: IncomingMessage): URL {
  const target = request.url ?? '/';
  // Two slashes would begin a host, and a path in front of another.
  const url = target.startsWith('//') ? null : URL.parse(target, 'http://shoal');
  if (url !== null) return url;
  throw new ShoalError('invalid_argument', 'Cannot read the request: its path is malformed', {
    next: 'Ask for a path that begins with one slash.',
  });
}
