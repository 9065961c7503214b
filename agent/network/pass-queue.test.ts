import { expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import type { NetworkAssignments } from './network.ts';
import { PassQueue, type Pending, type Request } from './pass-queue.ts';

const assignments: NetworkAssignments = {
  networks: new Map(),
  peers: new Map(),
  services: new Map(),
  endpoints: new Map(),
};
const apply: Request = { kind: 'apply', assignments };

function queueOf(work: { apply?: () => Promise<void> } = {}) {
  const passes: string[] = [];
  const queue = new PassQueue(
    {
      apply: async () => {
        passes.push('apply');
        await work.apply?.();
      },
      changeTasks: (pass: Pending[]) => {
        passes.push(pass.map(({ request }) => request.kind).join(' '));
        for (const { resolve } of pass) resolve();
        return Promise.resolve();
      },
      check: (all) => Promise.resolve(void passes.push(all ? 'check all' : 'check')),
      purge: () => Promise.resolve(void passes.push('purge')),
    },
    systemClock,
  );
  return { queue, passes };
}

test('what is asked for in the very moment that a pass ends is done', async () => {
  const { queue, passes } = queueOf();
  for (let round = 0; round < 3; round++) await queue.enqueue(apply);
  // At every distance from the end of a pass, counted in turns of the queue of promises.
  for (let turns = 0; turns < 12; turns++) {
    let later: Promise<void> | undefined;
    const first = queue.enqueue(apply);
    let wait = Promise.resolve();
    for (let turn = 0; turn < turns; turn++) wait = wait.then(() => undefined);
    await wait.then(() => (later = queue.enqueue(apply)));
    await Promise.all([first, later]);
  }
  expect(passes.length).toBeGreaterThanOrEqual(15);
});

test('a pass that fails rejects what asked for it, and the next one runs', async () => {
  let failures = 1;
  const { queue } = queueOf({
    apply: () => (failures-- > 0 ? Promise.reject(new Error('no kernel')) : Promise.resolve()),
  });
  await expect(queue.enqueue(apply)).rejects.toThrow('no kernel');
  await queue.enqueue(apply);
});

test('of several assignments or checks one pass is made, and kinds keep their order', async () => {
  const { queue, passes } = queueOf();
  const detach: Request = { kind: 'detach', taskId: 'a' };
  await Promise.all([
    queue.enqueue(apply),
    queue.enqueue(apply),
    queue.enqueue({ kind: 'check', all: true }),
    queue.enqueue({ kind: 'check', all: false }),
    queue.enqueue(detach),
    queue.enqueue({ kind: 'detach', taskId: 'b' }),
    queue.enqueue(detach),
    queue.enqueue({ kind: 'purge' }),
    queue.enqueue({ kind: 'purge' }),
  ]);
  expect(passes).toEqual(['apply', 'check all', 'detach detach', 'detach', 'purge', 'purge']);
});

test('assignments that come among attaches share one pass, in which the last one counts; a detach keeps its place', async () => {
  const { queue, passes } = queueOf();
  const attach = (taskId: string): Request => ({
    kind: 'attach',
    task: { taskId, serviceId: 's', attachments: [], hostPorts: [] },
  });
  await Promise.all([
    queue.enqueue(apply),
    queue.enqueue(attach('a')),
    queue.enqueue(apply),
    queue.enqueue(attach('b')),
    queue.enqueue({ kind: 'detach', taskId: 'c' }),
    queue.enqueue(apply),
  ]);
  expect(passes).toEqual(['apply', 'attach attach detach', 'apply']);
});
