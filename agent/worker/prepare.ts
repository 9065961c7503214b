import type { ContainerCreate, Image, ImageMount } from '../engine/engine.ts';
import type { AllocatedPort } from '../../src/spec/service.ts';
import { codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import { Limiter } from '../../src/util/queue.ts';
import { backoffMs } from '../../src/util/retry.ts';
import type { AssignedTask } from '../../src/wire/session.ts';
import { ownImageVolumes } from '../volumes/volumes.ts';
import type { TakenOver } from './anchors.ts';
import { containerOf, initContainerOf, stopSignalOf, type ContainerParts } from './container.ts';
import { healthPlan } from './health.ts';
import { chooseHostPorts } from './host-ports.ts';
import { Images, pullWords } from './images.ts';
import { InitContainers, initContainerId, initContainersOf, initStep } from './init-containers.ts';
import type { WorkerParts } from './parts.ts';
import type { InitStep, TaskEvent, TaskHooks } from './step.ts';
import type { FileContent } from './task-files.ts';

/** How often a person hears of a pull. */
const progressIntervalMs = 500;
/** An engine that goes away in the middle is waited for this long before the task is given up. */
const engineWaitMs = 60_000;
/** How often work is done again after the engine went away in the middle. */
const engineLossesMax = 5;
/** How many ports are tried for one that may be any. */
const portAttemptsMax = 16;

export interface PrepareContext {
  /** Resolves when the kernel has the task's networks. */
  networksReady(networkIds: string[], signal: AbortSignal): Promise<void>;
  /** Resolves with what it takes over from other tasks once those run. */
  taken(task: AssignedTask, signal: AbortSignal): Promise<TakenOver>;
  /** Resolves with the contents once the manager has sent them. */
  contents(task: AssignedTask, signal: AbortSignal): Promise<FileContent[]>;
  report(message: string, imageDigest?: string): void;
  signal: AbortSignal;
}

/** Makes everything of a task but the running process, and undoes it. Shared by all tasks of a host. */
export class Preparer {
  readonly #parts: WorkerParts;
  readonly #images: Images;
  readonly initContainers: InitContainers;
  /** Work in the kernel and the engine at a time. */
  readonly #limiter: Limiter;
  /** Host-mode ports by task, from before attaching until after cleaning. */
  readonly #hostPorts = new Map<string, AllocatedPort[]>();

  constructor(parts: WorkerParts) {
    this.#parts = parts;
    this.#images = new Images(parts);
    this.initContainers = new InitContainers(parts);
    this.#limiter = new Limiter(Math.max(4, 2 * parts.cpus));
  }

  /** Prepares the task. What was made before a failure stays for `clean` to remove. Throws with the reason for a person. */
  async prepare(task: AssignedTask, context: PrepareContext): Promise<TaskEvent & { type: 'prepared' }> {
    return await this.surviveEngine(context.signal, async (attempt) => {
      if (attempt > 1) await this.removeContainers(task.id);
      return await this.#prepareOnce(task, context);
    });
  }

  /** Takes note of the ports that an adopted task has. */
  adopt(taskId: string, hostPorts: AllocatedPort[]): void {
    if (hostPorts.length > 0) this.#hostPorts.set(taskId, hostPorts);
  }

  /** Starts the container. After `unavailable` it is not known whether it runs: list to find out. */
  async start(taskId: string): Promise<{ pid: number }> {
    return await this.#limiter.run(() => this.#parts.engine.start(taskId));
  }

  /** Removes the task's container and its init containers. */
  async removeContainers(taskId: string): Promise<void> {
    await Promise.all([this.#parts.engine.remove(taskId), this.initContainers.remove(taskId)]);
  }

  /** Removes containers, namespace, files and what it has of volumes, side by side. Throws the first failure after all were tried. */
  async clean(taskId: string): Promise<void> {
    const { network, files, volumes } = this.#parts;
    const container = this.#limiter.run(() => this.removeContainers(taskId));
    // The namespace goes whatever becomes of the container: no process of it is alive any more.
    const done = await Promise.allSettled([
      container,
      network.detach(taskId), // not counted: those that come together cost the kernel as much as one
      container.then(() => Promise.all([files.remove(taskId), volumes.leave(taskId)])),
    ]);
    for (const result of done) if (result.status === 'rejected') throw result.reason;
    this.#hostPorts.delete(taskId);
  }

  /** Runs `work` again when the engine went away in the middle, once it answers again; bounded in times and waiting. */
  async surviveEngine<T>(signal: AbortSignal, work: (attempt: number) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work(attempt);
      } catch (error) {
        signal.throwIfAborted();
        if (codeOf(error) !== 'unavailable' || attempt > engineLossesMax) throw error;
        // When the engine answers, what is away may be a registry: that was tried long enough already.
        if (attempt > 1 && (await this.#engineAnswers())) throw error;
        this.#parts.log.warn('the engine went away; waiting for it', { error: messageOf(error) });
        await this.waitForEngine(signal);
      }
    }
  }

  /** Resolves when the engine answers; throws `unavailable` after a minute. */
  async waitForEngine(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#parts;
    const until = clock.now() + engineWaitMs;
    for (let attempt = 1; !(await this.#engineAnswers()); attempt++) {
      signal.throwIfAborted();
      if (clock.now() > until) {
        throw new ShoalError('unavailable', 'Cannot reach the container engine', {
          next: 'See whether containerd runs on this host.',
        });
      }
      await clock.sleep(backoffMs(attempt, random, { minMs: 50, maxMs: 1_000 }), signal);
    }
  }

  async #engineAnswers(): Promise<boolean> {
    return await this.#parts.engine.info().then(
      () => true,
      () => false,
    );
  }

  async #prepareOnce(task: AssignedTask, context: PrepareContext): Promise<TaskEvent & { type: 'prepared' }> {
    const { volumes } = this.#parts;
    const { signal } = context;
    context.report('preparing');
    // A failure on one side ends the other, so that no work goes on behind a task that is given up.
    const other = new AbortController();
    const either = AbortSignal.any([signal, other.signal]);
    const [images, place] = await allOrAbort(other, [
      this.#imagesOf(task, context, either),
      this.#attach(task, context, either),
    ]);
    const image = images.get(task.template.container.image)!;
    const taken = await context.taken(task, signal);
    signal.throwIfAborted();
    const stopSignal = stopSignalOf(task.template.container, image.config);
    let preStart: InitStep[];
    try {
      const mounts = await this.#mounts(task, image, place.dnsServer, taken, context);
      const { namespacePath } = place;
      const parts = {
        mounts,
        imageMounts: imageMountsOf(task, images),
        taken,
        ...(namespacePath === undefined ? {} : { networkNamespace: namespacePath }),
      };
      // the task's own comes last: where it is, so are the others
      preStart = await this.#createInitContainers(task, images, parts, signal);
      await this.#create(task, containerOf(task, image, parts), signal);
    } finally {
      await volumes.release(task.id);
    }
    const healthcheck = healthPlan(task.template.container.healthcheck, image.config.healthcheck);
    return {
      type: 'prepared',
      imageDigest: image.digest,
      stopSignal,
      ...(healthcheck ? { healthcheck } : {}),
      ...hooksOf(task, preStart),
      ...imageVolumesOf(task, image, taken),
      hostPorts: place.hostPorts,
    };
  }

  async #create(task: AssignedTask, container: ContainerCreate, signal: AbortSignal): Promise<void> {
    const { engine, logs } = this.#parts;
    await this.#limiter.run(async () => {
      signal.throwIfAborted();
      await engine.create(container, logs.sink(task.id, task.template.container.logs));
    });
  }

  async #createInitContainers(
    task: AssignedTask,
    images: ReadonlyMap<string, Image>,
    parts: ContainerParts,
    signal: AbortSignal,
  ): Promise<InitStep[]> {
    const steps: InitStep[] = [];
    for (const { container: init, index } of initContainersOf(task)) {
      const image = images.get(init.image ?? task.template.container.image)!;
      const id = initContainerId(task.id, index);
      const container = initContainerOf(task, init, id, image, parts);
      this.initContainers.note(task.id, id);
      await this.#create(task, container, signal);
      steps.push(initStep(container));
    }
    return steps;
  }

  /** The task's image and those of its init containers and mounts, by reference. */
  async #imagesOf(
    task: AssignedTask,
    context: PrepareContext,
    signal: AbortSignal,
  ): Promise<Map<string, Image>> {
    const { image, mounts } = task.template.container;
    const initial = initContainersOf(task).flatMap(({ container }) => container.image ?? []);
    const mounted = mounts.flatMap((mount) => (mount.type === 'image' ? [mount.source] : []));
    const references = [...new Set([image, ...initial, ...mounted])];
    const found = references.map(async (reference) => {
      return [reference, await this.#image(task, reference, context, signal)] as const;
    });
    return new Map(await Promise.all(found));
  }

  async #image(
    task: AssignedTask,
    reference: string,
    context: PrepareContext,
    signal: AbortSignal,
  ): Promise<Image> {
    const { pullPolicy } = task.template.container;
    let saidAt = 0;
    return await this.#images.get(
      reference,
      pullPolicy,
      (progress) => {
        const now = this.#parts.clock.now();
        if (now - saidAt < progressIntervalMs) return;
        saidAt = now;
        context.report(pullWords(reference, progress));
      },
      signal,
    );
  }

  async #attach(task: AssignedTask, context: PrepareContext, signal: AbortSignal) {
    await context.networksReady(
      task.attachments.map((attachment) => attachment.networkId),
      signal,
    );
    return await this.#limiter.run(async () => {
      signal.throwIfAborted();
      return await this.#attachWithPorts(task);
    });
  }

  /** A port that nobody of ours has may still be taken by the host itself: one that may be any is chosen anew then. */
  async #attachWithPorts(
    task: AssignedTask,
  ): Promise<{ namespacePath?: string; dnsServer?: string; hostPorts: AllocatedPort[] }> {
    const { container, sharing } = task.template;
    if (container.settings?.network === 'host' || sharing?.network !== undefined) return { hostPorts: [] };
    const { hostPorts: wanted } = task.template;
    const refused: AllocatedPort[] = [];
    for (let attempt = 1; ; attempt++) {
      const others = [...this.#hostPorts].filter(([id]) => id !== task.id).flatMap(([, ports]) => ports);
      const hostPorts = chooseHostPorts(wanted, [...others, ...refused]);
      if (hostPorts.length > 0) this.#hostPorts.set(task.id, hostPorts);
      try {
        const { id: taskId, serviceId, attachments } = task;
        const { dnsServers } = task.template.container.names ?? {};
        const network = { taskId, serviceId, attachments, hostPorts, ...(dnsServers && { dnsServers }) };
        const place = await this.#parts.network.attach(network);
        return { ...place, hostPorts };
      } catch (error) {
        const free = hostPorts.filter((_, index) => typeof wanted[index]?.published !== 'number');
        if (codeOf(error) !== 'port_taken' || free.length === 0 || attempt >= portAttemptsMax) throw error;
        refused.push(...free);
      }
    }
  }

  async #mounts(
    task: AssignedTask,
    image: Image,
    dnsServer: string | undefined,
    taken: TakenOver,
    context: PrepareContext,
  ) {
    const { files, volumes } = this.#parts;
    const contents = await context.contents(task, context.signal);
    const [data, small] = await Promise.all([
      volumes.prepare(task.id, image, task.template.container.mounts, taken.mounts, task.volumeIds),
      files.write(task, dnsServer, contents, taken.join),
    ]);
    // A mount inside another one must come after it.
    return [...data, ...small].sort((left, right) => depth(left.target) - depth(right.target));
  }
}

function imageMountsOf({ template }: AssignedTask, images: ReadonlyMap<string, Image>): ImageMount[] {
  return template.container.mounts.flatMap((mount) => {
    if (mount.type !== 'image') return [];
    const { source, target, subpath } = mount;
    return [{ image: images.get(source)!, target, ...(subpath === undefined ? {} : { subpath }) }];
  });
}

/** For those that may take over the task's mounts. */
function imageVolumesOf(task: AssignedTask, image: Image, taken: TakenOver): { imageVolumes?: string[] } {
  const { mounts } = task.template.container;
  const imageVolumes = ownImageVolumes(mounts, image.config.volumes, taken.mounts);
  return imageVolumes.length === 0 ? {} : { imageVolumes };
}

function hooksOf(task: AssignedTask, preStart: InitStep[]): { hooks?: TaskHooks } {
  const { postStart, preStop } = task.template.container;
  if (!postStart && !preStop && preStart.length === 0) return {};
  return {
    hooks: {
      ...(preStart.length > 0 && { preStart }),
      ...(postStart && { postStart }),
      ...(preStop && { preStop }),
    },
  };
}

/** Like `Promise.all`, but a failure aborts the others and all have ended before it throws. */
async function allOrAbort<A, B>(other: AbortController, work: [Promise<A>, Promise<B>]): Promise<[A, B]> {
  for (const one of work) one.catch((error: unknown) => other.abort(error));
  const done = await Promise.allSettled(work);
  if (other.signal.aborted) throw other.signal.reason;
  const [first, second] = done;
  if (first.status === 'rejected') throw first.reason;
  if (second.status === 'rejected') throw second.reason;
  return [first.value, second.value];
}

function depth(path: string): number {
  return path.split('/').filter((part) => part !== '').length;
}
