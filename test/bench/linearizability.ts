import { openEtcdStore, type EtcdStore } from '../../manager/store/etcd/etcd.ts';
import { systemClock } from '../../src/util/clock.ts';
import { seededRandom, type Random } from '../../src/util/random.ts';
import { EtcdCluster } from '../harness/etcd.ts';
import { whatIsWrong } from '../linearizability/check.ts';
import type { Log } from '../linearizability/history.ts';
import { readLog, Recorder } from '../linearizability/recorder.ts';
import { renderTable } from './statistics.ts';

const members = 3;
/** Of each manager's store. */
const clientsEach = 3;
const logMs = 60_000;

const kinds = [
  'leader paused',
  'leader paused thrice',
  'leader killed',
  'follower killed',
  'follower paused',
] as const;
type Kind = (typeof kinds)[number];

export interface LinearizabilityResult {
  seed: number;
  faults: Record<Kind, number>;
  operations: number;
  /** Calls without an answer, and those of them that were done all the same. */
  unknown: number;
  unknownDone: number;
  changes: number;
  /** How often another member led. */
  terms: number;
  /** Members whose watches told other things than the first one's. */
  differing: number;
  wrong: string[];
  checkMs: number;
}

/** Clients of three stores on real etcd while its members are paused and killed; then whether what they were told contradicts itself. */
export async function measureLinearizability(
  faults: number,
  seed = systemClock.now(),
): Promise<LinearizabilityResult> {
  const random = seededRandom(seed);
  const cluster = await EtcdCluster.start(members);
  const stores: EtcdStore[] = [];
  try {
    for (let index = 0; index < members; index++) {
      const endpoints = cluster.endpointsFrom(index);
      const options = { endpoints, tls: cluster.tls, clock: systemClock, prefix: 'linear/' };
      stores.push(await openEtcdStore({ ...options, owner: `manager${index}` }));
    }
    const { revision: from } = await stores[0]!.list('');
    const recorder = new Recorder(random);
    const over = new AbortController();
    const running = stores.flatMap((store, index) =>
      Array.from({ length: clientsEach }, (_, client) =>
        recorder.run(index * clientsEach + client, store, over.signal),
      ),
    );
    const all = Promise.all(running);
    const result = await Promise.race([disturb(cluster, faults, random), all.then(neverEnds)]);
    over.abort();
    await all;
    const { revision: upTo } = await stores[0]!.list('');
    const logs = await Promise.all(
      stores.map((store) => readLog(store, from, upTo, AbortSignal.timeout(logMs))),
    );
    return { seed, ...result, ...judge(recorder, logs) };
  } finally {
    for (const store of stores) await store.close();
    await cluster.down();
  }
}

function neverEnds(): never {
  throw new Error('Clients ended by themselves');
}

function judge({ history }: Recorder, logs: readonly Log[]) {
  const log = logs[0]!;
  const done = new Set(log.map(({ value }) => value));
  const unknown = history.filter(({ answer }) => answer.kind === 'unknown');
  const begin = systemClock.monotonic();
  const wrong = whatIsWrong(history, log);
  return {
    operations: history.length,
    unknown: unknown.length,
    unknownDone: unknown.filter(({ asked }) => asked.kind === 'swap' && done.has(asked.value)).length,
    changes: log.length,
    differing: logs.filter((each) => JSON.stringify(each) !== JSON.stringify(log)).length,
    wrong,
    checkMs: systemClock.monotonic() - begin,
  };
}

async function disturb(
  cluster: EtcdCluster,
  count: number,
  random: Random,
): Promise<Pick<LinearizabilityResult, 'faults' | 'terms'>> {
  const faults = Object.fromEntries(kinds.map((kind) => [kind, 0])) as Record<Kind, number>;
  let leader = await cluster.leader();
  let terms = 1;
  const between = (least: number, most: number) => systemClock.sleep(least + random.next() * (most - least));
  for (let made = 0; made < count;) {
    const kind = kinds[Math.floor(random.next() * kinds.length)]!;
    made += await befall(cluster, kind, leader, between, random);
    faults[kind]++;
    const next = await cluster.leader();
    if (next !== leader) terms++;
    leader = next;
    await between(50, 500);
  }
  return { faults, terms };
}

/** Gives how many faults that was. */
async function befall(
  cluster: EtcdCluster,
  kind: Kind,
  leader: number,
  between: (least: number, most: number) => Promise<void>,
  random: Random,
): Promise<number> {
  const follower = (leader + 1 + Math.floor(random.next() * (members - 1))) % members;
  const victim = kind.startsWith('leader') ? leader : follower;
  if (kind.endsWith('killed')) {
    await cluster.kill(victim);
    await between(0, 1_000);
    cluster.run(victim);
    return 1;
  }
  const times = kind.endsWith('thrice') ? 3 : 1;
  for (let time = 0; time < times; time++) {
    // each time whoever leads then
    const paused = time === 0 ? victim : await cluster.leader();
    cluster.signal(paused, 'SIGSTOP');
    await between(200, 2_000 / times);
    cluster.signal(paused, 'SIGCONT');
  }
  return times;
}

export function linearizabilityTable(result: LinearizabilityResult): string {
  const { faults, wrong, ...counts } = result;
  const rows = [
    ...Object.entries(faults).map(([kind, count]) => [kind, String(count)]),
    ['operations', String(counts.operations)],
    ['without an answer', String(counts.unknown)],
    ['of them done', String(counts.unknownDone)],
    ['changes', String(counts.changes)],
    ['terms', String(counts.terms)],
    ['members whose watch differs', String(counts.differing)],
    ['contradictions', String(wrong.length)],
    ['check, ms', counts.checkMs.toFixed(0)],
  ];
  return [
    `Three stores on etcd under faults (seed ${counts.seed}): what their clients were told, against one order of all that was done.`,
    '',
    renderTable([['', 'count'], ...rows]),
    ...wrong,
  ].join('\n');
}
