import type { ContainerInfo } from '../engine/engine.ts';
import { messageOf } from '../../src/util/errors.ts';
import { backoffMs } from '../../src/util/retry.ts';
import { containerLabels } from './container.ts';
import { taskOfInit } from './init-containers.ts';
import { resumed, type Phase } from './step.ts';
import type { Worker } from './worker.ts';

/** How often the engine is looked at although nothing was heard: what events have missed shows then, and a hung shim. */
const lookIntervalMs = 5_000;
/** While a shim does not answer it is looked at this often. */
const slowLookIntervalMs = 1_000;
/** The first look after subscribing to exits comes this soon again, in case the subscription took a moment. */
const secondLookMs = 1_000;

/** Phases in which the task has a container. */
const withContainer: ReadonlySet<Phase['at']> = new Set([
  'prepared',
  'starting',
  'checking',
  'running',
  'stopping',
]);

/**
 * Keeps the worker's tasks and the engine's containers in step for as long as the worker lives: takes over what an
 * earlier process left, hears of exits, and looks again whenever the engine has been away.
 */
export async function watchEngine(worker: Worker): Promise<void> {
  const { clock, random, log, engine } = worker.options;
  let failures = 0;
  let adopted = false;
  while (!worker.signal.aborted) {
    try {
      await engine.info();
      await watchOnce(worker, async () => {
        if (adopted) await look(worker);
        else await adopt(worker);
        adopted = true;
        failures = 0;
      });
    } catch (error) {
      if (worker.signal.aborted) return;
      failures++;
      log.warn('the engine is away', { error: messageOf(error), failures });
    }
    const wait = backoffMs(failures + 1, random, { minMs: 50, maxMs: 2_000 });
    await clock.sleep(wait, worker.signal).catch(() => undefined); // ends early only when stopping
  }
}

/** Subscribes to exits, looks, and dispatches exits until the engine goes away (throws) or the worker stops. */
async function watchOnce(worker: Worker, firstLook: () => Promise<void>): Promise<void> {
  const { engine, clock } = worker.options;
  const exits = engine.exits(worker.signal)[Symbol.asyncIterator]();
  let next = exits.next();
  next.catch(() => undefined); // it is awaited below, after the look
  const again = new AbortController();
  try {
    await firstLook();
    worker.background('looking at the engine', () => lookAgain(worker, again.signal));
    for (;;) {
      const { done, value } = await next;
      if (done) return;
      worker.exited(value);
      next = exits.next();
    }
  } finally {
    again.abort();
    clock.after(0, () => void exits.return?.().catch(() => undefined)); // what it held is freed; how it ended is known
  }
}

async function lookAgain(worker: Worker, signal: AbortSignal): Promise<void> {
  const { clock, log } = worker.options;
  const either = AbortSignal.any([signal, worker.signal]);
  for (let wait = secondLookMs; !either.aborted;) {
    await clock.sleep(wait, either).catch(() => undefined); // ends early only when nobody wants to look
    if (either.aborted) return;
    try {
      wait = (await look(worker)) ? lookIntervalMs : slowLookIntervalMs;
    } catch (error) {
      wait = slowLookIntervalMs;
      log.warn('the engine could not be looked at', { error: messageOf(error) });
    }
  }
}

/**
 * Compares containers and tasks once. Tasks that moved while the engine made its list are left to the next look. Returns
 * whether it is known of all containers what they do.
 */
async function look(worker: Worker): Promise<boolean> {
  const before = new Map([...worker.entries].map(([id, entry]) => [id, entry.local.phase]));
  const containers = new Map((await worker.options.engine.list()).map((one) => [one.id, one]));
  // What has ended with its anchor must not be taken for ended by itself.
  for (const id of worker.anchors.inOrder()) {
    const phase = before.get(id);
    const entry = worker.entries.get(id);
    if (!entry || !phase || entry.starting || !withContainer.has(phase.at)) continue;
    const container = containers.get(id);
    const endsNow = entry.local.phase.at === 'stopping' && (container?.state ?? 'stopped') === 'stopped';
    if (entry.local.phase !== phase && !endsNow) continue;
    if (phase.at === 'stopping' && entry.preparation) continue;
    worker.found(id, container);
  }
  removeLeftovers(worker, before, containers);
  return [...containers.values()].every(({ state }) => state !== 'unknown');
}

/** Takes over what an earlier process left: records from disk, containers from the engine. */
async function adopt(worker: Worker): Promise<void> {
  const { engine, network, files, volumes, logs, log } = worker.options;
  const containers = new Map((await engine.list()).map((one) => [one.id, one]));
  await adoptInitContainers(worker, containers.values());
  for (const id of worker.anchors.inOrder()) {
    const entry = worker.entries.get(id)!;
    const container = containers.get(id);
    entry.local = resumed(entry.local);
    const { at } = entry.local.phase;
    if (at === 'idle' && container) await engine.remove(id);
    if (at === 'idle') await worker.preparer.initContainers.remove(id);
    if (withContainer.has(at) && container) {
      await engine
        .reattach(id, logs.sink(id, entry.assignment?.template.container.logs))
        .catch((error: unknown) => {
          log.warn('the output of a task could not be taken up again', { task: id, error: messageOf(error) });
        });
    }
    worker.found(id, container);
  }
  const known = new Map([...worker.entries].map(([id, entry]) => [id, entry.local.phase]));
  removeLeftovers(worker, known, containers);
  const holding = (id: string) => known.has(id) && known.get(id)?.at !== 'gone';
  const [namespaces, folders, holders, logged] = await Promise.all([
    network.list(),
    files.list(),
    volumes.list(),
    logs.list(),
  ]);
  for (const id of namespaces) if (!holding(id)) remove(worker, 'namespace', () => network.detach(id));
  for (const id of folders) if (!holding(id)) remove(worker, 'files', () => files.remove(id));
  for (const id of holders) if (!holding(id)) remove(worker, 'volumes', () => volumes.leave(id));
  for (const id of logged) if (!known.has(id)) remove(worker, 'log', () => logs.remove(id));
  log.info('took over what runs here', { tasks: known.size, containers: containers.size });
  worker.act();
}

/** Takes note of the init containers that an earlier process made, and takes up their output. */
async function adoptInitContainers(worker: Worker, containers: Iterable<ContainerInfo>): Promise<void> {
  const { engine, logs, log } = worker.options;
  for (const container of containers) {
    const { id } = container;
    const taskId = taskOfInit(container);
    const entry = taskId === undefined ? undefined : worker.entries.get(taskId);
    if (taskId === undefined || entry === undefined) continue;
    worker.preparer.initContainers.note(taskId, id);
    await engine
      .reattach(id, logs.sink(taskId, entry.assignment?.template.container.logs))
      .catch((error: unknown) => {
        log.warn('the output of an init container could not be taken up again', {
          container: id,
          error: messageOf(error),
        });
      });
  }
}

/** Containers of ours that no task has. */
function removeLeftovers(
  worker: Worker,
  known: ReadonlyMap<string, Phase>,
  containers: ReadonlyMap<string, ContainerInfo>,
): void {
  for (const [id, container] of containers) {
    const taskId = taskOfInit(container) ?? id;
    const ours = container.labels[containerLabels.task] === taskId;
    const wanted = worker.entries.has(taskId) && (known.get(taskId) ?? { at: 'idle' }).at !== 'gone';
    if (ours && !wanted) remove(worker, 'container', () => worker.options.engine.remove(id));
  }
}

function remove(worker: Worker, what: string, work: () => Promise<void>): void {
  worker.background(`removing a leftover ${what}`, work);
}
