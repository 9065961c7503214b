import { describe, expect, it } from 'vitest';
import { load } from './fixtures.ts';

/** The spec of a service with this `deploy`. */
async function specOf(deploy: string, more = '') {
  const text = `services: { sums: { image: a, deploy: ${deploy}${more} } }`;
  return (await load(text)).application.services[0]!;
}

describe('a job', () => {
  it('is a service whose programs are not begun again once they have ended well', async () => {
    const { mode, task } = await specOf('{ mode: replicated-job, replicas: 3 }');
    expect(mode).toEqual({ kind: 'replicated', replicas: 3 });
    expect(task.restart).toMatchObject({ condition: 'on-failure', maxAttempts: 0 });
    expect((await specOf('{ mode: global-job }')).mode).toEqual({ kind: 'global' });
  });

  it('keeps what is said of its restarts', async () => {
    const once = await specOf('{ mode: global-job, restart_policy: { condition: none } }');
    expect(once.task.restart.condition).toBe('none');
    const thrice = await specOf('{ mode: replicated-job, restart_policy: { max_attempts: 3 } }');
    expect(thrice.task.restart).toMatchObject({ condition: 'on-failure', maxAttempts: 3 });
    expect((await specOf('{ mode: replicated-job }', ', restart: "no"')).task.restart.condition).toBe('none');
  });

  it('that changes runs anew as a whole, whatever fails', async () => {
    const { update, rollback } = await specOf('{ mode: replicated-job, replicas: 3 }');
    expect(update).toMatchObject({ parallelism: 0, failureAction: 'continue' });
    expect(rollback).toEqual(update);
  });
});
