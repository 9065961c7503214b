import { nodeSilenceMs } from '../../src/spec/defaults.ts';

/**
 * The wait before another attempt is between nothing and `min`, doubling up to `max`, or to `maxUnopened` while nobody
 * answers at all: a manager that is back counts silence from its start, so its agents must be back well within that.
 */
const backoffMs = { min: 100, max: 8_000, maxUnopened: nodeSilenceMs / 3 } as const;
/** A session that ends earlier was none: two hosts with one certificate end each other's as soon as they have begun. */
export const goodSessionMs = 10_000;

/** What came of one attempt to have a session. */
export interface Attempt {
  /** It got as far as a connection. */
  opened: boolean;
  /** What the manager told was taken in, and the kernel matched it. */
  applied: boolean;
  livedMs: number;
}

/** How many attempts in a row have failed, after this one. Only one that was of use begins the count anew. */
export function failuresAfter(failures: number, { applied, livedMs }: Attempt): number {
  return applied && livedMs >= goodSessionMs ? 0 : failures + 1;
}

/** The wait is to be drawn from between nothing and this. The first attempt after a good session is made at once. */
export function waitCeilingMs(failures: number, { opened }: Attempt): number {
  if (failures === 0) return 0;
  const max = opened ? backoffMs.max : backoffMs.maxUnopened;
  return Math.min(max, backoffMs.min * 2 ** Math.min(failures - 1, 20));
}

/** A manager of several that does not take the connection within this is passed over for the next one; at first. */
const connectMsMin = 750;

/** How long TLS with one of so many managers may take to stand, after so many failures; at most `max`. */
export function connectLimitMs(failures: number, managers: number, max: number): number {
  return managers < 2 ? max : Math.min(max, connectMsMin * 2 ** Math.min(failures, 20));
}
