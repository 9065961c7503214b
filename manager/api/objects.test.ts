import { expect, test } from 'vitest';
import type { Node } from '../../src/spec/node.ts';
import type { Service } from '../../src/spec/service.ts';
import type { Task } from '../../src/spec/task.ts';
import type { TaskInfo } from '../../src/wire/api.ts';
import { sampleService, sampleTask, sampleTemplate } from '../../test/samples.ts';
import { startTestManager, type TestManager } from '../testing.ts';

const web = sampleService('web');
const everywhere = sampleService('agent', { mode: { kind: 'global' } });
const named = sampleService('named', { containerName: 'the-one' });

async function withServices(manager: TestManager): Promise<void> {
  await manager.database.write([
    [web, everywhere, named].map((object) => ({ kind: 'service', action: 'create', object })),
  ]);
}

test('scaling changes the replicas and makes no new version', async () => {
  await using manager = await startTestManager();
  await withServices(manager);
  const service = await manager.client.request<Service>('POST', '/services/app_web/scale', { replicas: 7 });
  expect(service).toMatchObject({ specVersion: 1, spec: { mode: { kind: 'replicated', replicas: 7 } } });
});

test('a service that is stopped is scaled for when it is started', async () => {
  await using manager = await startTestManager();
  await withServices(manager);
  await manager.client.request('POST', '/services/app_web/stop', {});
  const service = await manager.client.request<Service>('POST', '/services/app_web/scale', { replicas: 7 });
  expect(service).toMatchObject({ stopped: true, spec: { mode: { replicas: 7 } } });
});

test.each([
  ['app_web', -1, 'invalid_argument'],
  ['app_web', 1.5, 'invalid_argument'],
  ['app_nothing', 1, 'not_found'],
  ['app_agent', 1, 'failed_precondition'],
  ['app_named', 2, 'failed_precondition'],
])('scaling %s to %d is refused as %s', async (reference, replicas, code) => {
  await using manager = await startTestManager();
  await withServices(manager);
  const answer = manager.client.request('POST', `/services/${reference}/scale`, { replicas });
  await expect(answer).rejects.toMatchObject({ code });
});

test('a service that shares with another has at most as many replicas, whichever is scaled', async () => {
  await using manager = await startTestManager();
  const task = sampleTemplate({
    sharing: { network: 'app_db' },
    placement: { constraints: [], maxReplicasPerNode: 0, with: 'app_db' },
  });
  const two = { kind: 'replicated', replicas: 2 } as const;
  const services = [sampleService('db', { mode: two }), sampleService('proxy', { mode: two, task })];
  await manager.database.write([services.map((object) => ({ kind: 'service', action: 'create', object }))]);
  const scale = (name: string, replicas: number) =>
    manager.client.request<Service>('POST', `/services/${name}/scale`, { replicas });
  await expect(scale('app_proxy', 3)).rejects.toMatchObject({
    code: 'failed_precondition',
    message: 'Cannot scale app_proxy: app_db, which it shares with, has 2 replicas, and this one 3',
  });
  await expect(scale('app_db', 1)).rejects.toThrow(
    'Cannot scale app_db: app_proxy, which shares with it, would have more replicas',
  );
  await scale('app_db', 3);
  await scale('app_proxy', 3);
  await scale('app_proxy', 1);
  await scale('app_db', 1);
});

test('a node is drained and labelled, and a label that is null goes', async () => {
  await using manager = await startTestManager();
  const { nodeId } = await manager.join('worker');
  const change = (body: unknown) => manager.client.request<Node>('PATCH', `/nodes/${nodeId}`, body);
  expect(await change({ availability: 'drain', labels: { disk: 'ssd', rack: '1' } })).toMatchObject({
    availability: 'drain',
    labels: { disk: 'ssd', rack: '1' },
  });
  expect((await change({ labels: { disk: null } })).labels).toEqual({ rack: '1' });
  await expect(change({ availability: 'gone' })).rejects.toMatchObject({ code: 'invalid_argument' });
  // Its host has never been there.
  await expect(change({ role: 'manager' })).rejects.toMatchObject({ code: 'failed_precondition' });
});

test('a node that is up is removed only when it is drained and empty, or drained and by force', async () => {
  await using manager = await startTestManager();
  const { client, database } = manager;
  const agent = await manager.agent(await manager.join('worker'));
  await agent.greet();
  const object = sampleTask(web, 1, {
    nodeId: agent.nodeId,
    status: { state: 'running', at: 0, message: '' },
  });
  await database.write([[{ kind: 'task', action: 'create', object }]]);
  const path = `/nodes/${agent.nodeId}`;
  await expect(client.request('DELETE', `${path}?force=true`)).rejects.toMatchObject({
    code: 'failed_precondition',
  });
  await client.request('PATCH', path, { availability: 'drain' });
  await expect(client.request('DELETE', path)).rejects.toThrow(/app_web.1 is on it/);
  await client.request('DELETE', `${path}?force=true`);
  expect(database.view.nodes.size).toBe(0);
});

test('the only manager is not removed', async () => {
  await using manager = await startTestManager();
  const { nodeId } = await manager.join('manager');
  await expect(manager.client.request('DELETE', `/nodes/${nodeId}?force=true`)).rejects.toMatchObject({
    code: 'failed_precondition',
  });
});

test('a node becomes a manager and a worker again, and a manager that is up is not removed', async () => {
  await using manager = await startTestManager();
  await (await manager.agent(await manager.join('manager', 'a'))).greet('192.0.2.1');
  const worker = await manager.agent(await manager.join('worker', 'b'));
  await worker.greet('127.0.0.1');
  const path = `/nodes/${worker.nodeId}`;
  const change = (role: string) => manager.client.request<Node>('PATCH', path, { role });
  expect(await change('manager')).toMatchObject({ role: 'manager', manager: { address: '127.0.0.1:2377' } });
  await expect(manager.client.request('DELETE', path)).rejects.toThrow(/it is a manager and up/);
  const again = await change('worker');
  expect(again).toMatchObject({ role: 'worker' });
  expect(again).not.toHaveProperty('manager');
});

test('tasks are listed newest first, of one service or node when asked', async () => {
  await using manager = await startTestManager();
  const { nodeId } = await manager.join('worker');
  const task = (slot: number, changes: Partial<Task>) =>
    sampleTask(web, slot, { createdAt: slot, ...changes });
  const tasks = [task(1, {}), task(2, { nodeId }), task(3, { nodeId })];
  await manager.database.write([tasks.map((object) => ({ kind: 'task', action: 'create', object }))]);
  const list = async (query: string) =>
    (await manager.client.request<TaskInfo[]>('GET', `/tasks${query}`)).map(({ slot }) => slot);
  expect(await list('')).toEqual([3, 2, 1]);
  expect(await list(`?node=${nodeId}`)).toEqual([3, 2]);
  expect(await list('?service=app_web&application=app')).toEqual([3, 2, 1]);
  expect(await list('?application=other')).toEqual([]);
  // Of the template a list has the image alone.
  const [newest] = await manager.client.request<TaskInfo[]>('GET', '/tasks');
  expect(newest).toMatchObject({ id: tasks[2]!.id, image: web.spec.task.container.image });
  expect(newest).not.toHaveProperty('template');
  const whole = await manager.client.request<Task>('GET', '/tasks/app_web.3');
  expect(whole).toMatchObject({ id: tasks[2]!.id, template: web.spec.task });
});

test('the tokens say where to join, and the two differ', async () => {
  await using manager = await startTestManager();
  const tokens = await manager.client.request<Record<string, unknown>>('GET', '/tokens');
  expect(tokens.addresses).toEqual(['192.0.2.1:2377']);
  expect(tokens.worker).not.toBe(tokens.manager);
});
