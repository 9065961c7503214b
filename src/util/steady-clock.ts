import type { Clock } from './clock.ts';

/** How much faster or slower than time passes a steady clock goes at most, on its way back to the wall clock. */
const slewMax = 0.1;

/**
 * The clock, but its `now` never steps: where the machine's clock is set, it goes on as time passes and comes back to the
 * wall clock by going up to a tenth faster or slower. What is stamped with it can be used to measure by whoever goes on
 * with the same clock; in another process a stamp may still lie ahead of it or far behind. `aheadMs`: how far ahead of the
 * wall clock it begins.
 */
export function steadyClock(clock: Clock, aheadMs = 0): Clock {
  let time = clock.now() + aheadMs;
  let readAt = clock.monotonic();
  const now = (): number => {
    const passedMs = clock.monotonic() - readAt;
    const behindMs = clock.now() - (time + passedMs);
    const slewMs = Math.max(-passedMs * slewMax, Math.min(passedMs * slewMax, behindMs));
    time += passedMs + slewMs;
    readAt += passedMs;
    return Math.floor(time);
  };
  return {
    now,
    monotonic: () => clock.monotonic(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    after: (ms, callback) => clock.after(ms, callback),
  };
}

/**
 * Whether `delayMs` have passed since a stored time. One that lies further ahead than the delay itself comes from a clock
 * that was set back in the meantime: then it counts as due, and nothing waits much longer than twice its delay.
 */
export function hasPassed(sinceMs: number, delayMs: number, nowMs: number): boolean {
  const passedMs = nowMs - sinceMs;
  return passedMs >= delayMs || passedMs < -delayMs;
}
