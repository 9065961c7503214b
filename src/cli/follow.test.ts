import { expect, test } from 'vitest';
import {
  contextOf,
  shownApplication,
  shownStatus,
  shownTask,
  shownWish,
  watchLineOf,
} from '../../test/cli-samples.ts';
import { systemClock } from '../util/clock.ts';
import type { ApplicationStatus } from '../wire/api.ts';
import type { Client } from '../wire/client.ts';
import type { Context } from './command.ts';
import { settleMs } from './convergence.ts';
import { assess } from './verdict.ts';
import { follow } from './follow.ts';

/** A context whose manager answers every watch with this status. */
function watching(status: ApplicationStatus): Context {
  const client = {
    host: 'unix:///test',
    stream: async function* (_path: string, signal: AbortSignal) {
      yield watchLineOf(status);
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    },
  } as unknown as Client;
  return contextOf(client, '/').context;
}

test('what is not reached in time is named, with what it waits for', async () => {
  const message = 'no suitable node: drained on 2 nodes';
  const tasks = [shownTask(1), shownTask(2, { state: 'pending', message })];
  const status = shownApplication([shownStatus({ running: 1, converged: false, tasks })]);
  const options = { application: 'shop', fromRevision: 0, timeoutMs: 200, quiet: true, until: () => false };
  await expect(follow(watching(status), options)).rejects.toMatchObject({
    code: 'deadline_exceeded',
    message: `shop did not converge within 0.2 s:\n  shop_web: 1/2 running; ${message}`,
  });
});

const hourMs = 3_600_000;

test.each([hourMs, -hourMs])(
  'an application is found up in time though the manager has its clock %i ms off this machine',
  async (offMs) => {
    const now = systemClock.now() + offMs;
    const startedAt = now - settleMs + 200;
    const tasks = [1, 2].map((slot) => shownTask(slot, { at: startedAt, startedAt }));
    const status = { ...shownApplication([shownStatus({ tasks })]), now };
    const followed = systemClock.monotonic();
    const options = { application: 'shop', fromRevision: 0, timeoutMs: 5_000, quiet: true };
    await follow(watching(status), {
      ...options,
      until: (latest, time) => assess(latest, time, shownWish()).done,
    });
    expect(systemClock.monotonic() - followed).toBeGreaterThan(200 - 20);
  },
);
