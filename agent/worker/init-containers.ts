import type { ContainerCreate, ContainerInfo } from '../engine/engine.ts';
import type { AssignedTask } from '../../src/wire/session.ts';
import { containerLabels } from './container.ts';
import type { WorkerParts } from './parts.ts';
import type { InitStep } from './step.ts';

export interface InitRun {
  steps: readonly InitStep[];
  /** Called before each step that runs. */
  onStep: (message: string) => void;
  /** Whether the task is still to start. */
  isWanted: () => boolean;
  /** Ends the waiting, not the container. */
  signal: AbortSignal;
}

/** How one that did not end with 0 ended. */
export interface InitFailure {
  message: string;
}

/**
 * The init containers of this host's tasks. They are made together with the task's own container, run one after another
 * before its start, and are removed as each ends well: one that is not there any more has ended well. So an agent that
 * was killed in the middle goes on where it was, and runs none twice.
 */
export class InitContainers {
  readonly #parts: Pick<WorkerParts, 'engine'>;
  /** Those that may exist, by task. */
  readonly #made = new Map<string, Set<string>>();
  /** The one that runs now, by task. */
  readonly #running = new Map<string, string>();

  constructor(parts: Pick<WorkerParts, 'engine'>) {
    this.#parts = parts;
  }

  /** To be called before it is made, or when an earlier process has made it. */
  note(taskId: string, containerId: string): void {
    const made = this.#made.get(taskId);
    if (made === undefined) this.#made.set(taskId, new Set([containerId]));
    else made.add(containerId);
  }

  /** The container that signals for the task go to while its own has not started. */
  running(taskId: string): string | undefined {
    return this.#running.get(taskId);
  }

  /** Runs what has not ended yet; gives how the first that ends wrongly did so. Throws as the engine does. */
  async run(taskId: string, { steps, onStep, isWanted, signal }: InitRun): Promise<InitFailure | undefined> {
    for (const [index, { containerId, name }] of steps.entries()) {
      const found = await this.#find(containerId);
      if (found === undefined) continue;
      if (!isWanted()) return { message: 'it is not wanted any more' };
      onStep(`starting: pre_start ${index + 1} of ${steps.length}, ${name}`);
      const failure = await this.#runOne(taskId, found, signal);
      await this.#parts.engine.remove(containerId); // with all that it has printed
      if (failure !== undefined) return { message: `${name} ${failure}` };
      this.#made.get(taskId)?.delete(containerId);
    }
    return isWanted() ? undefined : { message: 'it is not wanted any more' };
  }

  /** Removes all that the task has. */
  async remove(taskId: string): Promise<void> {
    const made = [...(this.#made.get(taskId) ?? [])];
    await Promise.all(made.map((id) => this.#parts.engine.remove(id)));
    this.#made.delete(taskId);
  }

  async #runOne(taskId: string, found: ContainerInfo, signal: AbortSignal): Promise<string | undefined> {
    const { engine } = this.#parts;
    this.#running.set(taskId, found.id);
    try {
      if (found.state === 'created') await engine.start(found.id);
      const { exitCode } = await engine.wait(found.id, signal);
      if (exitCode === 0) return undefined;
      const { outOfMemory } = (await this.#find(found.id)) ?? {};
      return outOfMemory ? 'was killed: out of memory' : `ended with exit code ${exitCode}`;
    } finally {
      this.#running.delete(taskId);
    }
  }

  async #find(containerId: string): Promise<ContainerInfo | undefined> {
    return (await this.#parts.engine.list()).find(({ id }) => id === containerId);
  }
}

/** The task that a container of ours is an init container of; nothing for any other container. */
export function taskOfInit({ id, labels }: Pick<ContainerInfo, 'id' | 'labels'>): string | undefined {
  const taskId = labels[containerLabels.task];
  return taskId !== undefined && isInitOf(id, taskId) ? taskId : undefined;
}

export function initContainerId(taskId: string, index: number): string {
  return `${taskId}-init-${index}`;
}

function isInitOf(id: string, taskId: string): boolean {
  return id.startsWith(`${taskId}-init-`);
}

/** The init containers that this task runs, with their places in the service's list. */
export function initContainersOf({ template, initialises }: AssignedTask) {
  return (template.container.preStart ?? [])
    .map((container, index) => ({ container, index }))
    .filter(({ container }) => container.perReplica || initialises === true);
}

/** The step that runs this container. */
export function initStep({ id, args }: ContainerCreate): InitStep {
  return { containerId: id, name: JSON.stringify(args.join(' ')) };
}
