import type { Engine } from '../engine/engine.ts';
import { shownLine } from './last-line.ts';
import type { Clock } from '../../src/util/clock.ts';
import { codeOf, messageOf, type ErrorCode } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import {
  failingWords,
  judge,
  nextProbeMs,
  type HealthPlan,
  type HealthState,
  type ProbeResult,
} from './health.ts';

/** The end of a check's output that is kept for a person, as much as Docker keeps. */
const outputBytesMax = 4096;
/** What else a check that fails says is told this often at most: each time is a write in the store. */
const tellEveryMs = 5_000;
/** The engine ends a check in its time, and says so; when it says nothing for this much longer it does not answer. */
const graceMs = 30_000;

export interface HealthRun {
  engine: Engine;
  clock: Clock;
  log: Logger;
  containerId: string;
  plan: HealthPlan;
  /** When the container was started, by the host's clock, in ms. */
  startedAt: number;
  /** Whether it has been healthy before, in an earlier life of this process. */
  healthy: boolean;
  onVerdict: (verdict: 'healthy' | 'unhealthy', output: string) => void;
  /** What is told of checks that fail before they are a verdict, or cannot be made; empty once one passes again. */
  onFailing: (words: string) => void;
  /** A check could not be made, for a reason of the host's. */
  onNotMade?: (error: unknown) => void;
  signal: AbortSignal;
}

/** Probes a container until the signal aborts or it is found unhealthy. Never throws. */
export async function runHealthchecks(run: HealthRun): Promise<void> {
  const { clock, plan, signal } = run;
  // The clock may have been set since, also while nobody watched: what has passed by then is at least nothing.
  const startedAt = clock.monotonic() - Math.max(0, clock.now() - run.startedAt);
  let state: HealthState = { healthy: run.healthy, failures: 0, probes: 0 };
  let told = { words: '', at: -Infinity };
  const tell = (words: string, now: number) => {
    if (words === told.words || now - told.at < tellEveryMs) return;
    told = { words, at: now };
    run.onFailing(words);
  };
  while (!signal.aborted) {
    const wait = nextProbeMs(plan, state, clock.monotonic() - startedAt);
    await clock.sleep(wait, signal).catch(() => undefined); // it ends early only with the signal, seen below
    if (signal.aborted) return;
    const probe = await probeOnce(run);
    if (signal.aborted || probe === undefined) continue;
    const now = clock.monotonic();
    if ('notMade' in probe) {
      tell(probe.notMade, now);
      continue;
    }
    const judged = judge(plan, state, probe, now - startedAt);
    state = judged.state;
    const words = failingWords(plan, state, probe);
    if (judged.verdict) run.onVerdict(judged.verdict, words);
    else tell(words, now);
    if (judged.verdict === 'unhealthy') return;
  }
}

/** Why a check was not made that is told elsewhere: the container has ended, or the engine or its shim does not answer or is busy. */
const toldOtherwise: ReadonlySet<ErrorCode> = new Set([
  'unavailable',
  'deadline_exceeded',
  'resource_exhausted',
  'not_found',
]);

/** One check; undefined when it was not seen to end. Neither that nor one that could not be made says anything of the container. */
async function probeOnce(run: HealthRun): Promise<ProbeResult | { notMade: string } | undefined> {
  const { engine, clock, plan, containerId, signal } = run;
  try {
    const session = await engine.exec(containerId, {
      command: plan.command,
      tty: false,
      environment: [],
      timeoutMs: plan.timeoutMs,
      purpose: 'check',
      stdin: false,
    });
    const begin = clock.monotonic();
    const output = tail();
    session.stdout.on('data', output.add);
    session.stderr?.on('data', output.add);
    const giveUp = AbortSignal.any([signal, abortAfter(clock, plan.timeoutMs + graceMs)]);
    const exitCode = await Promise.race([session.exit.then((exit) => exit.exitCode), aborted(giveUp)]);
    if (exitCode === undefined) {
      await session.kill(9);
      return undefined;
    }
    const late = exitCode !== 0 && clock.monotonic() - begin >= plan.timeoutMs;
    const said = shownLine(output.text().split('\n'));
    const saying = said === '' ? '' : `: ${said}`;
    if (late) return { ok: false, output: `took longer than ${plan.timeoutMs / 1000} s${saying}` };
    return { ok: exitCode === 0, output: `exit ${exitCode}${saying}` };
  } catch (error) {
    const code = codeOf(error);
    run.log.debug('a healthcheck could not be run', { task: containerId, code, error: messageOf(error) });
    if (code === 'command_not_found') return { ok: false, output: `could not be made: ${messageOf(error)}` };
    if (toldOtherwise.has(code)) return undefined;
    run.onNotMade?.(error);
    return { notMade: `its check could not be made: ${messageOf(error)}` };
  }
}

/** Keeps the end of what a command prints. */
export function tail(): { add: (chunk: Buffer | string) => void; text: () => string } {
  let kept: Buffer = Buffer.alloc(0);
  return {
    add: (chunk) => {
      const all = Buffer.concat([kept, Buffer.from(chunk as Buffer)]);
      kept = all.subarray(Math.max(0, all.length - outputBytesMax));
    },
    text: () => kept.toString('utf8').trim(),
  };
}

function abortAfter(clock: Clock, ms: number): AbortSignal {
  const controller = new AbortController();
  clock.after(ms, () => controller.abort());
  return controller.signal;
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}
