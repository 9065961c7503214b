import { constants } from 'node:os';
import { ShoalError } from '../../src/util/errors.ts';

/** `SIGTERM`, `TERM`, `15` or `RTMIN+3` as a signal number; throws `invalid_argument`. */
export function signalNumber(text: string): number {
  const name = text.trim().toUpperCase();
  if (/^\d{1,2}$/.test(name) && Number(name) >= 1 && Number(name) <= 64) return Number(name);
  const bare = name.startsWith('SIG') ? name.slice(3) : name;
  const known = (constants.signals as Record<string, number>)[`SIG${bare}`];
  if (known !== undefined) return known;
  const realTime = /^RTMIN\+(\d{1,2})$/.exec(bare);
  if (realTime && Number(realTime[1]) <= 30) return 34 + Number(realTime[1]);
  throw new ShoalError('invalid_argument', `Cannot use ${JSON.stringify(text)} as a stop signal`, {
    next: 'Write a signal such as SIGTERM or 15.',
  });
}
