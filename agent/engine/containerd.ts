import { join } from 'node:path';
import type { Clock } from '../../src/util/clock.ts';
import { codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { KeyedQueue } from '../../src/util/queue.ts';
import type { ConditionReporter } from '../conditions/conditions.ts';
import { AccountsReader } from './accounts.ts';
import { Bundles } from './bundles.ts';
import { CdiDevices } from './cdi.ts';
import { ContainerdClient, isAlreadyExists, isNotFound } from './client.ts';
import type {
  ContainerCreate,
  ContainerExit,
  ContainerInfo,
  Engine,
  EngineFeatures,
  ExecRequest,
  ExecSession,
  Image,
  OutputSink,
} from './engine.ts';
import { checkApparmorProfile } from './apparmor.ts';
import { blockIoOf } from './block-io.ts';
import { devicesOf } from './devices.ts';
import { startExec } from './exec.ts';
import { watchExits } from './exits.ts';
import { startError } from './failures.ts';
import { FifoFolder } from './fifos.ts';
import { hostFeatures, wasKilledForMemory, type HostFeatures } from './host.ts';
import { copyFromRoot } from './image-copy.ts';
import { ImageMounts } from './image-mounts.ts';
import { ImageRoots } from './image-root.ts';
import { ImageStore } from './images.ts';
import { findInit } from './init.ts';
import { processesOf } from './kernel-processes.ts';
import { Leases } from './leases.ts';
import type { Mount } from './messages.ts';
import { withNamespaces, type NamespacePaths } from './namespaces.ts';
import { fifoNames } from './output.ts';
import { Outputs } from './outputs.ts';
import type { PullOptions } from './pulls.ts';
import { findRuntime, installedRuntimes, type Runtime } from './runtimes.ts';
import { ShimBudget } from './shim-budget.ts';
import { Slowness, type Slow } from './slowness.ts';
import { makeSnapshot } from './snapshots.ts';
import {
  cgroupPath,
  execProcess,
  runtimeSpecification,
  specificationText,
  type OciProcess,
  type OciSpecification,
} from './specification.ts';
import { StrayShims } from './stray-shims.ts';
import { ignoreMissing } from './task-state.ts';
import { ShimTasks } from './tasks.ts';
import { resolveUser, type ContainerUser } from './user.ts';

const specTypeUrl = 'types.containerd.io/opencontainers/runtime-spec/1/Spec';
const killedExitCode = 137;
/** Asking for what is on this host takes milliseconds; a slow machine has its time. */
const answerTimeoutMs = 10_000;
/** Longer lists of names are cut where a person reads them. */
const namesMax = 5;

export interface ContainerdOptions {
  /** Path of containerd's socket. */
  address: string;
  /** containerd's namespace for everything of ours. */
  namespace: string;
  /** containerd's own folder for what lives as long as the machine is up (`state` in its configuration). */
  runtimeDirectory: string;
  /** containerd's own folder for what it keeps, images above all (`root` in its configuration). */
  contentDirectory: string;
  /** Holds FIFOs. Survives this process, not the machine. */
  stateDirectory: string;
  /** Control group below which containers are put, `/shoal`. */
  cgroupParent: string;
  /** Registries (`HOST[:PORT]`) that are spoken to without TLS; loopback always is. */
  insecureRegistries: readonly string[];
  /** Folders with specifications of devices. @default /etc/cdi and /var/run/cdi */
  deviceDirectories?: readonly string[];
  clock: Clock;
  log: Logger;
  /** Told of what does not answer. */
  conditions?: ConditionReporter;
}

/** The engine on containerd. Does not dial before the first call. */
export function createContainerdEngine(options: ContainerdOptions): Engine {
  return new ContainerdEngine(options);
}

class ContainerdEngine implements Engine {
  readonly #options: ContainerdOptions;
  readonly #client: ContainerdClient;
  readonly #images: ImageStore;
  readonly #leases: Leases;
  readonly #bundles: Bundles;
  readonly #roots: ImageRoots;
  readonly #accounts: AccountsReader;
  readonly #cdi: CdiDevices;
  readonly #slowness: Slowness;
  readonly #budget: ShimBudget;
  readonly #tasks: ShimTasks;
  readonly #strays: StrayShims;
  readonly #fifos: FifoFolder;
  readonly #host: HostFeatures;
  readonly #queue = new KeyedQueue();
  readonly #outputs: Outputs;
  readonly #imageMounts: ImageMounts;
  /** What a container's own process is like: execs are like it. */
  readonly #processes = new Map<string, OciProcess>();
  /** Control groups of containers that have theirs in a place of their own. */
  readonly #cgroups = new Map<string, string>();
  readonly #subscriptions = new Set<Promise<void>>();
  #slowTold = 0;

  constructor(options: ContainerdOptions) {
    const { address, namespace, clock, log, insecureRegistries, stateDirectory, contentDirectory } = options;
    this.#options = options;
    this.#slowness = new Slowness(clock, (slow) => void this.#tellSlow(slow));
    this.#budget = new ShimBudget(clock);
    this.#client = new ContainerdClient({ address, namespace, clock, watch: this.#slowness });
    this.#images = new ImageStore({
      client: this.#client,
      clock,
      log,
      insecureRegistries,
      contentDirectory,
    });
    this.#leases = new Leases(this.#client, clock);
    this.#bundles = new Bundles({
      directory: join(options.runtimeDirectory, 'io.containerd.runtime.v2.task', namespace),
      clock,
      log,
      lostAt: () => this.#client.lostAt,
    });
    this.#tasks = new ShimTasks({
      client: this.#client,
      bundles: this.#bundles,
      budget: this.#budget,
      slowness: this.#slowness,
      processesOf: (id) => this.#processesIn(id),
      clock,
      log,
    });
    this.#strays = new StrayShims({ address, namespace, bundles: this.#bundles, clock, log });
    this.#roots = new ImageRoots(this.#client, join(stateDirectory, 'rootfs'), this.#leases);
    this.#accounts = new AccountsReader(this.#roots);
    this.#fifos = new FifoFolder(join(stateDirectory, 'fifo'));
    this.#outputs = new Outputs({ fifos: this.#fifos, clock, log });
    this.#imageMounts = new ImageMounts(this.#client, join(stateDirectory, 'images'));
    this.#host = hostFeatures();
    this.#cdi = new CdiDevices(log, options.deviceDirectories);
  }

  async info(): Promise<{ name: string; version: string }> {
    const { version } = await this.#client.call('Version.Version', {}, { timeoutMs: answerTimeoutMs });
    return { name: 'containerd', version };
  }

  async features(): Promise<EngineFeatures> {
    const [runtimes, cdiDevices] = await Promise.all([installedRuntimes(), this.#cdi.names()]);
    return { runtimes, cdiDevices };
  }

  async image(reference: string): Promise<Image | undefined> {
    return (await this.#images.find(reference))?.image;
  }

  pull(reference: string, options: PullOptions): Promise<Image> {
    return this.#images.pull(reference, options);
  }

  removeUnusedImages(options: { keep: Iterable<string>; unusedMs: number }): Promise<string[]> {
    return this.#images.removeUnused(options.keep, options.unusedMs);
  }

  async copyImageContent(image: Image, path: string, destination: string): Promise<void> {
    const chainId = await this.#chainIdOf(image);
    if (chainId === '') return;
    const snapshotter = await this.#images.snapshotter();
    await this.#roots.use(snapshotter, chainId, (root) => copyFromRoot(root, path, destination));
  }

  create(container: ContainerCreate, output: OutputSink): Promise<void> {
    return this.#queue.run(container.id, () =>
      withNamespaces(this.#client, container.join, (namespaces) =>
        this.#create(container, output, namespaces),
      ),
    );
  }

  start(id: string): Promise<{ pid: number }> {
    return this.#tasks.start(id);
  }

  async wait(id: string, signal: AbortSignal): Promise<{ exitCode: number }> {
    const control = { timeoutMs: Infinity, signal };
    const { exitStatus } = await this.#client.call('Tasks.Wait', { containerId: id }, control);
    return { exitCode: exitStatus };
  }

  kill(id: string, signal: number): Promise<void> {
    return this.#tasks.kill(id, signal);
  }

  remove(id: string): Promise<void> {
    return this.#queue.run(id, () => this.#remove(id));
  }

  async list(): Promise<ContainerInfo[]> {
    await Promise.all([this.#outputs.start(), this.#imageMounts.start()]);
    // an exit that comes after this list must reach those who asked for exits before it
    await Promise.all(this.#subscriptions);
    await this.#leases.sweep();
    const control = { timeoutMs: answerTimeoutMs };
    const { containers } = await this.#client.call('Containers.List', { filters: [] }, control);
    const states = await this.#tasks.states(containers);
    await this.#strays.sweep();
    return containers.map(({ id, labels }) => {
      const state = states.get(id)!;
      const outOfMemory = state.exitCode === killedExitCode && this.#wasKilledForMemory(id);
      return { id, labels, ...state, ...(outOfMemory && { outOfMemory }) };
    });
  }

  async reattach(id: string, output: OutputSink): Promise<void> {
    await this.#outputs.start();
    this.#outputs.reattach(id, output);
  }

  async exec(id: string, request: ExecRequest): Promise<ExecSession> {
    await this.#outputs.start();
    const { clock, log } = this.#options;
    const base = await this.#processOf(id);
    const user = request.user === undefined ? undefined : await this.#userIn(id, request.user);
    const capabilities = request.privileged ? this.#host.capabilities : undefined;
    const process = execProcess(base, request, user, capabilities);
    return await startExec({
      client: this.#client,
      fifos: this.#fifos,
      budget: this.#budget,
      clock,
      log,
      containerId: id,
      shim: this.#tasks.groups.shimOf(id),
      processesOf: () => this.#processesIn(id),
      process,
      request,
    }).catch((error: unknown) => {
      // what fails while the shim stands still fails for that
      if (codeOf(error) !== 'engine_failed' || !this.#slowness.doubts(id)) throw error;
      throw new ShoalError('deadline_exceeded', `Cannot run a command in ${id}: its shim does not answer`, {
        cause: error,
      });
    });
  }

  exits(signal: AbortSignal): AsyncIterable<ContainerExit> {
    const { namespace, clock } = this.#options;
    const { exits, subscribed } = watchExits({
      client: this.#client,
      namespace,
      clock,
      signal,
      wasKilledForMemory: (id) => this.#wasKilledForMemory(id),
    });
    this.#subscriptions.add(subscribed);
    void subscribed.finally(() => this.#subscriptions.delete(subscribed));
    return exits;
  }

  close(): Promise<void> {
    this.#outputs.close();
    this.#client.close();
    return Promise.resolve();
  }

  #cgroupOf(id: string): string {
    return this.#cgroups.get(id) ?? cgroupPath(this.#options.cgroupParent, id);
  }

  #wasKilledForMemory(id: string): boolean {
    return wasKilledForMemory(this.#host, this.#cgroupOf(id));
  }

  #processesIn(id: string): number[] {
    return processesOf(this.#host.cgroupVersion, this.#cgroupOf(id));
  }

  /** Tells the host's conditions which shims do not answer, by process and containers. */
  async #tellSlow(slow: Slow): Promise<void> {
    const { conditions, address } = this.#options;
    const told = ++this.#slowTold;
    // an engine that stands still cannot be asked of shims: nothing is known of those
    const parts = slow.engine
      ? [`containerd at ${address} does not answer`]
      : await this.#slowShims(slow.containers);
    if (told !== this.#slowTold) return; // it has changed meanwhile
    if (parts.length > 0) conditions?.set('EngineSlow', 'engine', parts.join('; '));
    else conditions?.clear('EngineSlow', 'engine');
  }

  async #slowShims(containers: readonly string[]): Promise<string[]> {
    const shims = Map.groupBy(containers, (id) => this.#tasks.groups.shimOf(id));
    return await Promise.all(
      [...shims.values()].map(async (ids) => {
        const pid = await this.#bundles.shimOf(ids[0]!).catch(() => undefined);
        const names = `${ids.slice(0, namesMax).join(', ')}${ids.length > namesMax ? ` and ${ids.length - namesMax} more` : ''}`;
        return `the shim ${pid === undefined ? '' : `${pid} `}of ${names} does not answer`;
      }),
    );
  }

  async #create(wanted: ContainerCreate, output: OutputSink, namespaces: NamespacePaths): Promise<void> {
    await this.#outputs.start();
    const { id, settings = {}, imageMounts = [] } = wanted;
    const snapshotter = await this.#images.snapshotter();
    const chainId = await this.#chainIdOf(wanted.image);
    const views = await Promise.all(
      imageMounts.map(async ({ image, ...mount }) => {
        return { reference: image.reference, chainId: await this.#chainIdOf(image), ...mount };
      }),
    );
    const runtime = await findRuntime(settings.runtime);
    // what a process leaves behind goes to the shim when there is no process 1 of its own
    const sharesShim = runtime.sharesShim && wanted.group !== '' && settings.pid !== 'host';
    const container = {
      ...wanted,
      group: sharesShim ? this.#tasks.groups.place(wanted.group, id) : '',
      mounts: [...wanted.mounts, ...this.#imageMounts.mounts(id, views)],
      labels: { ...wanted.labels, ...this.#imageMounts.labels(snapshotter, id, views) },
    };
    const specification = await this.#specify(container, snapshotter, chainId, namespaces);
    if (settings.cgroupParent !== undefined) this.#cgroups.set(id, specification.linux.cgroupsPath);
    try {
      await this.#createRecord(container, snapshotter, runtime, specification);
      const [fifos, rootfs] = await Promise.all([
        this.#outputs.make(container),
        this.#prepare(snapshotter, id, chainId),
      ]);
      await this.#imageMounts.mount(snapshotter, id, views);
      this.#outputs.attach(id, fifos, output);
      await this.#tasks.groups.join(id, () => this.#createTask(container, rootfs, fifos));
      this.#processes.set(id, specification.process);
    } catch (error) {
      this.#outputs.drop(id); // nothing has been written
      await this.#remove(id).catch((left: unknown) =>
        this.#options.log.warn('a container that could not be made was not cleared', {
          container: id,
          error: messageOf(left),
        }),
      );
      throw startError(error, container.args);
    } finally {
      if (views.length > 0) await this.#imageMounts.release(id);
    }
  }

  async #specify(
    container: ContainerCreate,
    snapshotter: string,
    chainId: string,
    namespaces: NamespacePaths,
  ): Promise<OciSpecification> {
    const { settings = {} } = container;
    const accounts = await this.#accounts.read(snapshotter, chainId);
    if (settings.apparmor !== undefined) await checkApparmorProfile(settings.apparmor);
    const specification = runtimeSpecification(container, {
      user: resolveUser(container.user, accounts, settings.groups),
      host: this.#host,
      cgroupParent: this.#options.cgroupParent,
      devices: await devicesOf(settings),
      blockIo: await blockIoOf(settings.blockIo),
      namespaces,
      ...(settings.init && { initPath: await findInit() }),
    });
    return await this.#cdi.apply(specification, settings.cdi ?? []);
  }

  /**
   * The record comes first: it keeps the collector away from the snapshot that it names, and after a crash it is what
   * `list` shows and `remove` clears. One that is there already is the rest of an attempt that was cut short.
   */
  async #createRecord(
    container: ContainerCreate,
    snapshotter: string,
    { name, options }: Runtime,
    specification: OciSpecification,
  ): Promise<void> {
    const { id, labels, image } = container;
    const record = {
      id,
      labels,
      image: image.reference,
      runtime: { name, ...(options && { options }) },
      spec: { typeUrl: specTypeUrl, value: Buffer.from(specificationText(specification)) },
      snapshotter,
      snapshotKey: id,
    };
    try {
      await this.#client.call('Containers.Create', { container: record });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      await this.#remove(id);
      await this.#client.call('Containers.Create', { container: record });
    }
  }

  async #prepare(snapshotter: string, key: string, parent: string): Promise<Mount[]> {
    try {
      return await makeSnapshot(this.#client, 'Prepare', { snapshotter, key, parent });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      await this.#client.call('Snapshots.Remove', { snapshotter, key });
      return await makeSnapshot(this.#client, 'Prepare', { snapshotter, key, parent });
    }
  }

  async #createTask(container: ContainerCreate, rootfs: Mount[], fifos: string[]): Promise<void> {
    const [stdout = '', stderr = ''] = fifos;
    const { id: containerId, tty: terminal, settings } = container;
    // nobody opens it for writing: whoever reads waits for ever, as Docker has it
    const stdin = settings?.openStdin ? this.#fifos.path(fifoNames(containerId).stdin) : '';
    await this.#tasks.create({ containerId, rootfs, stdin, stdout, stderr, terminal });
  }

  async #remove(id: string): Promise<void> {
    this.#tasks.groups.leave(id);
    const release = this.#outputs.holdOpen(id);
    try {
      await this.#tasks.delete(id);
    } finally {
      release();
    }
    const snapshotter = await this.#images.snapshotter();
    await this.#outputs.removeFifos(id);
    await this.#imageMounts.remove(snapshotter, id);
    // the record goes last: while it is there `list` shows what is left to clear
    await Promise.all([
      ignoreMissing(this.#client.call('Snapshots.Remove', { snapshotter, key: id })),
      ignoreMissing(this.#client.call('Containers.Delete', { id })),
      this.#outputs.end(id),
    ]);
    this.#processes.delete(id);
    this.#cgroups.delete(id);
    this.#tasks.groups.forget(id);
  }

  async #chainIdOf(image: Image): Promise<string> {
    const known = this.#images.chainIdOf(image.digest);
    if (known !== undefined) return known;
    const stored = await this.#images.load(image.reference, image.digest);
    if (stored) return stored.chainId;
    throw new ShoalError(
      'image_not_found',
      `Cannot use ${image.reference}: it is not on this host any more`,
      {
        next: 'Pull it again.',
      },
    );
  }

  async #processOf(id: string): Promise<OciProcess> {
    const known = this.#processes.get(id);
    if (known) return known;
    try {
      const { container } = await this.#client.call('Containers.Get', { id });
      const text = Buffer.from(container?.spec?.value ?? []).toString();
      const { process } = JSON.parse(text) as OciSpecification; // written by us
      this.#processes.set(id, process);
      return process;
    } catch (error) {
      if (!isNotFound(error)) throw error;
      throw new ShoalError('not_found', `Cannot run a command in ${id}: there is no such container`);
    }
  }

  async #userIn(id: string, user: string): Promise<ContainerUser> {
    const snapshotter = await this.#images.snapshotter();
    const { info } = await this.#client.call('Snapshots.Stat', { snapshotter, key: id });
    return resolveUser(user, await this.#accounts.read(snapshotter, info?.parent ?? ''));
  }
}
