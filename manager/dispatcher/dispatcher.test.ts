import { expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { keepsTasksAway } from '../../src/spec/node.ts';
import type { Network } from '../../src/spec/network.ts';
import type { Task, TaskState } from '../../src/spec/task.ts';
import { encodeFrame } from '../../src/wire/frames.ts';
import type { TaskAssignment } from '../../src/wire/session.ts';
import type { Change, Database } from '../store/objects.ts';
import { sampleContainer, sampleService, sampleTask, sampleTemplate } from '../../test/samples.ts';
import { startTestManager, until, type TestAgent, type TestManager } from '../testing.ts';

const front = (nodeIds: string[]): Network => ({
  id: 'net',
  createdAt: 0,
  updatedAt: 0,
  revision: 0,
  spec: { name: 'app_front', application: 'app', labels: {}, internal: false },
  vni: 4096,
  subnet: '10.64.0.0/20',
  bridgeAddresses: Object.fromEntries(nodeIds.map((id, index) => [id, `10.64.0.${index + 2}`])),
  removing: false,
});

const web = sampleService(
  'web',
  { task: sampleTemplate({ networks: [{ name: 'app_front', aliases: [] }] }) },
  { endpoint: { virtualAddresses: { net: '10.64.8.1' }, ports: [] } },
);

async function create(database: Database, changes: Change[]): Promise<void> {
  expect(await database.write([changes])).toEqual({ conflicts: 0 });
}

async function updateTask(database: Database, id: string, changes: Partial<Task>): Promise<void> {
  const object = { ...database.view.tasks.get(id)!, ...changes };
  expect(await database.write([[{ kind: 'task', action: 'update', object }]])).toEqual({ conflicts: 0 });
}

const status = (state: TaskState) => ({ state, at: 1, message: '' });

/** Two agents, each running one replica of `web` on one network. */
async function twoAgents(manager: TestManager): Promise<{ one: TestAgent; two: TestAgent }> {
  const one = await manager.agent(await manager.join('worker'));
  const two = await manager.agent(await manager.join('worker'));
  const task = (slot: number, nodeId: string) =>
    sampleTask(web, slot, {
      nodeId,
      status: status('running'),
      attachments: [{ networkId: 'net', address: `10.64.1.${slot}`, aliases: [] }],
    });
  await create(manager.database, [
    { kind: 'network', action: 'create', object: front([one.nodeId, two.nodeId]) },
    { kind: 'service', action: 'create', object: web },
    { kind: 'task', action: 'create', object: task(1, one.nodeId) },
    { kind: 'task', action: 'create', object: task(2, two.nodeId) },
  ]);
  await one.greet('192.0.2.1');
  await two.greet('192.0.2.2');
  return { one, two };
}

const desiredOf = (agent: TestAgent, id: string) =>
  (agent.assignments.get(`task/${id}`) as TaskAssignment | undefined)?.desiredState;

test('a hello makes the node ready, with what it says of itself', async () => {
  await using manager = await startTestManager();
  const agent = await manager.agent(await manager.join('worker'));
  await agent.greet('192.0.2.7');
  expect(manager.database.view.nodes.get(agent.nodeId)).toMatchObject({
    status: { state: 'ready' },
    description: { address: '192.0.2.7' },
  });
  expect(agent.messages[0]).toMatchObject({ type: 'welcome', nodeId: agent.nodeId });
});

test('a session begins with the complete set and goes on with increments of consecutive numbers', async () => {
  await using manager = await startTestManager();
  const { one } = await twoAgents(manager);
  await until(() => one.assignments.has('peer/net/web-2'));
  for (const slot of [3, 4, 5]) {
    const object = sampleTask(web, slot, { nodeId: one.nodeId, status: status('assigned') });
    await create(manager.database, [{ kind: 'task', action: 'create', object }]);
    await until(() => one.assignments.has(`task/web-${slot}`));
  }
  const messages = one.assignmentMessages;
  expect(messages[0]).toMatchObject({ mode: 'complete', sequence: 1, more: false });
  expect(messages.slice(1).every(({ mode }) => mode === 'incremental')).toBe(true);
  expect(messages.map(({ sequence }) => sequence)).toEqual(messages.map((_, index) => index + 1));
});

test('an agent that asks for resync gets the complete set again, with the next number', async () => {
  await using manager = await startTestManager();
  const { two } = await twoAgents(manager);
  const before = new Map(two.assignments);
  const sequence = two.sequence;
  two.send({ type: 'resync' });
  const message = await until(() => two.assignmentMessages.find((each) => each.sequence > sequence));
  expect(message).toMatchObject({ mode: 'complete', sequence: sequence + 1 });
  expect([...two.assignments.keys()].sort()).toEqual([...before.keys()].sort());
});

test('a complete set that is too large for one message comes in parts', async () => {
  await using manager = await startTestManager();
  const agent = await manager.agent(await manager.join('worker'));
  const files = [1, 2, 3].map((index) => ({
    name: `app_file-${index}`,
    target: '/f',
    uid: 0,
    gid: 0,
    mode: 0o444,
  }));
  const template = sampleTemplate();
  const service = sampleService('big', {
    task: { ...template, container: { ...template.container, configs: files } },
  });
  const task = sampleTask(service, 1, { nodeId: agent.nodeId, status: status('running') });
  await create(manager.database, [
    { kind: 'task', action: 'create', object: task },
    ...files.map(({ name }): Change => {
      const spec = { name, application: 'app', labels: {}, data: 'A'.repeat(900_000) };
      return {
        kind: 'config',
        action: 'create',
        object: { id: name, createdAt: 0, updatedAt: 0, revision: 0, spec },
      };
    }),
  ]);
  await agent.greet();
  const last = await until(() => agent.assignmentMessages.find(({ more }) => !more));
  expect(last.sequence).toBeGreaterThan(1);
  expect([...agent.assignments.keys()].filter((key) => key.startsWith('config/'))).toHaveLength(3);
});

test('a template goes to a node once for all its tasks, and from it with the last', async () => {
  await using manager = await startTestManager();
  const agent = await manager.agent(await manager.join('worker'));
  await agent.greet();
  const environment = { BLOB: 'x'.repeat(90 * 1024) };
  const template = sampleTemplate({ container: sampleContainer({ environment }) });
  const service = sampleService('large', { task: template });
  const slots = Array.from({ length: 120 }, (_, index) => index + 1);
  for (const some of [slots.slice(0, 40), slots.slice(40)]) {
    const tasks = some.map((slot) =>
      sampleTask(service, slot, { nodeId: agent.nodeId, status: status('assigned') }),
    );
    await create(
      manager.database,
      tasks.map((object) => ({ kind: 'task', action: 'create', object })),
    );
  }
  await until(() => agent.assignments.has('task/large-120'));
  for (const slot of slots) await updateTask(manager.database, `large-${slot}`, { desiredState: 'shutdown' });
  await until(() => desiredOf(agent, 'large-120') === 'shutdown');
  const size = JSON.stringify(template).length;
  const bytes = JSON.stringify(agent.assignmentMessages).length;
  expect(bytes).toBeGreaterThan(size);
  expect(bytes).toBeLessThan(2 * size);
  const gone = slots.map((slot): Change => ({
    kind: 'task',
    action: 'delete',
    object: manager.database.view.tasks.get(`large-${slot}`)!,
  }));
  await create(manager.database, gone.slice(1));
  await until(() => agent.assignments.size === 2);
  expect([...agent.assignments.keys()].map((key) => key.split('/')[0])).toEqual(['template', 'task']);
  await create(manager.database, gone.slice(0, 1));
  await until(() => agent.assignments.size === 0);
});

test('a running task is told to stop only after every node has confirmed that its endpoint is gone', async () => {
  await using manager = await startTestManager();
  const { one, two } = await twoAgents(manager);
  await until(() => one.assignments.has('endpoint/web-2') && two.assignments.has('endpoint/web-1'));
  one.confirm();
  two.confirm();
  await updateTask(manager.database, 'web-1', { desiredState: 'shutdown' });
  await until(() => !one.assignments.has('endpoint/web-1') && !two.assignments.has('endpoint/web-1'));
  expect(desiredOf(one, 'web-1')).toBe('running');
  one.confirm();
  // Whatever the first confirmation caused has been sent before the answer to a resync.
  const { sequence } = one;
  one.send({ type: 'resync' });
  await until(() => one.sequence > sequence);
  one.confirm();
  expect(desiredOf(one, 'web-1')).toBe('running');
  two.confirm();
  await until(() => desiredOf(one, 'web-1') === 'shutdown');
});

test('a task that never ran is told to stop at once', async () => {
  await using manager = await startTestManager();
  const { one } = await twoAgents(manager);
  const object = sampleTask(web, 3, { nodeId: one.nodeId, status: status('preparing') });
  await create(manager.database, [{ kind: 'task', action: 'create', object }]);
  await until(() => one.assignments.has('task/web-3'));
  await updateTask(manager.database, 'web-3', { desiredState: 'shutdown' });
  await until(() => desiredOf(one, 'web-3') === 'shutdown');
});

test('a node whose session has ended does not hold a stop back for longer than it takes to be down', async () => {
  await using manager = await startTestManager();
  const { one, two } = await twoAgents(manager);
  one.confirm();
  two.close();
  await updateTask(manager.database, 'web-1', { desiredState: 'shutdown' });
  await until(() => !one.assignments.has('endpoint/web-1'));
  one.confirm();
  const heart = async () => {
    while (desiredOf(one, 'web-1') !== 'shutdown') {
      one.send({ type: 'heartbeat' });
      await systemClock.sleep(50);
    }
  };
  await heart();
  expect(manager.database.view.nodes.get(one.nodeId)?.status.state).toBe('ready');
});

test('a node that falls silent is down, and ready again when its agent comes back', async () => {
  await using manager = await startTestManager();
  const identity = await manager.join('worker');
  const agent = await manager.agent(identity);
  const other = await manager.agent(await manager.join('worker'));
  await agent.greet('192.0.2.7');
  await other.greet('192.0.2.8');
  const stateOf = ({ nodeId }: TestAgent) => manager.database.view.nodes.get(nodeId)?.status.state;
  await until(() => {
    other.send({ type: 'heartbeat' });
    return stateOf(agent) === 'down';
  });
  await until(() => agent.closed);
  const again = await manager.agent(identity);
  await again.greet('192.0.2.7');
  expect([stateOf(agent), stateOf(other)]).toEqual(['ready', 'ready']);
});

test('nodes that all fall silent are ready and unreachable until they are heard; of those that close one is down', async () => {
  await using manager = await startTestManager();
  const agents = [
    await manager.agent(await manager.join('worker')),
    await manager.agent(await manager.join('worker')),
  ];
  for (const agent of agents) await agent.greet();
  const nodes = () => agents.map(({ nodeId }) => manager.database.view.nodes.get(nodeId)!);
  const conditions = () => nodes().map((node) => node.conditions?.map(({ type }) => type) ?? []);
  await until(() => conditions().every((types) => types.includes('Unreachable')));
  expect(nodes().map(({ status }) => status.state)).toEqual(['ready', 'ready']);
  for (const agent of agents) agent.send({ type: 'heartbeat' });
  await until(() => conditions().every((types) => !types.includes('Unreachable')));
  for (const agent of agents) agent.close();
  await until(() => nodes().some(({ status }) => status.state === 'down'));
  await until(() => nodes().some((node) => node.status.state === 'ready' && keepsTasksAway(node)));
});

test('status batches are written and then acknowledged, whatever is illegal in them is left out', async () => {
  await using manager = await startTestManager();
  const { one } = await twoAgents(manager);
  const object = sampleTask(web, 3, { nodeId: one.nodeId, status: status('assigned') });
  await create(manager.database, [{ kind: 'task', action: 'create', object }]);
  one.send({
    type: 'status',
    batch: 7,
    tasks: [
      { taskId: 'web-3', status: status('accepted') },
      { taskId: 'web-3', status: { ...status('running'), startedAt: 5 } },
      { taskId: 'web-2', status: status('failed') }, // another node's
      { taskId: 'web-1', status: status('accepted') }, // would go back in time
      { taskId: 'nobody', status: status('failed') },
    ],
  });
  await until(() => one.messages.some((message) => message.type === 'status-ack' && message.batch === 7));
  const { tasks } = manager.database.view;
  expect(tasks.get('web-3')?.status).toMatchObject({ state: 'running' });
  // By the manager's clock, whatever the agent's shows.
  expect(tasks.get('web-3')?.status.startedAt).toBeGreaterThan(5);
  expect(tasks.get('web-2')?.status.state).toBe('running');
  expect(tasks.get('web-1')?.status.state).toBe('running');
});

test('a newer session of the same node replaces the older one', async () => {
  await using manager = await startTestManager();
  const identity = await manager.join('worker');
  const first = await manager.agent(identity);
  await first.greet();
  const second = await manager.agent(identity);
  await second.greet();
  await until(() => first.closed);
  expect(second.closed).toBe(false);
});

test('a session that sends nonsense is closed', async () => {
  await using manager = await startTestManager();
  const agent = await manager.agent(await manager.join('worker'));
  agent.send({ type: 'status', batch: -1, tasks: [] });
  await until(() => agent.closed);
});

test('a stream is opened by the node that was asked, and by no other', async () => {
  await using manager = await startTestManager();
  const { one, two } = await twoAgents(manager);
  const request = { command: ['ls'], tty: false, environment: {} };
  const connecting = manager.client.exec('app_web.1', request);
  const asked = await until(() => one.messages.find((message) => message.type === 'stream'));
  await expect(two.dialBack(asked.streamId)).rejects.toThrow(/404/);
  const far = await one.dialBack(asked.streamId);
  far.send(encodeFrame('stdout', 'hello'));
  const connection = await connecting;
  const frames = connection.frames[Symbol.asyncIterator]();
  const first = await frames.next();
  expect(first.value).toMatchObject({ type: 'stdout' });
  expect(first.value?.payload.toString()).toBe('hello');
  const received = new Promise<Buffer>((resolve) => far.once('message', resolve));
  await connection.send('stdin', 'world');
  expect((await received).subarray(1).toString()).toBe('world');
  far.close();
  expect((await frames.next()).done).toBe(true);
});
