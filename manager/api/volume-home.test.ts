import { expect, test } from 'vitest';
import type { Database } from '../store/objects.ts';
import {
  sampleContainer,
  sampleNode,
  sampleService,
  sampleTask,
  sampleTemplate,
  sampleVolume,
} from '../../test/samples.ts';
import { startTestManager, type TestManager } from '../testing.ts';
import { useVolume } from './volume-home.ts';

const mounts = [{ type: 'volume' as const, source: 'app_data', target: '/data', readOnly: false }];
const service = sampleService('db', { task: sampleTemplate({ container: sampleContainer({ mounts }) }) });
const down = { state: 'down' as const, since: 0, message: '' };

/** The volume is on `a`, where a task has it. */
async function withTask(manager: TestManager): Promise<Database> {
  const { database } = manager;
  const status = { state: 'running' as const, at: 1, message: '', startedAt: 1 };
  const home = { nodeId: 'a', hostname: 'a' };
  await database.write([
    [{ kind: 'node', action: 'create', object: sampleNode('a') }],
    [{ kind: 'node', action: 'create', object: sampleNode('b') }],
    [{ kind: 'service', action: 'create', object: service }],
    [{ kind: 'task', action: 'create', object: sampleTask(service, 1, { nodeId: 'a', status }) }],
    [{ kind: 'volume', action: 'create', object: sampleVolume('data', { home, nodeIds: ['a'] }) }],
  ]);
  return database;
}

test('a volume is put on another node only while no task may write to it', async () => {
  await using manager = await startTestManager();
  const database = await withTask(manager);
  const use = (force?: true) => useVolume(database, 'app_data', { node: 'b', ...(force && { force }) });
  await expect(use()).rejects.toThrow('Cannot use volume app_data on b: app_db.1 has it on a');
  await expect(use(true)).rejects.toThrow('app_db.1 has it on a');
  const node = { ...database.view.nodes.get('a')!, status: down };
  await database.write([[{ kind: 'node', action: 'update', object: node }]]);
  await expect(use()).rejects.toThrow('app_db.1 has it on a, which is away');
  expect(database.view.volumes.get('data')).toMatchObject({ home: { nodeId: 'a' } });
  await use(true);
  const volume = database.view.volumes.get('data');
  expect(volume).toMatchObject({ home: { nodeId: 'b', hostname: 'b' }, nodeIds: ['a', 'b'] });
  expect(volume).not.toHaveProperty('held');
});

test('when the node of a volume has been removed, another one can have it', async () => {
  await using manager = await startTestManager();
  const database = await withTask(manager);
  await database.write([[{ kind: 'node', action: 'delete', object: database.view.nodes.get('a')! }]]);
  await manager.client.request('POST', '/volumes/app_data/use', { node: 'b' });
  expect(database.view.volumes.get('data')).toMatchObject({ home: { nodeId: 'b' }, nodeIds: ['b'] });
});

test('a node that leaves is told which volumes are on it alone', async () => {
  await using manager = await startTestManager();
  const node = await manager.join('worker');
  const { database } = manager;
  const { nodeId } = node;
  await database.write([
    [{ kind: 'volume', action: 'create', object: sampleVolume('b', { home: { nodeId, hostname: 'x' } }) }],
    [{ kind: 'volume', action: 'create', object: sampleVolume('a', { home: { nodeId, hostname: 'x' } }) }],
    [{ kind: 'volume', action: 'create', object: sampleVolume('c', { nodeIds: [nodeId] }) }],
  ]);
  const told = { tasks: 0, volumes: ['app_a', 'app_b'], isManager: false, managers: 1 };
  expect(await manager.call('/leave', node)).toEqual(told);
  expect(database.view.nodes.get(nodeId)?.availability).toBe('active');
  expect(await manager.call('/leave', node, {})).toEqual(told);
  expect(database.view.nodes.get(nodeId)?.availability).toBe('drain');
});
