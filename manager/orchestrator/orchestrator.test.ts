import { expect, test } from 'vitest';
import type { Task } from '../../src/spec/task.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { seededRandom, systemRandom } from '../../src/util/random.ts';
import { plainService, World } from '../../test/simulation/world.ts';
import { createOrchestrator } from './orchestrator.ts';

test('the loops fill a service, start what is due without any change to wake them, and remove all when told', async () => {
  const world = await World.open(seededRandom(1));
  const { database } = world;
  const orchestrator = createOrchestrator({
    database,
    clock: systemClock,
    random: systemRandom,
    log: silentLogger,
  });
  const until = async (holds: (tasks: Task[]) => boolean) => {
    while (!holds([...database.view.tasks.values()])) await systemClock.sleep(5);
  };
  orchestrator.start();
  try {
    const spec = plainService('web', { mode: { kind: 'replicated', replicas: 2 } });
    spec.task.restart = { ...spec.task.restart, delayMs: 50 };
    await world.apply(spec);
    await until((tasks) => tasks.length === 2);
    const node = await world.addNode('n1');
    const first = [...database.view.tasks.values()].find((task) => task.slot === 1)!;
    const status = { state: 'failed', at: systemClock.now(), message: '' } as const;
    await world.write([{ kind: 'task', action: 'update', object: { ...first, nodeId: node.id, status } }]);
    await until((tasks) => tasks.some((task) => task.slot === 1 && task.startAfter !== undefined));
    await until((tasks) => tasks.filter((task) => task.desiredState === 'running').length === 2);
    await world.remove('web');
    await until((tasks) => tasks.length === 0 && database.view.services.size === 0);
  } finally {
    await orchestrator.stop();
  }
  await world.apply(plainService('late'));
  await systemClock.sleep(50);
  expect(database.view.tasks.size).toBe(0);
  await database.close();
});
