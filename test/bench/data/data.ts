import { systemClock } from '../../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../../src/util/errors.ts';
import { seededRandom } from '../../../src/util/random.ts';
import { createCluster, type Cluster } from '../../harness/cluster.ts';
import { untilConverged, writeComposeFile } from '../../harness/compose.ts';
import { makeSampleImages, pushSampleImages } from '../../harness/sample-images.ts';
import { paths } from '../../harness/state.ts';
import { renderTable, secondsOf } from '../statistics.ts';
import { application, eventKinds, Events, HomeWatch, type EventKind } from './events.ts';
import { protocols, Writer } from './stores.ts';

/** Until all three programs run and take writes again. */
const convergeMsMax = 90_000;
/** Numbers that a program must take before it counts as going on. */
const freshWrites = 5;

interface DataRound {
  event: EventKind;
  service: string;
  /** What the command said, or what was done. */
  said: string;
  /** From the end of the event until all programs took writes again. */
  backMs: number;
  failure?: string;
  /** Acknowledged numbers that were not there afterwards, by program. */
  missing: Record<string, number[]>;
}

export interface DataResult {
  seed: number;
  rounds: DataRound[];
  acknowledged: Record<string, number>;
  /** Tasks that were seen anywhere but where their volume was, and how often it was looked. */
  wrongHomes: number;
  looks: number;
}

const fileServer = `const { openSync, writeSync, fsyncSync, readFileSync } = require('node:fs');
const fd = openSync('/data/log', 'a');
require('node:net').createServer((socket) => {
  let rest = '';
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => {
    const lines = (rest + chunk).split('\\n');
    rest = lines.pop();
    for (const line of lines) {
      if (line === 'list') socket.write(readFileSync('/data/log', 'utf8').trim().replaceAll('\\n', ' ') + '\\n');
      else { writeSync(fd, line + '\\n'); fsyncSync(fd); socket.write('ok ' + line + '\\n'); }
    }
  });
}).listen(7000);
process.on('SIGTERM', () => process.exit(0));
`;

function composeText(registry: string): string {
  const indented = fileServer.replaceAll('$', '$$$$').replaceAll(/^/gm, '      ');
  return `services:
  redis:
    image: ${registry}/library/redis:7-bookworm
    command: [redis-server, --appendonly, "yes", --appendfsync, always, --dir, /data, --protected-mode, "no"]
    ports: ["16379:6379"]
    volumes: ["redis:/data"]
    deploy: &deploy { restart_policy: { delay: 0s } }
  postgres:
    image: ${registry}/library/postgres:17
    command: [postgres, -c, hba_file=/etc/hba.conf]
    environment: { POSTGRES_PASSWORD: unused }
    configs: [{ source: hba, target: /etc/hba.conf }]
    ports: ["15432:5432"]
    volumes: ["postgres:/var/lib/postgresql/data"]
    deploy: *deploy
  file:
    image: ${registry}/library/node:24-bookworm-slim
    command: [node, /server.js]
    configs: [{ source: server, target: /server.js }]
    ports: ["17000:7000"]
    volumes: ["file:/data"]
    deploy: *deploy
volumes: { redis: , postgres: , file: }
configs:
  hba: { content: "host all all all trust\\nlocal all all trust\\n" }
  server:
    content: |
${indented}
`;
}

/** Redis, PostgreSQL and a program that syncs each line, written to while their hosts, programs and volumes are disturbed. */
export async function measureData(options: {
  rounds: number;
  seed?: number;
  only?: string;
}): Promise<DataResult> {
  const note = (line: string) => void process.stderr.write(`${line}\n`);
  const seed = options.seed ?? Math.floor(systemClock.now() % 1_000_000);
  note(`seed ${seed}`);
  const random = seededRandom(seed);
  const kinds = eventKinds.filter((kind) => options.only === undefined || kind === options.only);
  if (kinds.length === 0)
    throw new ShoalError('invalid_argument', `Cannot do that: events are ${eventKinds.join(', ')}`);
  await using cluster = await createCluster({ hosts: 3, onStep: (step) => note(`${step} …`) });
  await bringUp(cluster);
  const addresses = cluster.hosts.map(({ address }) => address);
  const writers = protocols.map((protocol) => new Writer(protocol, addresses));
  const watch = new HomeWatch(cluster);
  const events = new Events(cluster, random);
  const rounds: DataRound[] = [];
  for (const writer of writers) writer.start();
  watch.start();
  try {
    await goingOn(cluster, writers);
    for (let round = 1; round <= options.rounds; round++) {
      // Every kind comes as often as the others, in an order that is another one each time.
      const event = kinds[(round - 1) % kinds.length]!;
      const { name: service } = protocols[Math.floor(random.next() * protocols.length)]!;
      note(`round ${round} of ${options.rounds}: ${event}, ${service} …`);
      const done = await oneRound(cluster, writers, () => events.happen(event, service));
      rounds.push({ event, service, ...done });
      note(`  ${JSON.stringify(done)}`);
      if (done.failure !== undefined) note(await cluster.troubles());
    }
  } finally {
    await Promise.all([watch.stop(), ...writers.map((writer) => writer.stop())]);
  }
  const acknowledged = Object.fromEntries(
    writers.map(({ protocol, acknowledged: { size } }) => [protocol.name, size]),
  );
  return { seed, rounds, acknowledged, wrongHomes: watch.wrong.size, looks: watch.looks };
}

async function bringUp(cluster: Cluster): Promise<void> {
  const images = await makeSampleImages(paths(cluster.directory).images, ['postgres:17']);
  await pushSampleImages(cluster.registry, images);
  const path = await writeComposeFile(cluster, application, composeText(cluster.registry));
  const { exitCode, stderr } = await cluster.shoal(['up', '-f', path, '--timeout', '120'], {
    timeoutMs: 150_000,
  });
  if (exitCode !== 0) throw new ShoalError('internal', `Cannot bring the programs up: ${stderr}`);
}

async function oneRound(
  cluster: Cluster,
  writers: Writer[],
  happen: () => Promise<string>,
): Promise<Omit<DataRound, 'event' | 'service'>> {
  let said = '';
  const missing: Record<string, number[]> = {};
  let backMs = NaN;
  try {
    said = await happen();
    const endedAt = systemClock.monotonic();
    await goingOn(cluster, writers);
    backMs = Math.round(systemClock.monotonic() - endedAt);
    for (const writer of writers) {
      const numbers = await patiently(() => writer.missing());
      if (numbers.length > 0) missing[writer.protocol.name] = numbers;
    }
    return { said, backMs, missing };
  } catch (error) {
    return { said, backMs, missing, failure: messageOf(error) };
  }
}

/** Resolves when all programs run and each has taken more writes. */
async function goingOn(cluster: Cluster, writers: Writer[]): Promise<void> {
  await untilConverged(cluster, application, convergeMsMax);
  const until = systemClock.monotonic() + convergeMsMax;
  for (const writer of writers) {
    const { size } = writer.acknowledged;
    while (writer.acknowledged.size < size + freshWrites) {
      if (systemClock.monotonic() > until) throw new Error(`${writer.protocol.name} takes no writes`);
      await systemClock.sleep(50);
    }
  }
}

/** A host through which a program is asked may just be on its way back. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt >= 10) throw error;
      await systemClock.sleep(500);
    }
  }
}

export function dataTable({ seed, rounds, acknowledged, wrongHomes, looks }: DataResult): string {
  const lost = (some: DataRound[]) =>
    some.reduce((sum, { missing }) => sum + Object.values(missing).flat().length, 0);
  const rows = eventKinds.flatMap((kind) => {
    const some = rounds.filter(({ event }) => event === kind);
    if (some.length === 0) return [];
    const reached = some.filter(({ failure }) => failure === undefined);
    const times = secondsOf(reached.map(({ backMs }) => backMs));
    return [[kind, String(some.length), String(reached.length), String(lost(some)), ...times]];
  });
  const sums = Object.entries(acknowledged).map(([name, count]) => `${name} ${count}`);
  return [
    renderTable([['', 'rounds', 'going on', 'writes missing', 'median s', 'longest s'], ...rows]),
    `${rounds.length} rounds, seed ${seed}; acknowledged writes: ${sums.join(', ')}; missing: ${lost(rounds)}`,
    `tasks seen on a node that their volume was not on: ${wrongHomes} (${looks} looks)`,
  ].join('\n');
}
