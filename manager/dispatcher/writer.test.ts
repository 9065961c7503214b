import { expect, test, vi } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { silentLogger } from '../../src/util/log.ts';
import { sampleService, sampleTask } from '../../test/samples.ts';
import { openDatabase } from '../store/database.ts';
import { createMemoryStore } from '../store/memory.ts';
import { StatusWriter, waitingReportsMax } from './writer.ts';

const taskId = 'web-1';

/** A writer of a store with one running task, whose disk takes nothing while `fault` is set. */
async function startWriter() {
  const world = { fault: undefined as Error | undefined };
  const store = createMemoryStore();
  const transact = store.transact.bind(store);
  store.transact = (transaction) =>
    world.fault === undefined ? transact(transaction) : Promise.reject(world.fault);
  const database = await openDatabase(store, systemClock);
  const status = { state: 'running' as const, at: 1, message: '' };
  const task = sampleTask(sampleService('web'), 1, { nodeId: 'n', status });
  await database.write([[{ kind: 'task', action: 'create', object: task }]]);
  const writer = new StatusWriter(database, systemClock, silentLogger);
  writer.start();
  const answers: string[] = [];
  const tell = (batch: number, nodeId = 'n') =>
    writer.push(nodeId, [{ nodeId: 'n', taskId, status: { state: 'failed', at: 2, message: 'it ended' } }], {
      acknowledge: () => answers.push(`acknowledged ${batch}`),
      decline: () => answers.push(`declined ${batch}`),
    });
  const stop = async () => {
    await writer.stop();
    await database.close();
    await store.close();
  };
  const state = () => database.view.tasks.get(taskId)?.status.state;
  return { world, writer, answers, tell, state, [Symbol.asyncDispose]: stop };
}

for (const code of ['no_space', 'unavailable'] as const) {
  test(`what cannot be written (${code}) is not acknowledged, and is written once it can be`, async () => {
    await using it = await startWriter();
    it.world.fault = new ShoalError(code, 'Cannot write');
    it.tell(1);
    it.tell(2); // waits for its turn
    await vi.waitFor(() => expect(it.answers).toEqual(['declined 1', 'declined 2']));
    expect(it.state()).toBe('running');
    it.world.fault = undefined;
    it.tell(3);
    await vi.waitFor(() => expect(it.answers.at(-1)).toBe('acknowledged 3'));
    expect(it.answers).toHaveLength(3);
    expect(it.state()).toBe('failed');
  });
}

test('what can never be written is acknowledged, for it would be told for ever', async () => {
  await using it = await startWriter();
  it.world.fault = new ShoalError('resource_exhausted', 'Cannot write 9 MiB');
  it.tell(1);
  await vi.waitFor(() => expect(it.answers).toEqual(['acknowledged 1']));
});

test('only so many reports wait, and those that were declined wait no more', async () => {
  await using it = await startWriter();
  it.world.fault = new ShoalError('no_space', 'Cannot write');
  const status = { state: 'running' as const, at: 1, message: '' };
  const reports = Array.from({ length: waitingReportsMax }, (_, index) => ({
    nodeId: 'n',
    taskId: `t${index}`,
    status,
  }));
  const declined = { acknowledge: () => {}, decline: () => it.answers.push('all') };
  it.writer.push('n', reports, declined);
  expect(() => it.tell(1)).toThrow(/more than 50000 status reports/);
  await vi.waitFor(() => {
    it.tell(2);
  });
  await vi.waitFor(() => expect(it.answers).toContain('declined 2'));
});
