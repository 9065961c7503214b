import { messageOf } from '../../../src/util/errors.ts';
import { systemRandom } from '../../../src/util/random.ts';
import { createCluster, type Cluster } from '../../harness/cluster.ts';
import { Load } from '../../harness/load.ts';
import { renderTable, secondsOf } from '../statistics.ts';
import { drawRound } from './draw.ts';
import { isStranded, rowOf } from './model.ts';
import { otherProject, port, prepare, fileFor, type Images } from './project.ts';
import { writeFileOf } from './act.ts';
import { askState } from './reality.ts';
import { Rounds, type RoundResult } from './rounds.ts';
import { settle } from './settling.ts';

/**
 * A project of three services under a steady load, while two clients change it and its hosts, well and badly: whether a request is lost
 * that a change cost, and whether exit codes, `ls`, `ps`, containers and ports agree after each change.
 */

export interface HurtOptions {
  /** How many changes are made in all. */
  changes: number;
  seed?: number;
  /** This round of the seed alone. */
  only?: number;
}

export interface HurtResult {
  seed: number;
  requests: number;
  rounds: RoundResult[];
  /** From the cut of each host that was lost: until it was called down, and until no other host sent anything there. */
  lost: { foundMs: number; toldMs: number }[];
}

const loadClients = 3;
const loadPauseMs = 40;
const firstReplicas = { web: 3, api: 2 };

export async function measureHurt({
  changes,
  seed = Math.floor(systemRandom.next() * 1e6),
  only,
}: HurtOptions): Promise<HurtResult> {
  const note = (line: string) => void process.stderr.write(`${line}\n`);
  note(`seed ${seed}`);
  await using cluster = await createCluster({ hosts: 3, onStep: (step) => note(`${step} …`) });
  const images = await prepare(cluster);
  await bringUp(cluster, images);
  const urls = new Map(cluster.hosts.map(({ name, address }) => [name, `http://${address}:${port}/`]));
  const load = new Load([...urls.values()], loadClients, loadPauseMs);
  const results: RoundResult[] = [];
  const rounds = new Rounds({ cluster, images, load, urls });
  // Who has not the time for all of it gets told of the rounds that were made.
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
  try {
    const lossy = cluster.hosts.slice(1).map(({ name }) => name); // the manager's host is not lost: there is only one
    let made = 0;
    for (let round = only ?? 1; made < changes && !stop.signal.aborted; round++) {
      const draw = drawRound(seed, round, await askState(cluster), lossy);
      const result = await rounds.run(round, { ...draw, changes: draw.changes.slice(0, changes - made) });
      made += result.changes.length;
      results.push(result);
      note(wordsOfRound(result));
      if (result.violations.length > 0) note(await cluster.troubles());
      if (only !== undefined) break;
    }
  } catch (error) {
    note(`Ended early: ${messageOf(error)}`);
    note(await cluster.troubles());
    process.exitCode = 1;
  }
  const { requests } = await load.stop();
  const lost = rounds.outages.map(({ fromMs, foundMs, toldMs }) => ({
    foundMs: foundMs - fromMs,
    toldMs: toldMs - fromMs,
  }));
  return { seed, requests, rounds: results, lost };
}

async function bringUp(cluster: Cluster, images: Images): Promise<void> {
  const variant = { version: '0', secondPort: false };
  const services = {
    web: { ...variant, replicas: firstReplicas.web },
    api: { ...variant, replicas: firstReplicas.api },
    store: { ...variant, replicas: 1 },
  };
  const files = [otherProject(images), fileFor(images, { services })];
  for (const [index, text] of files.entries()) {
    const path = await writeFileOf(cluster, text, `first${index}`);
    const { exitCode, stderr } = await cluster.shoal(['up', '-f', path]);
    if (exitCode !== 0) throw new Error(`Cannot begin: ${stderr}`);
  }
  const scales = Object.entries(firstReplicas).map(([key, replicas]) => `${key}=${replicas}`);
  await cluster.shoal(['scale', '-p', 'hurt', ...scales]);
  await settle(cluster, await askState(cluster));
}

function wordsOfRound({ round, changes, violations, lost, crashed, tookMs, state }: RoundResult): string {
  const told = changes.map(({ words, exitCode }) => `${words} → ${exitCode}`).join(' | ');
  const away =
    state.drained === undefined
      ? ''
      : ` (${state.drained} drained${isStranded(state) ? ', the store waits' : ''})`;
  const lines = violations.map((line) => `  VIOLATION ${line}`);
  const lossWords = [
    lost === 0 ? '' : `, ${lost} requests lost with a host`,
    crashed === 0 ? '' : `, ${crashed} with a version that crashed`,
  ].join('');
  return [`round ${round}: ${told}${away}: ${(tookMs / 1000).toFixed(1)} s${lossWords}`, ...lines].join('\n');
}

/** One row for each kind of change. */
export function hurtTable({ seed, requests, rounds, lost: outages }: HurtResult): string {
  const changes = rounds.flatMap((round) => round.changes.map((change) => ({ ...change, round })));
  const kinds = Map.groupBy(changes, ({ change }) => rowOf(change));
  const rows = [...kinds]
    .toSorted(([left], [right]) => left.localeCompare(right))
    .map(([kind, some]) => {
      const exits = [...Map.groupBy(some, ({ exitCode }) => exitCode)].toSorted(
        ([left], [right]) => left - right,
      );
      return [
        kind,
        String(some.length),
        exits.map(([code, those]) => `${code}: ${those.length}`).join(', '),
        String(some.filter(({ round }) => round.violations.length > 0).length),
        ...secondsOf(some.map(({ tookMs }) => tookMs)),
      ];
    });
  const failed = rounds.reduce((sum, round) => sum + round.failed, 0);
  const lost = rounds.reduce((sum, round) => sum + round.lost, 0);
  const crashed = rounds.reduce((sum, round) => sum + round.crashed, 0);
  const stalled = rounds.reduce((sum, round) => sum + round.stalled, 0);
  const looks = rounds.reduce((sum, round) => sum + round.looks, 0);
  const missed = rounds.reduce((sum, round) => sum + round.missedLooks, 0);
  const violations = rounds.flatMap(({ round, violations }) =>
    violations.map(
      (line) =>
        `seed ${seed}, round ${round} (npm run bench -- hurt --seed ${seed} --only ${round}): ${line}`,
    ),
  );
  return [
    renderTable([
      ['', 'changes', 'exit codes', 'in rounds with violations', 'median s', 'longest s'],
      ...rows,
    ]),
    '',
    `${changes.length} changes in ${rounds.length} rounds, ${looks} looks in the middle of them (${missed} without an answer), ${requests} requests: ${failed} failed for a change, ${lost} with a host that was lost, ${crashed} with a bad version that served and crashed, ${stalled} while the bench itself stood still`,
    ...(outages.length > 0 ? [lostWords(outages)] : []),
    ...(violations.length > 0 ? violations : ['no violations']),
    `seed ${seed}`,
  ].join('\n');
}

function lostWords(lost: HurtResult['lost']): string {
  const found = secondsOf(lost.map(({ foundMs }) => foundMs)).join(' s, longest ');
  const told = secondsOf(lost.map(({ toldMs }) => toldMs)).join(' s, longest ');
  return `${lost.length} hosts lost: called down after ${found} s, nothing sent there any more after ${told} s`;
}
