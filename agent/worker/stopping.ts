import { messageOf } from '../../src/util/errors.ts';
import type { Anchors } from './anchors.ts';
import { runHooks } from './hooks.ts';
import type { WorkerParts } from './parts.ts';
import type { Preparer } from './prepare.ts';
import type { LocalTask } from './step.ts';

/** After SIGKILL a process should be gone at once; this long without its exit, the engine is asked and the signal sent again. */
const killWaitMs = 5_000;
const sigkill = 9;
/** What is run before a stop has the grace period, and at least this long. */
const hooksMsMin = 1_000;

/** One task whose process is to end. */
export interface Stopping {
  id: string;
  local: LocalTask;
  parts: WorkerParts;
  preparer: Preparer;
  anchors: Anchors;
  /** The grace period of another task of this host, in ms. */
  graceOf: (id: string) => number;
  /** Asks the engine what it has of the task, and passes that on. */
  observe: () => Promise<void>;
  /** Aborts once the task has ended. */
  signal: AbortSignal;
}

/**
 * Ends the task's process: those that share with it first, then its `pre_stop`, its stop signal, and SIGKILL after the
 * grace period, again and again. Ends by `signal` alone (throws its reason), or with what the engine throws.
 */
export async function stopProcess(stopping: Stopping): Promise<never> {
  const { id, local, parts, signal, observe } = stopping;
  const { stopSignal, stopGracePeriodMs } = local;
  await companionsEnded(stopping);
  await runPreStop(stopping);
  await kill(stopping, stopSignal);
  await parts.clock.sleep(stopGracePeriodMs, signal);
  for (;;) {
    const told = { task: id, stopGracePeriodMs };
    parts.log.info('a task did not stop in its grace period and is killed', told);
    await kill(stopping, sigkill);
    await parts.clock.sleep(killWaitMs, signal);
    await observe();
  }
}

/** Those that share with the task end before it, within their own grace periods. */
async function companionsEnded({ id, parts, anchors, graceOf, signal }: Stopping): Promise<void> {
  const graces = anchors.companionsOf(id).map((other) => Math.max(graceOf(other), hooksMsMin));
  if (graces.length === 0) return;
  // Twice, for what is run before a stop has as long again.
  const timeoutMs = 2 * Math.max(...graces) + killWaitMs;
  try {
    await anchors.companionsEnded(id, timeoutMs, signal);
  } catch (error) {
    signal.throwIfAborted();
    parts.log.warn('a task is stopped before what shares with it', { task: id, error: messageOf(error) });
  }
}

/** Runs the hooks of a task that is asked to stop. What goes wrong is logged: it is stopped all the same. */
async function runPreStop({ id, local, parts, signal }: Stopping): Promise<void> {
  const { engine, clock, log } = parts;
  const { hooks, phase, stopGracePeriodMs } = local;
  if (!hooks?.preStop || phase.at !== 'stopping' || phase.ending.state !== 'shutdown') return;
  const timeoutMs = Math.max(stopGracePeriodMs, hooksMsMin);
  const run = { engine, containerId: id, hooks: hooks.preStop, timeoutMs, signal };
  const failure = await runHooks({ ...run, now: () => clock.monotonic() }).catch(messageOf);
  signal.throwIfAborted();
  if (failure !== undefined) log.warn('a command before the stop of a task failed', { task: id, failure });
}

/** The signal goes to the init container that runs, if one does. */
async function kill({ id, parts, preparer, signal }: Stopping, signalNumber: number): Promise<void> {
  await preparer.surviveEngine(signal, () =>
    parts.engine.kill(preparer.initContainers.running(id) ?? id, signalNumber),
  );
}
