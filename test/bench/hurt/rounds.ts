import type { CommandResult } from '../../../src/util/command.ts';
import { systemClock } from '../../../src/util/clock.ts';
import { codeOf, messageOf } from '../../../src/util/errors.ts';
import { isWanted } from '../../../src/spec/task.ts';
import { currentVersion } from '../../../src/spec/versions.ts';
import type { Cluster } from '../../harness/cluster.ts';
import { requestLimitMs, type Load, type LoadFailure } from '../../harness/load.ts';
import { act, writeFileOf, type Outage } from './act.ts';
import { mismatches } from './compare.ts';
import type { Draw } from './draw.ts';
import {
  isLate,
  serviceKeys,
  variantOf,
  wordsOf,
  type Change,
  type ServiceKey,
  type State,
} from './model.ts';
import { MidwayLooks } from './midway.ts';
import { outcomesOf, whyUnexpected, whyUnsaid, type Finals } from './oracle.ts';
import { fileFor, type Images } from './project.ts';
import { askState, askStored, look, lookMidway, serviceCalled, type Stored } from './reality.ts';
import { settle } from './settling.ts';

export interface Rig {
  cluster: Cluster;
  images: Images;
  load: Load;
  /** Where the load asks, by host. */
  urls: ReadonlyMap<string, string>;
}

export interface ChangeResult {
  change: Change;
  words: string;
  exitCode: number;
  tookMs: number;
  /** What the command said, where its round has a violation. */
  said?: string;
}

export interface RoundResult {
  round: number;
  changes: ChangeResult[];
  laterMs: number;
  /** As all was before. */
  state: State;
  violations: string[];
  /** How often it was looked while the changes were under way. */
  looks: number;
  /** How often a host did not answer in time, so that nothing was compared. */
  missedLooks: number;
  /** Requests that failed because of a change, those that a host took with it, and those of a bad version that served and crashed. */
  failed: number;
  lost: number;
  crashed: number;
  /** Those of which the bench itself had no processor to see the end. */
  stalled: number;
  tookMs: number;
}

/** How long what follows from the end of a round may take to show in a request. */
const tailMs = 300;

/** Between two looks while changes are under way: each costs a second of a processor. */
const midwayPauseMs = 1_500;

/** Rounds of changes, one after another; each begins when all is at rest. */
export class Rounds {
  readonly #rig: Rig;
  readonly outages: Outage[] = [];
  #starts: string[] = [];

  constructor(rig: Rig) {
    this.#rig = rig;
  }

  async run(round: number, { changes, laterMs }: Draw): Promise<RoundResult> {
    const { cluster, load } = this.#rig;
    const state = await askState(cluster);
    const stored = await askStored(cluster);
    load.takeFailures();
    const beganMs = systemClock.monotonic();
    const midway = this.#lookMidway(changes);
    const results = await Promise.all(
      changes.map(async (change, index) => {
        await systemClock.sleep(index * laterMs);
        return await this.#change(change, state, `${round}${'ab'[index]}`);
      }),
    );
    const looks = await midway.end();
    const violations = [
      ...[...looks.wrong].map((line) => `meanwhile: ${line}`),
      ...(await this.#check(state, stored, changes, results)),
    ];
    await systemClock.sleep(tailMs);
    const failures = load.takeFailures();
    const crashesMs = changes.some(isCrash) ? crashesOf(await askStored(cluster)) : [];
    const lost = failures.filter((failure) => this.#isLost(failure));
    const crashed = failures.filter((failure) => !this.#isLost(failure) && isOfCrash(failure, crashesMs));
    const stalled = failures.filter(isOfStall).filter((failure) => !lost.includes(failure));
    const explained = [...lost, ...crashed, ...stalled];
    const failed = failures.filter((failure) => !explained.includes(failure));
    violations.push(...(await this.#told(failed, beganMs)));
    const isWrong = violations.length > 0;
    return {
      round,
      changes: results.map(({ said, ...result }) => (isWrong ? { ...result, said } : result)),
      laterMs,
      state,
      violations: isWrong
        ? [...violations, ...results.map(({ words, said }) => `${words} said: ${said}`)]
        : [],
      looks: looks.count,
      missedLooks: looks.missed,
      failed: failed.length,
      lost: lost.length,
      crashed: crashed.length,
      stalled: stalled.length,
      tookMs: systemClock.monotonic() - beganMs,
    };
  }

  /** Looks at all there is, again and again, until `end`. */
  #lookMidway(changes: readonly Change[]): { end: () => Promise<MidwayLooks> } {
    const looks = new MidwayLooks(
      new Set(changes.flatMap((change) => (change.kind === 'lose' ? [change.node] : []))),
    );
    const stop = new AbortController();
    const run = async () => {
      while (!stop.signal.aborted) {
        await systemClock.sleep(midwayPauseMs, stop.signal).catch(() => undefined); // the loop ends
        if (stop.signal.aborted) return;
        try {
          looks.add(await lookMidway(this.#rig.cluster));
        } catch (error) {
          // A host that does not answer in time says nothing; that `ls` or `ps` fails is wrong.
          if (codeOf(error) === 'failed_precondition') looks.wrong.add(messageOf(error));
          else looks.missed++;
        }
      }
    };
    const done = run();
    const end = async () => {
      stop.abort();
      await done;
      return looks;
    };
    return { end };
  }

  async #change(change: Change, state: State, name: string): Promise<ChangeResult & { said: string }> {
    const { cluster, images, load, urls } = this.#rig;
    const onOutage = (outage: Outage) => {
      this.outages.push(outage);
      load.skip(urls.get(outage.node)!, true);
    };
    const beganMs = systemClock.monotonic();
    const result = await act({ cluster, images, onOutage }, change, { state, name }).catch(
      (error: unknown): CommandResult => ({ exitCode: -1, stdout: '', stderr: messageOf(error) }),
    );
    if (change.kind === 'lose') load.skip(urls.get(change.node)!, false);
    const said = `${result.stdout}${result.stderr}`.trim();
    return {
      change,
      words: wordsOf(change),
      exitCode: result.exitCode,
      tookMs: systemClock.monotonic() - beganMs,
      said,
    };
  }

  /** Everything that is not as it must be; brings what did not come to rest back to what was there before. */
  async #check(
    before: State,
    stored: Stored,
    changes: readonly Change[],
    results: readonly ChangeResult[],
  ): Promise<string[]> {
    const { cluster, images } = this.#rig;
    const exits = results.map(({ exitCode }) => exitCode);
    const violations: string[] = [];
    const isAlone = changes.length === 1 && !('node' in changes[0]!);
    // What a command says is done is looked at when it says so, and not later.
    if (!(isAlone && exits[0] === 0)) {
      const left = await settle(cluster, await askState(cluster));
      if (left.length > 0) {
        violations.push(`not at rest after a minute: ${left.join('; ')}`);
        await this.#mend(before);
      }
    }
    const after = await askState(cluster);
    const unexpected = whyUnexpected(outcomesOf(before, changes), exits, finalsOf(after));
    if (unexpected !== undefined) violations.push(unexpected);
    for (const { change, exitCode, said = '' } of results) {
      const unsaid = whyUnsaid(change, exitCode, said, before);
      if (unsaid !== undefined) violations.push(`${wordsOf(change)}: ${unsaid}`);
    }
    const seen = await look(cluster);
    violations.push(...mismatches(seen, after, images, this.#starts));
    this.#starts = seen.starts.find(({ host }) => host === after.home)?.lines ?? this.#starts;
    const [only] = changes;
    if (isAlone) violations.push(...untouched(only!, stored, await askStored(cluster)));
    violations.push(...(await settle(cluster, after)).map((line) => `not at rest: ${line}`));
    return violations;
  }

  /** So that the next round begins with something that runs. */
  async #mend({ services }: State): Promise<void> {
    const { cluster, images } = this.#rig;
    const path = await writeFileOf(cluster, fileFor(images, { services }), 'mend');
    await cluster.shoal(['up', '-f', path, '--timeout', '60']);
    await settle(cluster, await askState(cluster));
  }

  /** The first failures in words, with what helps to find out: outages, and where the replicas are that they tell of. */
  async #told(failures: readonly LoadFailure[], beganMs: number): Promise<string[]> {
    if (failures.length === 0) return [];
    const at = (ms: number) => `${Math.round(ms - beganMs)}`;
    const lines = failures
      .slice(0, toldMax)
      .map(
        (failure) =>
          `${at(failure.beganMs)} to ${at(failure.endedMs)} ms: ${failure.url}: ${failure.message}`,
      );
    const outages = this.outages
      .filter((outage) => outage.fromMs >= beganMs)
      .map(
        (outage) =>
          `${outage.node} was away from ${at(outage.fromMs)} ms, found at ${at(outage.foundMs)} ms, and all hosts told at ${at(outage.toldMs)} ms`,
      );
    const { rows } = await look(this.#rig.cluster);
    const told = rows
      .filter(({ id }) => lines.some((line) => line.includes(id)))
      .map(
        ({ id, name, node, state, at }) =>
          `${id} is ${name} on ${node}, ${state} since ${systemClock.now() - at} ms`,
      );
    return [`${failures.length} requests failed: ${[...lines, ...outages, ...told].join('; ')}`];
  }

  #isLost({ beganMs, endedMs }: LoadFailure): boolean {
    return this.outages.some(({ fromMs, toldMs }) => endedMs >= fromMs && beganMs <= toldMs);
  }
}

function finalsOf({ services }: State): Finals {
  const final = (key: ServiceKey) => ({ ...variantOf(services[key]), replicas: services[key].replicas });
  return { web: final('web'), api: final('api'), store: final('store') };
}

/** A crash is told with when it was heard of; connections may be sent there until all hosts have heard of it. */
const crashToldMs = 2_000;

/** A request is given up after `requestLimitMs`; one that ends this much later says that the bench did not run meanwhile. */
const stallMs = 1_000;

function isOfStall({ beganMs, endedMs }: LoadFailure): boolean {
  return endedMs - beganMs > requestLimitMs + stallMs;
}

/** A version that is healthy, and crashes a moment later: it was asked by then. */
function isCrash(change: Change): boolean {
  return change.kind === 'up' && change.fault === 'crash' && change.service !== 'store';
}

/** When tasks of `web` and `api` that had run have failed (monotonic ms). */
function crashesOf({ services, tasks }: Stored): number[] {
  const ids = (['web', 'api'] as const).map((key) => serviceCalled(services, key).id);
  const sinceMs = systemClock.now() - systemClock.monotonic();
  return tasks
    .filter(({ serviceId, status }) => ids.includes(serviceId) && status.state === 'failed')
    .filter(({ status }) => status.startedAt !== undefined)
    .map(({ status }) => status.at - sinceMs);
}

function isOfCrash({ beganMs, endedMs }: LoadFailure, crashesMs: readonly number[]): boolean {
  return crashesMs.some((atMs) => endedMs >= atMs - crashToldMs && beganMs <= atMs + crashToldMs);
}

/** Failures that are told one by one; the others are counted. */
const toldMax = 5;

/** What a change that was refused, or that failed beside what serves, has touched all the same. */
function untouched(change: Change, before: Stored, after: Stored): string[] {
  if (change.kind !== 'up' || change.fault === undefined) return [];
  return serviceKeys.flatMap((key) => {
    // The store's old task makes room for the new one.
    const keepsTasks = !isLate(change.fault) || key !== 'store' || change.service !== 'store';
    const [old, now] = [serviceCalled(before.services, key), serviceCalled(after.services, key)];
    const isSameVersion = currentVersion(old).version === currentVersion(now).version;
    const mayChange = isLate(change.fault) && key === change.service;
    return [
      ...(isSameVersion || mayChange ? [] : [`${key} has got another version`]),
      ...(keepsTasks && idsOf(before, old.id).join() !== idsOf(after, now.id).join()
        ? [`${key} has other tasks than before`]
        : []),
    ];
  });
}

function idsOf({ tasks }: Stored, serviceId: string): string[] {
  const own = tasks.filter((task) => task.serviceId === serviceId && isWanted(task));
  return own.map(({ id }) => id).toSorted();
}
