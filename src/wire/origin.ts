import type { IncomingHttpHeaders } from 'node:http';
import { ShoalError } from '../util/errors.ts';

/**
 * Browsers name the page that a request comes from, by headers that no page can leave out or forge (Fetch, section 3.2; Fetch Metadata
 * Request Headers). The API is not for pages: whoever has one open must not lend it their rights. Throws `permission_denied`.
 */
export function refusePages(headers: IncomingHttpHeaders): void {
  if (headers.origin === undefined && headers['sec-fetch-site'] === undefined) return;
  throw new ShoalError('permission_denied', 'Cannot use the API from a web page', {
    next: 'Use the shoal command, or send requests without the headers Origin and Sec-Fetch-Site.',
  });
}
