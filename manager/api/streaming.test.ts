import { expect, test } from 'vitest';
import type { WebSocket } from 'ws';
import { encodeJsonFrame } from '../../src/wire/frames.ts';
import type { LogLine, ManagerMessage } from '../../src/wire/session.ts';
import { applicationNow, watchApplication } from '../../src/wire/watch.ts';
import type { Task } from '../../src/spec/task.ts';
import { systemClock } from '../../src/util/clock.ts';
import { sampleService, sampleTask } from '../../test/samples.ts';
import { startTestManager, until, type TestAgent, type TestManager } from '../testing.ts';

const web = sampleService('web');

async function twoAgents(manager: TestManager): Promise<[TestAgent, TestAgent]> {
  const agents: [TestAgent, TestAgent] = [
    await manager.agent(await manager.join('worker')),
    await manager.agent(await manager.join('worker')),
  ];
  await manager.database.write([[{ kind: 'service', action: 'create', object: web }]]);
  for (const [index, agent] of agents.entries()) {
    await agent.greet();
    await addTask(manager, index + 1, agent.nodeId);
  }
  return agents;
}

async function addTask(manager: TestManager, slot: number, nodeId: string): Promise<Task> {
  const object = sampleTask(web, slot, { nodeId, status: { state: 'running', at: 0, message: '' } });
  await manager.database.write([[{ kind: 'task', action: 'create', object }]]);
  return object;
}

function streamsAsked(agent: TestAgent) {
  return agent.messages.filter((message) => message.type === 'stream');
}

type LogsAsked = Extract<ManagerMessage, { type: 'stream' }> & { request: { kind: 'logs' } };

/** Answers the agent's `nth` stream with these lines, `seconds` giving each line's time. */
async function answer(agent: TestAgent, nth: number, seconds: number[], end = true) {
  const asked = await until(() => streamsAsked(agent)[nth]);
  const { streamId, request } = asked as LogsAsked;
  const socket = await agent.dialBack(streamId);
  for (const second of seconds) sendLine(socket, request.taskId, second);
  if (end) socket.close();
  return { request, socket };
}

function sendLine(socket: WebSocket, taskId: string, second: number): void {
  const at = `2026-01-01T00:00:0${second}.000000000Z`;
  const line: LogLine = { taskId, at, stream: 'stdout', text: `second ${second}`, position: `p${second}` };
  socket.send(encodeJsonFrame('log', line));
}

test('logs of several nodes are merged in order of time', async () => {
  await using manager = await startTestManager();
  const [one, two] = await twoAgents(manager);
  const reading = Array.fromAsync(manager.client.stream<LogLine>('/logs?application=app&tail=10'));
  const [asked] = await Promise.all([answer(one, 0, [1, 3, 4]), answer(two, 0, [2, 5])]);
  expect(asked.request).toMatchObject({ kind: 'logs', taskId: 'web-1', follow: false, tail: 10 });
  expect((await reading).map(({ text }) => text)).toEqual(
    [1, 2, 3, 4, 5].map((second) => `second ${second}`),
  );
});

test('a node that cannot be reached gives a warning line, and the others their logs', async () => {
  await using manager = await startTestManager();
  const [one, two] = await twoAgents(manager);
  await leave(manager, two);
  const reading = Array.fromAsync(manager.client.stream<LogLine>('/logs?application=app'));
  await answer(one, 0, [1]);
  const lines = await reading;
  expect(lines.filter(({ warning }) => !warning).map(({ text }) => text)).toEqual(['second 1']);
  expect(lines.filter(({ warning }) => warning)).toMatchObject([
    { taskId: 'web-2', text: expect.stringContaining('not connected') as string },
  ]);
});

/** The manager has seen everything that came before this. */
async function answered(manager: TestManager): Promise<void> {
  await manager.client.request('GET', '/version');
}

test('following goes on after the last line when a connection breaks, and takes up tasks that come later', async () => {
  await using manager = await startTestManager();
  const [one, two] = await twoAgents(manager);
  const stop = new AbortController();
  const lines: LogLine[] = [];
  const path = '/logs?application=app&service=web&follow=true';
  const reading = (async () => {
    for await (const line of manager.client.stream<LogLine>(path, stop.signal)) lines.push(line);
  })();
  const texts = () => lines.filter(({ warning }) => !warning).map(({ text }) => text);
  expect((await answer(one, 0, [1])).request).toMatchObject({ follow: false });
  const { request, socket } = await answer(one, 1, [2], false);
  expect(request).toMatchObject({ after: 'p1', follow: true });
  await until(() => texts().length === 2);
  socket.terminate();
  // The agent goes on after the last line, by its place: its clock may have been set back meanwhile.
  const again = await answer(one, 2, [0, 3], false);
  expect(again.request).toMatchObject({ after: 'p2', follow: true });
  await until(() => texts().length === 4);
  await addTask(manager, 3, two.nodeId);
  await answer(two, 1, [4]);
  await until(() => texts().includes('second 4'));
  expect(texts()).toEqual(['second 1', 'second 2', 'second 0', 'second 3', 'second 4']);
  expect(lines.every(({ position }) => position === undefined)).toBe(true);
  stop.abort();
  await reading;
});

test('of a read that breaks off the rest is asked for', async () => {
  await using manager = await startTestManager();
  const [one] = await twoAgents(manager);
  const stop = new AbortController();
  const texts: string[] = [];
  const reading = (async () => {
    const path = '/logs?task=web-1&follow=true&tail=5';
    for await (const { text } of manager.client.stream<LogLine>(path, stop.signal)) texts.push(text);
  })();
  const { socket } = await answer(one, 0, [1], false);
  await until(() => texts.length === 1);
  socket.terminate();
  expect((await answer(one, 1, [2])).request).toMatchObject({ after: 'p1', follow: false });
  await until(() => texts.includes('second 2'));
  expect(texts).toEqual(['second 1', expect.stringContaining('connection to the node ended'), 'second 2']);
  stop.abort();
  await reading;
});

test('many who follow have one stream of the task, and when they have gone none', async () => {
  await using manager = await startTestManager();
  const [one] = await twoAgents(manager);
  const stop = new AbortController();
  const read = async (seen: string[]) => {
    const path = '/logs?task=web-1&follow=true&tail=1';
    for await (const { text } of manager.client.stream<LogLine>(path, stop.signal)) seen.push(text);
  };
  const first: string[] = [];
  const readings = [read(first)];
  await answer(one, 0, [1]);
  const live = await answer(one, 1, [], false);
  const others = Array.from({ length: 20 }, (): string[] => []);
  for (const seen of others) readings.push(read(seen));
  for (let index = 0; index < others.length; index++) await answer(one, 2 + index, [1]);
  await until(() => others.every(({ length }) => length === 1));
  sendLine(live.socket, live.request.taskId, 2);
  for (const seen of [first, ...others]) {
    await until(() => seen.length === 2);
    expect(seen).toEqual(['second 1', 'second 2']);
  }
  expect(streamsAsked(one)).toHaveLength(2 + others.length);
  const closed = new Promise((resolve) => live.socket.once('close', resolve));
  stop.abort();
  await Promise.all(readings);
  await closed;
});

test('following looks at the tasks when some have changed, and not otherwise', async () => {
  await using manager = await startTestManager();
  const [one] = await twoAgents(manager);
  const { view } = manager.database as { view: { tasksOfService: (id: string) => Iterable<Task> } };
  const tasksOfService = view.tasksOfService.bind(view);
  let looks = 0;
  view.tasksOfService = (id) => {
    looks++;
    return tasksOfService(id);
  };
  const stop = new AbortController();
  const lines: LogLine[] = [];
  const reading = (async () => {
    const path = '/logs?application=app&service=web&follow=true';
    for await (const line of manager.client.stream<LogLine>(path, stop.signal)) lines.push(line);
  })();
  await answer(one, 0, [1, 2, 3], false);
  await until(() => lines.filter(({ warning }) => !warning).length === 3);
  const before = looks;
  await systemClock.sleep(600);
  expect(looks).toBe(before);
  stop.abort();
  await reading;
});

test('logs of what does not exist are refused', async () => {
  await using manager = await startTestManager();
  const read = (query: string) => manager.client.stream(`/logs?${query}`).next();
  await expect(read('application=nothing')).rejects.toMatchObject({ code: 'not_found' });
  await expect(read('')).rejects.toMatchObject({ code: 'invalid_argument' });
  await twoAgents(manager);
  await expect(read('application=app&service=nothing')).rejects.toMatchObject({ code: 'not_found' });
  await expect(read('application=app&tail=many')).rejects.toMatchObject({ code: 'invalid_argument' });
});

test('a watch gives the status now and after every change, until the application is gone', async () => {
  await using manager = await startTestManager();
  const { database, client } = manager;
  await database.write([[{ kind: 'service', action: 'create', object: web }]]);
  const watch = watchApplication(client, 'app');
  const next = async () => (await watch.next()).value!;
  expect((await next()).services[0]).toMatchObject({ running: 0, converged: false });
  await addTask(manager, 1, 'node');
  expect((await next()).services[0]).toMatchObject({ running: 1, converged: true });
  expect((await applicationNow(client, 'app')).services[0]).toMatchObject({ running: 1, converged: true });
  const [task] = database.view.tasks.values();
  const service = database.view.serviceByName('app_web')!;
  await database.write([
    [
      { kind: 'task', action: 'delete', object: task! },
      { kind: 'service', action: 'delete', object: service },
    ],
  ]);
  expect((await next()).services).toEqual([]);
  await expect(applicationNow(client, 'app')).rejects.toMatchObject({ code: 'not_found' });
  await watch.return(undefined);
});

test('a command cannot be run in a task that does not run', async () => {
  await using manager = await startTestManager();
  const request = { command: ['ls'], tty: false, environment: {} };
  await expect(manager.client.exec('nothing', request)).rejects.toMatchObject({ code: 'not_found' });
  const [one] = await twoAgents(manager);
  const object = sampleTask(web, 7, { nodeId: one.nodeId, status: { state: 'failed', at: 0, message: '' } });
  await manager.database.write([[{ kind: 'task', action: 'create', object }]]);
  await expect(manager.client.exec('app_web.7', request)).rejects.toMatchObject({
    code: 'failed_precondition',
  });
});

/** Closes the agent's connection, and the manager knows of it. */
async function leave(manager: TestManager, agent: TestAgent): Promise<void> {
  agent.close();
  await until(() => agent.closed);
  await answered(manager);
}

test('a command waits for an agent that has ended and comes back', async () => {
  await using manager = await startTestManager();
  const identity = await manager.join('worker');
  const old = await manager.agent(identity);
  await old.greet();
  await manager.database.write([[{ kind: 'service', action: 'create', object: web }]]);
  await addTask(manager, 1, old.nodeId);
  await leave(manager, old);
  const opening = manager.client.exec('app_web.1', { command: ['ls'], tty: false, environment: {} });
  const agent = await manager.agent(identity);
  await agent.greet();
  const asked = await until(() => agent.messages.find((message) => message.type === 'stream'));
  expect(asked.request).toMatchObject({ kind: 'exec', command: ['ls'] });
  const socket = await agent.dialBack(asked.streamId);
  (await opening).close();
  socket.close();
});

test('a command is refused at once when the node of the task is down', async () => {
  await using manager = await startTestManager();
  const [one] = await twoAgents(manager);
  await leave(manager, one);
  const node = manager.database.view.nodes.get(one.nodeId)!;
  const object = { ...node, status: { state: 'down' as const, since: 0, message: '' } };
  await manager.database.write([[{ kind: 'node', action: 'update', object }]]);
  const request = { command: ['ls'], tty: false, environment: {} };
  await expect(manager.client.exec('app_web.1', request)).rejects.toMatchObject({ code: 'unavailable' });
});

test('a line is of the task that was asked for, whatever its agent says, and never the word of the manager', async () => {
  await using manager = await startTestManager();
  const [agent] = await twoAgents(manager);
  const own = [...manager.database.view.tasks.values()].find(({ nodeId }) => nodeId === agent.nodeId)!;
  const reading = Array.fromAsync(manager.client.stream<LogLine>(`/logs?task=${own.id}`));
  const asked = await until(() => agent.messages.find((message) => message.type === 'stream'));
  const socket = await agent.dialBack((asked as LogsAsked).streamId);
  const at = '2026-01-01T00:00:01.000000000Z';
  const forged = { taskId: 'another', at, stream: 'stdout', text: 'hello', warning: true, more: 1 };
  socket.send(encodeJsonFrame('log', forged));
  socket.send(encodeJsonFrame('end', {}));
  expect(await reading).toEqual([{ taskId: own.id, at, stream: 'stdout', text: 'hello' }]);
});

test.each([
  null,
  7,
  { text: 'no time', stream: 'stdout' },
  { at: '9999', stream: 'stdout', text: 'a wrong time would be the last one for ever' },
  { at: '2026-01-01T00:00:01.000000000Z', stream: 'stdin', text: '' },
  { at: '2026-01-01T00:00:01.000000000Z', stream: 'stdout', text: { length: 1 } },
])('%j in place of a line is a warning', async (value) => {
  await using manager = await startTestManager();
  const [agent] = await twoAgents(manager);
  const own = [...manager.database.view.tasks.values()].find(({ nodeId }) => nodeId === agent.nodeId)!;
  const reading = Array.fromAsync(manager.client.stream<LogLine>(`/logs?task=${own.id}`));
  const asked = await until(() => agent.messages.find((message) => message.type === 'stream'));
  const socket = await agent.dialBack((asked as LogsAsked).streamId);
  socket.send(encodeJsonFrame('log', value));
  expect(await reading).toMatchObject([{ taskId: own.id, warning: true }]);
});
