import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { WebSocket } from 'ws';
import type { NodeDescription } from '../../src/spec/node.ts';
import type { TaskStatus } from '../../src/spec/task.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { seededRandom } from '../../src/util/random.ts';
import { managerServerName } from '../../src/wire/certificates.ts';
import { encodeFrame } from '../../src/wire/frames.ts';
import {
  sessionPath,
  sessionProtocol,
  type ManagerMessage,
  type StreamRequest,
  type TaskAssignment,
} from '../../src/wire/session.ts';
import { FakeEngine } from '../worker/fake-engine.ts';
import type { AssignmentChange } from './assignments.ts';
import type { ReportedCondition } from '../conditions/conditions.ts';
import { FakeManager, selfSigned } from './fake-manager.ts';
import { AgentSession, type Credentials } from './session.ts';
import { StreamServer } from './streams.ts';

const status = (message: string): TaskStatus => ({ state: 'running', at: 1, message });
let cannotFollow = false;
let manager: FakeManager;
let session: AgentSession;
let credentials: Credentials;
const changes: AssignmentChange[] = [];
let conditions: ReportedCondition[] = [];
let hostname = 'h';
const engine = new FakeEngine();
/** How many ms before the host's own time the logs were asked for, rounded to seconds. */
let logsAge: number | undefined;
const streams = new StreamServer({
  clock: systemClock,
  async *listVolumes() {},
  exportVolume: () => Promise.reject(new Error('not here')),
  importVolume: () => Promise.reject(new Error('not here')),
  removeVolume: () => Promise.resolve(),
  sendVolume: () => Promise.resolve(),
  takeVolume: () => Promise.resolve(),
  settleVolume: () => Promise.resolve(),
  engine,
  log: silentLogger,
  knows: (id) => id !== 'unknown',
  async *readLogs(taskId, { since }) {
    logsAge = since && Math.round((systemClock.now() - since) / 1_000);
    for (const text of ['one', 'two']) yield { taskId, at: '', stream: 'stdout', text };
  },
});
const waitFor = (check: () => void) => vi.waitFor(check, { timeout: 15_000, interval: 5 });

function sessionTo(address: string): AgentSession {
  return new AgentSession({
    addresses: () => [address],
    credentials: () => credentials,
    describe: () => Promise.resolve({ hostname } as NodeDescription),
    host: 'one',
    conditions: () => conditions,
    clock: systemClock,
    random: seededRandom(1),
    log: silentLogger,
    stalledMs: () => 0,
    onManagers: () => undefined,
    onAssignments: (change) => {
      changes.push(change);
      if (cannotFollow) throw new Error('task a refers to a template that was not told');
    },
    onStream: (_id, request, dial) => void streams.serve(request, dial),
  });
}

beforeEach(async () => {
  changes.length = 0;
  conditions = [];
  hostname = 'h';
  credentials = await selfSigned(managerServerName);
  manager = new FakeManager(credentials);
  session = sessionTo(await manager.listen());
});

afterEach(async () => {
  await session.stop();
  manager.close();
});

test('says hello, beats, and hands on what it is assigned', async () => {
  session.start();
  await waitFor(() => expect(session.connected).toBe(true));
  manager.send({ type: 'assignments', mode: 'complete', sequence: 1, more: false, put: [], remove: [] });
  await waitFor(() => expect(changes).toHaveLength(1));
  await waitFor(() => expect(manager.received.map(({ type }) => type)).toContain('heartbeat'));
  expect(manager.received[0]?.type).toBe('hello');
});

test('tells a status that was not acknowledged again in the next session, and only the latest of a task', async () => {
  manager.acknowledges = false;
  session.start();
  await waitFor(() => expect(session.connected).toBe(true));
  session.report('a', status('first'));
  session.report('b', status('only'));
  await waitFor(() => expect(manager.received.some(({ type }) => type === 'status')).toBe(true));
  session.report('a', status('second'));
  manager.received.length = 0;
  manager.acknowledges = true;
  manager.drop();
  await waitFor(() => expect(manager.received.some(({ type }) => type === 'status')).toBe(true));
  const told = manager.received.flatMap((message) => (message.type === 'status' ? message.tasks : []));
  expect(new Map(told.map((one) => [one.taskId, one.status.message]))).toEqual(
    new Map([
      ['a', 'second'],
      ['b', 'only'],
    ]),
  );
  expect(told).toHaveLength(2);
});

test('a manager that cannot write statuses keeps its session, counts as none, and gets the newest later', async () => {
  manager.declines = true;
  session.start();
  await waitFor(() => expect(session.connected).toBe(true));
  session.report('a', status('ended'));
  await waitFor(() => expect(statusesTold()).toHaveLength(1));
  expect(session.heeded).toBe(true);
  await waitFor(() => expect(session.heeded).toBe(false));
  expect([session.connected, session.isUntold('a')]).toEqual([true, true]);
  session.report('a', status('runs again'));
  manager.received.length = 0;
  manager.declines = false;
  await waitFor(() => expect(session.isUntold('a')).toBe(false));
  expect(statusesTold().map((told) => told.status.message)).toEqual(['runs again']);
  expect([session.heeded, manager.sessions]).toEqual([true, 1]);
});

test('a manager that answers no status counts as none', async () => {
  manager.acknowledges = false;
  session.start();
  await waitFor(() => expect(session.connected).toBe(true));
  session.report('a', status('ended'));
  await waitFor(() => expect(session.heeded).toBe(false));
  expect(session.connected).toBe(true);
});

const statusesTold = () =>
  manager.received.flatMap((message) => (message.type === 'status' ? message.tasks : []));

test('a task that cannot be used is told back as rejected, and nothing acts on it', async () => {
  session.start();
  await waitFor(() => expect(session.connected).toBe(true));
  const value = { id: 'bad', template: 7 } as unknown as TaskAssignment;
  const put = [{ kind: 'task' as const, value }];
  manager.send({ type: 'assignments', mode: 'complete', sequence: 1, more: false, put, remove: [] });
  await waitFor(() =>
    expect(statusesTold()).toMatchObject([{ taskId: 'bad', status: { state: 'rejected' } }]),
  );
  expect(changes).toMatchObject([{ replace: true, put: [] }]);
});

test('a change that cannot be followed ends the session, and the next one begins with everything', async () => {
  session.start();
  await waitFor(() => expect(session.connected).toBe(true));
  cannotFollow = true;
  manager.send({ type: 'assignments', mode: 'complete', sequence: 1, more: false, put: [], remove: [] });
  await waitFor(() => expect(manager.sessions).toBe(2));
  cannotFollow = false;
  await waitFor(() => expect(session.connected).toBe(true));
  // Of increments alone nothing is taken in a new session.
  manager.send({ type: 'assignments', mode: 'incremental', sequence: 2, more: false, put: [], remove: [] });
  manager.send({ type: 'assignments', mode: 'complete', sequence: 1, more: false, put: [], remove: [] });
  await waitFor(() => expect(changes).toMatchObject([{ replace: true }, { replace: true }]));
});

test('a manager that follows older rules is not followed', async () => {
  manager.protocol = sessionProtocol - 1;
  session.start();
  await waitFor(() => expect(manager.sessions).toBeGreaterThan(1));
  expect(session.connected).toBe(false);
  expect(changes).toEqual([]);
});

test('a manager that refuses the host is asked again later and later', async () => {
  manager.refuses = true;
  session.start();
  await waitFor(() => expect(manager.sessions).toBeGreaterThan(2));
  await systemClock.sleep(300);
  expect(manager.sessions).toBeLessThan(10);
  expect(session.connected).toBe(false);
});

test('tells what is wrong with the host after the greeting, and again when it has changed', async () => {
  conditions = [{ type: 'DiskFull', message: 'full' }];
  session.start();
  const told = () =>
    manager.received.flatMap((message) => (message.type === 'conditions' ? [message.conditions] : []));
  await waitFor(() => expect(told()).toEqual([conditions]));
  conditions = [];
  session.conditionsChanged();
  await waitFor(() => expect(told()).toHaveLength(2));
  expect(told()[1]).toEqual([]);
});

test('describes the host again when it has changed, and only then', async () => {
  session.start();
  await waitFor(() => expect(session.connected).toBe(true));
  const told = () =>
    manager.received.flatMap((message) => (message.type === 'hello' ? [message.description.hostname] : []));
  session.descriptionChanged();
  hostname = 'renamed';
  session.descriptionChanged();
  session.descriptionChanged();
  await waitFor(() => expect(told()).toEqual(['h', 'renamed']));
});

test('a newer manager asks for what is not known here: it is answered or left out, and the session goes on', async () => {
  session.start();
  await waitFor(() => expect(session.connected).toBe(true));
  const request = { kind: 'clone-volume', name: 'v' } as unknown as StreamRequest;
  manager.send({ type: 'stream', streamId: 's', request });
  await waitFor(() => expect(manager.streams[0]?.frames).toHaveLength(1));
  expect(manager.streams[0]?.frames[0]).toMatch(/^error .*not_supported.*upgrade whichever is older/);
  await manager.streams[0]?.closed;
  manager.send({ type: 'assignments', mode: 'complete', sequence: 1, more: false, put: [], remove: [] });
  const kind = 'snapshot' as 'config';
  const remove = [
    { kind, id: 'v' },
    { kind: 'config' as const, id: 'c' },
  ];
  manager.send({ type: 'assignments', mode: 'incremental', sequence: 2, more: false, put: [], remove });
  await waitFor(() => expect(changes[1]?.remove).toEqual([{ kind: 'config', id: 'c' }]));
  expect(manager.sessions).toBe(1);
});

test('asks for everything at a gap', async () => {
  session.start();
  await waitFor(() => expect(session.connected).toBe(true));
  const send = (mode: 'complete' | 'incremental', sequence: number) =>
    manager.send({ type: 'assignments', more: false, put: [], remove: [], mode, sequence });
  send('complete', 1);
  send('incremental', 3);
  await waitFor(() => expect(manager.received.map(({ type }) => type)).toContain('resync'));
  expect(changes).toHaveLength(1);
});

test('ends a session that sends what it cannot read, and makes a new one', async () => {
  session.start();
  await waitFor(() => expect(session.connected).toBe(true));
  manager.send('nonsense' as unknown as ManagerMessage); // what no manager of ours would send
  await waitFor(() => expect(manager.sessions).toBe(2));
});

test('does not talk to a server that is no manager, though the same authority vouches for it', async () => {
  const worker = await selfSigned('worker.shoal');
  const impostor = new FakeManager(worker);
  credentials = worker;
  const fooled = sessionTo(await impostor.listen());
  fooled.start();
  await waitFor(() => expect(impostor.connections).toBeGreaterThan(2)); // it has given up on the first ones
  expect(impostor.sessions).toBe(0);
  await fooled.stop();
  impostor.close();
});

test('serves logs and commands on streams that it dials back', async () => {
  session.start();
  await waitFor(() => expect(session.connected).toBe(true));
  const collect = async (index: number, feed: (socket: WebSocket) => void) => {
    await waitFor(() => expect(manager.streams.length).toBeGreaterThan(index));
    const { socket, frames, closed } = manager.streams[index]!;
    feed(socket);
    await closed;
    return frames;
  };
  manager.send({ type: 'stream', streamId: '1', request: { kind: 'logs', taskId: 't', follow: false } });
  expect((await collect(0, () => undefined)).map((frame) => JSON.parse(frame.slice(4)).text)).toEqual([
    'one',
    'two',
  ]);
  // Counted back from by the clock that the lines have.
  const aged = { kind: 'logs', taskId: 't', follow: false, ageMs: 600_000 } as const;
  manager.send({ type: 'stream', streamId: '1b', request: aged });
  await collect(1, () => undefined);
  expect(logsAge).toBe(600);
  const exec = (taskId: string): StreamRequest => ({
    kind: 'exec',
    taskId,
    command: ['x'],
    tty: false,
    environment: {},
  });
  engine.onExec = () => ({ exitCode: 3, output: 'said' });
  manager.send({ type: 'stream', streamId: '2', request: exec('t') });
  expect(await collect(2, (socket) => socket.send(encodeFrame('stdin', 'in')))).toEqual([
    'stdout said',
    'exit {"exitCode":3}',
  ]);
  manager.send({ type: 'stream', streamId: '3', request: exec('unknown') });
  expect((await collect(3, () => undefined)).join()).toMatch(/^error .*not_found/);
});

test('many streams at once are all served, though the manager closes connections that it does not know yet', async () => {
  session.start();
  await waitFor(() => expect(session.connected).toBe(true));
  manager.closes = 12;
  for (let index = 0; index < 40; index++) {
    const request = { kind: 'logs', taskId: 't', follow: false } as const;
    manager.send({ type: 'stream', streamId: String(index), request });
  }
  await waitFor(() => expect(manager.streams.length).toBe(40));
  await Promise.all(manager.streams.map(({ closed }) => closed));
  expect(manager.streams.map(({ frames }) => frames.length)).toEqual(Array<number>(40).fill(2));
});

test('heartbeats go on while the loop of the agent stands still, and say for how long it has', async () => {
  const heard = new Worker(listener, {
    eval: true,
    workerData: { credentials, sessionPath, protocol: sessionProtocol },
  });
  const { promise, resolve } = Promise.withResolvers<number>();
  const beats: { stalledMs?: number }[] = [];
  heard.on('message', (message: number | { stalledMs?: number }) => {
    if (typeof message === 'number') resolve(message);
    else beats.push(message);
  });
  const stalled = sessionTo(`127.0.0.1:${await promise}`);
  stalled.start();
  await waitFor(() => expect(beats.length).toBeGreaterThan(2));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_500); // nothing of this loop runs meanwhile
  const told = () => beats.flatMap(({ stalledMs }) => stalledMs ?? []);
  await waitFor(() => expect(told().length).toBeGreaterThan(3));
  await waitFor(() => expect(beats.at(-1)).not.toHaveProperty('stalledMs'));
  expect(told().at(-1)).toBeGreaterThan(2_000);
  expect(told().at(-1)).toBeLessThan(3_500);
  await stalled.stop();
  await heard.terminate();
});

/** A manager in another thread, which goes on listening while this one stands still: hands on every heartbeat. */
const listener = `
  const https = require('node:https');
  const { parentPort, workerData } = require('node:worker_threads');
  const { WebSocketServer } = require('ws');
  const { credentials, sessionPath, protocol } = workerData;
  const server = https.createServer({ ...credentials, requestCert: true });
  new WebSocketServer({ server, path: sessionPath }).on('connection', (socket) => {
    socket.on('message', (data) => {
      const message = JSON.parse(data.toString());
      const welcome = { type: 'welcome', nodeId: 'n', heartbeatIntervalMs: 200, protocol, version: '0', at: 0 };
      if (message.type === 'hello') socket.send(JSON.stringify(welcome));
      if (message.type === 'heartbeat') parentPort.postMessage(message);
    });
  });
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
`;
