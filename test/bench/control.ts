import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Worker } from 'node:worker_threads';
import { WebSocketServer, type WebSocket } from 'ws';
import { createAllocator } from '../../manager/allocator/allocator.ts';
import { createDispatcher, type Dispatcher } from '../../manager/dispatcher/dispatcher.ts';
import { createOrchestrator } from '../../manager/orchestrator/orchestrator.ts';
import { createScheduler } from '../../manager/scheduler/scheduler.ts';
import { openDatabase } from '../../manager/store/database.ts';
import { createMemoryStore } from '../../manager/store/memory.ts';
import type { Database } from '../../manager/store/objects.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { systemRandom } from '../../src/util/random.ts';
import { loadCluster } from './control-load.ts';
import { measureWatch, type PictureCost, type WatchCost } from './control-watch.ts';
import { median, renderTable } from './statistics.ts';

export interface ControlSize {
  tasks: number;
  nodes: number;
}

const allSizes: ControlSize[] = [
  { tasks: 1_000, nodes: 10 },
  { tasks: 10_000, nodes: 50 },
  { tasks: 50_000, nodes: 100 },
];

/** Every loop settles after a change within this long, its debounce included, unless a pass takes longer. */
const settleMs = 250;
/** Loops look at everything every 10 s: within this many rounds at rest each has done so once. */
const restRounds = 11_000 / settleMs;
/** Task changes a second while a dead node is looked for. */
const changesPerSecond = 100;
const findMsMax = 30_000;

export interface ControlResult {
  sizes: {
    tasks: number;
    nodes: number;
    /** What the manager's thread computes because one task has changed, by the loop that looks at it. */
    busyMs: Record<LoopName, number>;
    /** What it computes each second while nothing changes, above all for the heartbeats of all nodes. */
    restMs: Record<LoopName, number>;
    /** What a look at everything costs, which a loop takes every `passIntervalMs` whatever has changed. */
    passMs: Record<LoopName, number>;
    /** From a node's last heartbeat until it is called down, while tasks change all the time; undefined: not found. */
    findMs: number | undefined;
    /** A watch of one application of as many replicas. */
    watch: WatchCost;
  }[];
}

const loopNames = ['orchestrator', 'allocator', 'scheduler', 'dispatcher'] as const;
type LoopName = (typeof loopNames)[number];

interface Part {
  start(): void;
  stop(): Promise<void>;
}

/** One manager's loops over a store in memory, with a session for each node, at several sizes of the cluster. */
export async function measureControl(rounds: number, sizes = allSizes): Promise<ControlResult> {
  const result: ControlResult = { sizes: [] };
  for (const { tasks, nodes } of sizes) {
    process.stderr.write(`${tasks} tasks on ${nodes} nodes …\n`);
    const store = createMemoryStore();
    const database = await openDatabase(store, systemClock);
    const nodeIds = await loadCluster(database, tasks, nodes);
    const changing = () => changeOneTask(database);
    const idle = median(await busyOfRounds(rounds, changing));
    const busyMs = { orchestrator: 0, allocator: 0, scheduler: 0, dispatcher: 0 };
    const restMs = { ...busyMs };
    const passMs = { ...busyMs };
    for (const name of loopNames) {
      await using running = await startLoops(database, [name], nodeIds);
      void running;
      const atRest = await busyOfRounds(restRounds, () => undefined);
      const rest = median(atRest);
      restMs[name] = (rest * 1000) / settleMs;
      passMs[name] = Math.max(...atRest) - rest;
      busyMs[name] = Math.max(0, median(await busyOfRounds(rounds, changing)) - idle - rest);
    }
    const findMs = await timeToFind(database, nodeIds);
    const watch = measureWatch(tasks, rounds);
    result.sizes.push({ tasks, nodes, busyMs, restMs, passMs, findMs, watch });
    await database.close();
    await store.close();
  }
  return result;
}

/** The time that the manager's thread computes for each of some rounds. Their median leaves out what comes now and then. */
async function busyOfRounds(rounds: number, act: () => Promise<void> | undefined): Promise<number[]> {
  await systemClock.sleep(settleMs);
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const before = process.threadCpuUsage();
    await act();
    await systemClock.sleep(settleMs);
    const { user, system } = process.threadCpuUsage(before);
    times.push((user + system) / 1000);
  }
  return times;
}

let turn = 0;

/** A task begins to run, or one that runs is starting again: what no agent reports, but of the same cost. */
async function changeOneTask(database: Database): Promise<void> {
  const services = Math.floor(database.view.services.size / 5);
  const task = database.view.tasks.get(`service-${turn++ % services}-0-1`)!;
  const state = task.status.state === 'starting' ? 'running' : 'starting';
  const object = { ...task, status: { ...task.status, state } as const };
  await database.write([[{ kind: 'task', action: 'update', object }]]);
}

/** The loops, and with the dispatcher the sessions of all nodes, which have their complete sets. */
async function startLoops(database: Database, names: readonly LoopName[], nodeIds: string[]) {
  const parts = { database, clock: systemClock, random: systemRandom, log: silentLogger };
  const dispatcher = createDispatcher(parts);
  const loops: Record<LoopName, Part> = {
    orchestrator: createOrchestrator(parts),
    allocator: createAllocator(parts),
    scheduler: createScheduler(parts),
    dispatcher,
  };
  for (const name of names) loops[name].start();
  const agents = names.includes('dispatcher') ? await startAgents(database, dispatcher, nodeIds) : undefined;
  return {
    fallSilent: (nodeId: string) => agents?.fallSilent(nodeId),
    [Symbol.asyncDispose]: async () => {
      for (const name of names) await loops[name].stop();
      await agents?.stop();
    },
  };
}

async function startAgents(database: Database, dispatcher: Dispatcher, nodeIds: string[]) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
  const sockets = new Map<string, WebSocket>();
  server.on('connection', (socket, request) => {
    const nodeId = request.url!.slice(1);
    sockets.set(nodeId, socket);
    const remoteAddress = database.view.nodes.get(nodeId)!.description!.address;
    dispatcher.acceptSession(socket, nodeId, { remoteAddress, transport: request.socket });
  });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const nodes = nodeIds.map((id) => ({ id, address: database.view.nodes.get(id)!.description!.address }));
  const worker = new Worker(new URL('./control-agents.ts', import.meta.url), { workerData: { port, nodes } });
  const heard = new Set<string>();
  let bytes = 0;
  worker.on('message', (message: { nodeId: string; bytes: number }) => {
    if (message.bytes > 200) heard.add(message.nodeId); // more than the welcome
    bytes += message.bytes;
  });
  while (heard.size < nodeIds.length) await systemClock.sleep(settleMs);
  for (let before = -1; bytes !== before; await systemClock.sleep(settleMs)) before = bytes;
  // What it tells from here on would count as the manager's work.
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  worker.postMessage('quiet');
  return {
    /** As when the node's cable is pulled: nothing of it is read any more. */
    fallSilent: (nodeId: string) => sockets.get(nodeId)?.pause(),
    stop: async () => {
      await worker.terminate();
      server.close();
    },
  };
}

async function timeToFind(database: Database, nodeIds: string[]): Promise<number | undefined> {
  await using running = await startLoops(database, loopNames, nodeIds);
  const victim = nodeIds.at(-1)!;
  const isDown = () => database.view.nodes.get(victim)?.status.state === 'down';
  const load = new AbortController();
  const changing = changeOften(database, load.signal);
  await systemClock.sleep(2 * settleMs);
  running.fallSilent(victim);
  const from = performance.now();
  while (!isDown() && performance.now() - from < findMsMax) await systemClock.sleep(5);
  const findMs = isDown() ? performance.now() - from : undefined;
  load.abort();
  await changing;
  return findMs;
}

async function changeOften(database: Database, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await changeOneTask(database);
    await systemClock.sleep(1000 / changesPerSecond);
  }
}

function cost({ bytes, makeMs, readMs }: PictureCost): string[] {
  return [(bytes / 1024).toFixed(1), makeMs.toFixed(1), readMs.toFixed(1)];
}

export function controlTable({ sizes }: ControlResult): string {
  const show = (value: number | undefined) => (value === undefined ? '—' : value.toFixed(1));
  return [
    'Milliseconds of the manager’s processor because one task has changed, by loop; each second for the heartbeats of all nodes;',
    `and until a silent node is down while ${changesPerSecond} tasks change a second (— : not within ${findMsMax / 1000} s).`,
    '',
    renderTable([
      ['tasks × nodes', ...loopNames, 'heartbeats', 'node down after'],
      ...sizes.map(({ tasks, nodes, busyMs, restMs, findMs }) => [
        `${tasks} × ${nodes}`,
        ...loopNames.map((name) => show(busyMs[name])),
        show(restMs.dispatcher),
        show(findMs),
      ]),
    ]),
    '',
    'A look at everything, which each loop takes every 10 s.',
    '',
    renderTable([
      ['tasks × nodes', ...loopNames],
      ...sizes.map(({ tasks, nodes, passMs }) => [
        `${tasks} × ${nodes}`,
        ...loopNames.map((name) => show(passMs[name])),
      ]),
    ]),
    '',
    'A watch of one application of as many replicas: what is sent, and the milliseconds of the manager and of the client for it.',
    '',
    renderTable([
      ['replicas', 'first KiB', 'manager', 'client', 'change KiB', 'manager', 'client'],
      ...sizes.map(({ tasks, watch }) => [`${tasks}`, ...cost(watch.first), ...cost(watch.change)]),
    ]),
  ].join('\n');
}
