import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { systemClock } from '../src/util/clock.ts';
import { messageOf, ShoalError } from '../src/util/errors.ts';
import { pushGuestbookImages } from '../samples/guestbook/images.ts';
import { createCluster, shoalCommand, type Cluster } from './harness/cluster.ts';
import { leaderOf, standing, untilManagers, untilWritten } from './harness/managers.ts';
import { getJson, Load, type LoadResult, type Visit } from './harness/load.ts';

/**
 * Three hosts on this machine, a cluster of them, a real application on it, and then proof that it does what it should.
 * `--once` ends after the proof; otherwise everything stands until Ctrl-C. Nothing stays behind either way. With `--managers 3` the one
 * that leads is killed as well.
 */

const composeFile = join(import.meta.dirname, '../samples/guestbook/compose.yaml');
const stepLimitMs = 120_000;
const parentCheckMs = 1_000;
const loadClients = 4;
const before = 3;
const after = 6;

const parsed = parseArgs({ options: { once: { type: 'boolean' }, managers: { type: 'string' } } });
const managers = Number(parsed.values.managers ?? 1);
const hosts = Math.max(3, managers);

const startedAt = systemClock.now();
const stop = new AbortController();
const summary: string[] = [];

function say(line = ''): void {
  process.stdout.write(`${line}\n`);
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

/** Runs one step, showing its name while it lasts, and says how it went. `work` must end when its signal aborts. */
async function step<T>(
  what: string,
  work: (signal: AbortSignal) => Promise<T>,
  told: (result: T) => string,
): Promise<T> {
  stop.signal.throwIfAborted();
  const began = systemClock.now();
  const onTerminal = process.stdout.isTTY;
  if (onTerminal) process.stdout.write(`  … ${what}`);
  const limit = AbortSignal.timeout(stepLimitMs);
  const result = await work(AbortSignal.any([stop.signal, limit])).finally(() => {
    if (onTerminal) process.stdout.write('\r\u001B[K'); // back to the line's start, and clear it
  });
  done(told(result), began);
  return result;
}

function done(what: string, began: number): void {
  const line = `${what.padEnd(68)} ${seconds(systemClock.now() - began).padStart(7)}`;
  summary.push(line);
  say(`  ✓ ${line}`);
}

/** Runs `shoal` with this terminal, so that its own progress shows. `expected` is the exit code to come. */
async function shoal(
  cluster: Cluster,
  args: string[],
  environment: NodeJS.ProcessEnv = {},
  expected = 0,
): Promise<void> {
  stop.signal.throwIfAborted();
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value} `);
  say(`  $ ${variables.join('')}shoal ${args.join(' ').replace(`${process.cwd()}/`, '')}`);
  const [program, ...all] = shoalCommand(args);
  const child = spawn(program, all, {
    stdio: 'inherit',
    env: {
      ...process.env,
      SHOAL_HOST: cluster.manager.endpoint,
      REGISTRY: `${cluster.registry}/library`,
      ...environment,
    },
  });
  const end = () => child.kill('SIGTERM');
  stop.signal.addEventListener('abort', end, { once: true });
  const [code] = (await once(child, 'exit')) as [number | null];
  stop.signal.removeEventListener('abort', end);
  stop.signal.throwIfAborted();
  if (code !== expected)
    throw new ShoalError('failed_precondition', `Cannot go on: shoal ${args[0]} ended with ${code}`);
}

const urlsOf = (cluster: Cluster) => cluster.hosts.map(({ address }) => `http://${address}:8080/`);

/** Asks every host in turn until that many different replicas have answered. */
async function seeReplicas(
  cluster: Cluster,
  wanted: number,
  signal: AbortSignal,
): Promise<Map<string, Set<string>>> {
  const seen = new Map<string, Set<string>>(cluster.hosts.map(({ name }) => [name, new Set()]));
  const all = () => new Set([...seen.values()].flatMap((replicas) => [...replicas])).size;
  for (let round = 0; round < 100 && all() < wanted; round++) {
    for (const { name, address } of cluster.hosts) {
      signal.throwIfAborted();
      const { replica } = await getJson<Visit>(`http://${address}:8080/`);
      seen.get(name)!.add(replica);
    }
  }
  if (all() === wanted) return seen;
  throw new ShoalError('internal', `Cannot see ${wanted} replicas of web: only ${all()} answered`);
}

/** Restarts Redis by ending it; the count before and after. */
async function restartStore(cluster: Cluster, signal: AbortSignal): Promise<[number, number]> {
  const [url] = urlsOf(cluster) as [string];
  const { visits } = await getJson<Visit>(url);
  await cluster.shoal(['exec', '-T', '-p', 'guestbook', 'store', 'kill', '1']);
  for (;;) {
    signal.throwIfAborted();
    const visit = await getJson<Visit>(url).catch(() => undefined);
    // the old process may answer once more before it ends: a later process id or a failure is what counts
    if (visit && (await restarted(cluster))) return [visits, visit.visits];
    await systemClock.sleep(100);
  }
}

async function restarted(cluster: Cluster): Promise<boolean> {
  const { stdout } = await cluster.shoal(['ps', '-p', 'guestbook', 'store', '--all', '--json']);
  const tasks = JSON.parse(stdout) as { state: string; desiredState: string }[];
  return (
    tasks.length > 1 && tasks.some((task) => task.state === 'running' && task.desiredState === 'running')
  );
}

/** Does something while requests come in without a pause, and gives what came of those; throws when one is lost. */
async function underLoad(cluster: Cluster, what: string, work: () => Promise<void>): Promise<LoadResult> {
  const load = new Load(urlsOf(cluster), loadClients);
  try {
    await work();
  } finally {
    await load.stop();
  }
  const result = await load.stop();
  if (result.failed === 0) return result;
  throw new ShoalError(
    'internal',
    `Cannot ${what} without loss: ${result.failed} of ${result.requests} requests failed\n${result.failures.join('\n')}`,
  );
}

const second = { VERSION: '2', REPLICAS: String(after) };

/** Rolls `web` to version 2. */
async function roll(cluster: Cluster): Promise<string> {
  const work = () => shoal(cluster, ['up', '-f', composeFile], second);
  const { requests, versions } = await underLoad(cluster, 'roll', work);
  await seeReplicas(cluster, after, stop.signal);
  const seen = await Promise.all(urlsOf(cluster).map((url) => getJson<Visit>(url)));
  if (!versions.has('1') || seen.some(({ version }) => version !== '2')) {
    throw new ShoalError('internal', `Cannot see version 2 take over from version 1`);
  }
  return `web rolled to version 2: ${requests} requests meanwhile, 0 failed`;
}

/** Kills the manager that leads while requests come in, and says how long it took until another one accepted a change. */
async function loseLeader(cluster: Cluster): Promise<string> {
  const leader = await leaderOf(cluster, cluster.manager.name);
  const other = cluster.hosts.slice(0, managers).find(({ name }) => name !== leader.name)!;
  const containers = await standing(cluster.hosts);
  let writtenMs = 0;
  const { requests } = await underLoad(cluster, 'lose the leader', async () => {
    say(`  the manager of host ${leader.name}, which leads, is killed`);
    await leader.kill('manager');
    writtenMs = await untilWritten(cluster, other.name, other.name);
    await shoal(cluster, ['node', 'ls'], { SHOAL_HOST: other.endpoint });
  });
  await untilManagers(cluster, other.name, ['Leader', ...Array<string>(managers - 1).fill('Reachable')]);
  if (!isDeepStrictEqual(await standing(cluster.hosts), containers)) {
    throw new ShoalError('internal', 'Cannot lose the leader without a container noticing');
  }
  const next = `next change accepted after ${seconds(writtenMs)}`;
  return `leader ${leader.name} killed: ${next}, ${requests} requests, 0 failed`;
}

/** Asks for a version 3 whose image does not exist: the command says why it failed, and version 2 serves on. */
async function failToRoll(cluster: Cluster): Promise<string> {
  const broken = { ...second, VERSION: '3', NODE_TAG: 'no-such-tag' };
  const work = () => shoal(cluster, ['up', '-f', composeFile], broken, 1);
  const { requests, versions } = await underLoad(cluster, 'fail', work);
  if (versions.size !== 1 || !versions.has('2')) {
    throw new ShoalError('internal', `Cannot see version 2 alone serve: ${[...versions].join(', ')} did`);
  }
  await shoal(cluster, ['service', 'history', '-p', 'guestbook', 'web']);
  return `version 3 failed and was rolled back: ${requests} requests meanwhile, 0 failed`;
}

async function show(cluster: Cluster): Promise<void> {
  await step(
    'build the images from what is on this machine, push them',
    () => pushGuestbookImages(cluster.registry),
    () => `images built on this machine and pushed to ${cluster.registry}`,
  );
  const upAt = systemClock.now();
  await shoal(cluster, ['up', '-f', composeFile]);
  done('guestbook is up: web, store, worker', upAt);
  await step(
    'ask every host',
    (signal) => seeReplicas(cluster, before, signal),
    (seen) => `${[...seen.keys()].join(', ')} all answer, through ${before} different replicas`,
  );
  await step(
    'end Redis and see whether it remembers',
    (signal) => restartStore(cluster, signal),
    ([was, is]) => `Redis was killed and remembers: visit ${was}, then visit ${is}`,
  );
  const scaleAt = systemClock.now();
  await shoal(cluster, ['scale', '-p', 'guestbook', `web=${after}`]);
  await seeReplicas(cluster, after, stop.signal);
  done(`web scaled ${before} → ${after}, and all ${after} answer`, scaleAt);
  const rollAt = systemClock.now();
  done(await roll(cluster), rollAt);
  const failAt = systemClock.now();
  done(await failToRoll(cluster), failAt);
  if (managers < 3) return;
  const lossAt = systemClock.now();
  done(await loseLeader(cluster), lossAt);
}

function printSummary(cluster: Cluster): void {
  say();
  say('What was shown');
  for (const line of summary) say(`  ✓ ${line}`);
  say(`    ${'all in all'.padEnd(68)} ${seconds(systemClock.now() - startedAt).padStart(7)}`);
  say();
  say('demo ok');
  if (parsed.values.once) return;
  const { endpoint, address } = cluster.manager;
  say();
  say('The cluster runs on until Ctrl-C. In another terminal:');
  say(`  export SHOAL_HOST=${endpoint}`);
  say('  npm run -s shoal -- ps');
  say('  npm run -s shoal -- logs -f -p guestbook web');
  say('  npm run -s shoal -- scale -p guestbook web=9');
  say(`  (the guestbook is at http://${address}:8080/, and every other host)`);
}

/** Signals, and the end of whoever started this, end the demo; what stands is taken down on the way out. */
function watchForTheEnd(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => stop.abort(new Error(`stopped by ${signal}`)));
  }
  const parent = process.ppid;
  const check = () => {
    if (process.ppid !== parent) stop.abort(new Error('stopped: whoever started it is gone'));
    else cancel = systemClock.after(parentCheckMs, check);
  };
  let cancel = systemClock.after(parentCheckMs, check);
  stop.signal.addEventListener('abort', () => cancel());
  cancelWatch = () => cancel();
}

let cancelWatch = () => {};

async function main(): Promise<number> {
  say(`Shoal on ${hosts} hosts of this machine${managers > 1 ? `, ${managers} of them managers` : ''}`);
  say();
  let cluster: Cluster | undefined;
  let failure: unknown;
  try {
    cluster = await step(
      `make ${hosts} hosts and form a cluster`,
      (signal) => createCluster({ hosts, managers, signal }),
      (made) => `hosts ${made.hosts.map(({ name }) => name).join(', ')} form a cluster with join tokens`,
    );
    await show(cluster);
    printSummary(cluster);
    if (!parsed.values.once) await once(stop.signal, 'abort');
  } catch (error) {
    failure = error;
  }
  cancelWatch();
  const interrupted = stop.signal.aborted;
  if (failure !== undefined) say(`\n${interrupted ? 'Interrupted' : 'Failed'}: ${messageOf(failure)}`);
  if (failure !== undefined && !interrupted && cluster) await explain(cluster);
  if (cluster) {
    say('\nTaking everything down …');
    await cluster.down();
    const left = await cluster.leftovers();
    say(left.length === 0 ? 'Nothing is left.' : `Left behind:\n${left.join('\n')}`);
    if (left.length > 0) return 1;
  }
  if (failure === undefined) return 0;
  return interrupted ? 130 : 1;
}

/** After a failure, what a person would look at first. */
async function explain(cluster: Cluster): Promise<void> {
  const { stdout } = await cluster
    .shoal(['ps', '-p', 'guestbook'])
    .catch((error: unknown) => ({ stdout: messageOf(error) }));
  say(stdout);
}

watchForTheEnd();
process.exitCode = await main();
