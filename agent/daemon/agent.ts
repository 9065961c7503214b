import { rm } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { isNoSpace } from '../disk/space.ts';
import type { DiskWatch } from '../disk/watch.ts';
import type { Engine } from '../engine/engine.ts';
import type { HostConditions } from '../conditions/conditions.ts';
import type { HostNetwork } from '../network/network.ts';
import { addressChange, mtuTrouble, nodeUnderlay, type Underlay } from '../network/underlay.ts';
import { HeldEnds, heldMsMax, newlyEnding } from './held-ends.ts';
import { hostIdentity, hostNameOf } from './host-identity.ts';
import type { ToldManagers } from '../session/connection.ts';
import { AgentSession, type Credentials } from '../session/session.ts';
import {
  assignedTasks,
  changed,
  noAssignments,
  type AssignmentChange,
  type Assignments,
} from '../session/assignments.ts';
import { StreamServer } from '../session/streams.ts';
import { createVolumes } from '../volumes/volumes.ts';
import { watchEngine } from '../worker/adoption.ts';
import { LocalRestarts } from '../worker/local-restarts.ts';
import { Condition } from '../worker/condition.ts';
import type { TaskLogs } from '../worker/parts.ts';
import { createTaskFiles, type FileContent, type TaskFiles } from '../worker/task-files.ts';
import { TaskStore } from '../worker/task-store.ts';
import { Worker } from '../worker/worker.ts';
import type { NodeDescription } from '../../src/spec/node.ts';
import type { ContainerSpec } from '../../src/spec/service.ts';
import { compareTaskStates } from '../../src/spec/task.ts';
import { version } from '../../src/spec/version.ts';
import { withDeadline, type Clock } from '../../src/util/clock.ts';
import { codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { Loop } from '../../src/util/loop.ts';
import type { Random } from '../../src/util/random.ts';
import type { AssignedTask } from '../../src/wire/session.ts';

/** A task waits this long for its networks to be set up, and for its secrets and configs to come. */
const sourcesWaitMs = 60_000;
/** The engine has this long to say what it is; the manager is told "unknown" otherwise. */
const describeMs = 2_000;
/** Leaving waits this much longer than the longest grace period for the tasks to be gone. */
const drainSlackMs = 30_000;
/** An image that nobody uses is kept this long, for it may be wanted again. */
const imageUnusedMs = 24 * 60 * 60 * 1000;
const imageLookMs = 60 * 60 * 1000;

export interface AgentOptions {
  engine: Engine;
  network: HostNetwork;
  logs: TaskLogs;
  /** What is wrong with this host: its parts report there, the manager is told. */
  conditions: HostConditions;
  disks: DiskWatch;
  stateDirectory: string;
  runDirectory: string;
  hostname: string;
  advertiseAddress: string;
  managerAddresses: () => string[];
  /** TCP port at which a manager on this host listens, or would. */
  managerPort: number;
  /** What this host is to be, and the managers that there are. */
  onManagers: (told: ToldManagers) => void;
  credentials: () => Credentials;
  clock: Clock;
  random: Random;
  log: Logger;
}

/** Everything a member of a cluster does on its host: session, worker, network. Made by `startAgent`. */
export class Agent {
  readonly session: AgentSession;
  readonly #options: AgentOptions;
  readonly #store: TaskStore;
  readonly #files: TaskFiles;
  readonly #worker: Worker;
  readonly #streams: StreamServer;
  readonly #applier: Loop;
  readonly #imageKeeper: Loop;
  readonly #localRestarts: LocalRestarts;
  readonly #change: Condition;
  readonly #stopTelling: () => void;
  #assignments: Assignments = noAssignments();
  #tasks: ReadonlyMap<string, AssignedTask> = new Map();
  /** Which message the assignments are as of, for telling when the kernel matches them. */
  #told: { epoch: number; sequence: number } | undefined;
  #appliedNetworks: ReadonlySet<string> = new Set();
  readonly #heldEnds: HeldEnds;
  /** Why the kernel does not match the assignments; undefined when it did at the last attempt. */
  #networkTrouble: unknown;

  constructor(options: AgentOptions, { files, store }: { files: TaskFiles; store: TaskStore }) {
    const { clock, random, log, engine, network, logs } = options;
    this.#options = options;
    this.#files = files;
    this.#change = new Condition(clock);
    this.#store = store;
    this.#heldEnds = new HeldEnds(clock, () => {
      log.warn('tasks are told to end before the network has followed', { waitedMs: heldMsMax });
      this.#assignTasks();
    });
    this.#stopTelling = options.conditions.onChange(() => this.session.conditionsChanged());
    this.session = new AgentSession({
      addresses: options.managerAddresses,
      credentials: options.credentials,
      describe: () => this.#describe(),
      host: hostIdentity(),
      conditions: () => options.conditions.list(),
      clock,
      random,
      log,
      stalledMs: () => this.#store.stalledMs,
      onManagers: options.onManagers,
      onAssignments: (change, epoch) => this.#onAssignments(change, epoch),
      onStream: (_streamId, request, dial) => {
        this.#worker.background('serving a stream', () => this.#streams.serve(request, dial));
      },
    });
    const volumes = createVolumes({
      stateDirectory: options.stateDirectory,
      copyImageContent: (image, path, folder) => engine.copyImageContent(image, path, folder),
      removals: { clock, log },
    });
    this.#worker = new Worker({
      engine,
      network,
      logs,
      volumes,
      files,
      clock,
      random,
      log,
      cpus: availableParallelism(),
      store: this.#store,
      onNoSpace: (disk) => options.disks.noSpace(disk),
      sources: {
        networksReady: (ids, signal) => this.#networksReady(ids, signal),
        contents: (task, signal) => this.#contents(task, signal),
        publishedPorts: ({ serviceId }) => this.#assignments.service.get(serviceId)?.ports ?? [],
      },
      onStatus: (taskId, status) => {
        // One whose end is held may not be the manager's any more.
        if (this.#assignments.task.has(taskId)) this.session.report(taskId, status);
      },
      onPhase: (taskId) => {
        if (this.#assignments.endpoint.has(taskId)) this.#applier.poke();
      },
    });
    this.#localRestarts = new LocalRestarts({
      worker: this.#worker,
      isConnected: () => this.session.heeded,
      isUntold: (taskId) => this.session.isUntold(taskId),
      clock,
      log,
    });
    this.#streams = new StreamServer({
      engine,
      log,
      clock,
      readLogs: (taskId, query) => logs.read(taskId, query),
      removeVolume: (name, id) => volumes.removeNamed(name, id),
      exportVolume: (name) => volumes.pack(name),
      importVolume: (which, signal, feed) => volumes.unpack(which, signal, feed),
      sendVolume: (which, signal, exchange) => volumes.send(which, signal, exchange),
      takeVolume: (which, signal, exchange) => volumes.take(which, signal, exchange),
      settleVolume: (which) => volumes.settle(which),
      listVolumes: (name) => volumes.copies(name),
      knows: (taskId) => this.#worker.entries.has(taskId),
    });
    this.#applier = new Loop({ name: 'the network', clock, log, tick: () => this.#applyNetwork() });
    const tick = () => this.#removeUnusedImages();
    this.#imageKeeper = new Loop({
      name: 'removing unused images',
      clock,
      log,
      tick,
      intervalMs: imageLookMs,
    });
  }

  /** Takes up what is on disk and goes on from there; needs neither managers nor engine to be there yet. */
  start(): void {
    this.#assignments = changed(noAssignments(), {
      replace: true,
      put: this.#store.assignments(),
      remove: [],
    });
    const { tasks, missing } = assignedTasks(this.#assignments);
    for (const id of missing) this.#options.log.warn('the template of a task is lost', { task: id });
    this.#tasks = tasks;
    for (const [id, local] of this.#store.tasks()) this.#worker.restore(id, local);
    this.#worker.assign(this.#tasks);
    this.#tellWhatIsNew();
    this.#applier.start();
    this.#imageKeeper.start();
    this.#localRestarts.start();
    this.#options.network.watch((underlay) => this.#onUnderlay(underlay));
    this.#options.disks.start();
    this.session.start();
    this.#worker.background('watching the engine', () => watchEngine(this.#worker));
  }

  /** Ends everything of ours; containers, networks and assignments stay as they are. */
  async stop(): Promise<void> {
    this.#streams.close();
    this.#stopTelling();
    await this.session.stop();
    this.#heldEnds.release();
    await Promise.all([
      this.#localRestarts.stop(),
      this.#worker.stop(),
      this.#applier.stop(),
      this.#imageKeeper.stop(),
    ]);
    await Promise.all([this.#options.network.stop(), this.#options.disks.stop()]);
    await this.#store.close();
  }

  /** Stops and removes every task. Throws `deadline_exceeded` when some do not go. */
  async drain(): Promise<void> {
    const graces = [...this.#worker.entries.values()].map((entry) => entry.local.stopGracePeriodMs);
    this.#assignments = noAssignments();
    this.#store.changeAssignments([], [], true);
    await this.session.stop();
    this.#heldEnds.release();
    this.#worker.assign(new Map());
    const limit = Math.max(0, ...graces) + drainSlackMs;
    const { clock } = this.#options;
    await withDeadline(limit, 'Stopping the tasks', async (signal) => {
      while (this.#worker.entries.size > 0) await clock.sleep(20, signal);
    });
  }

  /** After `drain` and `stop`: takes every trace of the cluster from this host but its named volumes and images. */
  async purge(): Promise<void> {
    await this.#options.network.purge();
    await this.#files.purge();
    await rm(join(this.#options.stateDirectory, 'agent'), { recursive: true, force: true });
  }

  /** Throws when a task refers to a template that was not told: nothing of the change is taken then. */
  #onAssignments(change: AssignmentChange, epoch: number): void {
    const before = this.#assignments.task;
    const tasksBefore = this.#tasks;
    const after = changed(this.#assignments, change);
    const { tasks, missing } = assignedTasks(after);
    if (missing.length > 0) throw new Error(`task ${missing[0]} refers to a template that was not told`);
    this.#store.changeAssignments(change.put, change.remove, change.replace);
    this.#assignments = after;
    this.#tasks = tasks;
    this.#told = { epoch, sequence: change.sequence };
    for (const id of before.keys()) if (!this.#assignments.task.has(id)) this.session.drop(id);
    // A manager holds a stop back until this host sends nothing there any more; of a host that was away it could not.
    if (change.replace && this.#networkTrouble === undefined) {
      this.#heldEnds.hold(newlyEnding(tasksBefore, tasks));
    }
    this.#applier.poke();
    this.#change.changed();
    this.#assignTasks();
    if (change.replace) this.#tellWhatIsNew();
  }

  #assignTasks(): void {
    this.#worker.assign(this.#heldEnds.over(this.#tasks));
  }

  /** A manager that has just told everything may know less of the tasks than is known here. */
  #tellWhatIsNew(): void {
    for (const [id, status] of this.#worker.statuses()) {
      const known = this.#assignments.task.get(id)?.status;
      if (!known) continue;
      const order = compareTaskStates(status.state, known.state);
      if (order > 0 || (order === 0 && status.message !== known.message)) this.session.report(id, status);
    }
  }

  /** The host's own network is another one now: the kernel is to follow, and the managers are to know. */
  #onUnderlay(underlay: Underlay): void {
    const { conditions, advertiseAddress } = this.#options;
    const problem = addressChange(underlay, advertiseAddress);
    if (problem === undefined) conditions.clear('AddressChanged', 'host');
    else conditions.set('AddressChanged', 'host', problem);
    const trouble = mtuTrouble(underlay, advertiseAddress);
    if (trouble === undefined) conditions.clear('NetworkBroken', 'mtu');
    else conditions.set('NetworkBroken', 'mtu', trouble);
    this.#applier.poke();
    this.session.descriptionChanged();
  }

  async #applyNetwork(): Promise<void> {
    const { conditions } = this.#options;
    const { held } = this.#heldEnds;
    try {
      await this.#matchNetwork();
      this.#networkTrouble = undefined;
      conditions.clear('NetworkBroken', 'assignments');
    } catch (error) {
      this.#networkTrouble = error;
      conditions.set('NetworkBroken', 'assignments', messageOf(error));
      throw error;
    } finally {
      // Whether or not it could: what cannot be applied now must not keep a task from its end.
      if (held.size > 0 && held === this.#heldEnds.held) {
        this.#heldEnds.release();
        this.#assignTasks();
      }
    }
  }

  async #matchNetwork(): Promise<void> {
    const { network, conditions } = this.#options;
    const told = this.#told;
    const { network: networks, peer: peers, service: services } = this.#assignments;
    // One that has just ended here gets no new connection from here, though the manager may not know yet.
    const endpoints = new Map(
      [...this.#assignments.endpoint].filter(([taskId]) => this.#worker.mayServe(taskId)),
    );
    // What the kernel is losing now is not there any more, though it may come back with the next pass.
    const staying = [...this.#appliedNetworks].filter((id) => networks.has(id));
    this.#appliedNetworks = new Set(staying);
    await network.apply({ networks, peers, services, endpoints });
    const refused = network.refused();
    this.#appliedNetworks = new Set([...networks.keys()].filter((id) => !refused.has(id)));
    if (refused.size === 0) conditions.clear('NetworkBroken', 'subnets');
    else conditions.set('NetworkBroken', 'subnets', [...refused.values()].join('; '));
    this.#change.changed();
    if (told) this.session.applied(told.epoch, told.sequence);
  }

  async #removeUnusedImages(): Promise<void> {
    const { engine, log } = this.#options;
    const keep = [...this.#assignments.template.values()].flatMap(({ template }) =>
      imagesOf(template.container),
    );
    const removed = await engine.removeUnusedImages({ keep, unusedMs: imageUnusedMs });
    if (removed.length > 0) log.info('removed images that were not used for a day', { images: removed });
  }

  async #networksReady(ids: string[], signal: AbortSignal): Promise<void> {
    const { network } = this.#options;
    const ready = () => {
      const refused = ids.map((id) => network.refused().get(id)).find((reason) => reason !== undefined);
      if (refused !== undefined) return refused;
      return ids.every((id) => this.#appliedNetworks.has(id)) ? '' : undefined;
    };
    const refused = await this.#change
      .until('its networks on this host', sourcesWaitMs, ready, signal)
      .catch((error: unknown) => {
        // What the wait was for says more than that it was too long.
        if (codeOf(error) === 'deadline_exceeded' && this.#networkTrouble) throw this.#networkTrouble;
        throw error;
      });
    if (refused !== '') throw new ShoalError('network_failed', refused);
  }

  async #contents(task: AssignedTask, signal: AbortSignal): Promise<FileContent[]> {
    const { secrets, configs } = task.template.container;
    const look = () => {
      const named = [
        ...secrets.map((reference) => ({ reference, kind: 'secret' as const })),
        ...configs.map((reference) => ({ reference, kind: 'config' as const })),
      ];
      const found = named.flatMap(({ reference, kind }) => {
        const file = [...this.#assignments[kind].values()].find(({ name }) => name === reference.name);
        return file ? [{ reference, content: Buffer.from(file.data, 'base64') }] : [];
      });
      return found.length === named.length ? found : undefined;
    };
    return await this.#change.until('its secrets and configs', sourcesWaitMs, look, signal);
  }

  async #describe(): Promise<NodeDescription> {
    const { engine, network, hostname, advertiseAddress, log } = this.#options;
    const info = await withDeadline(describeMs, 'Asking the engine', () => engine.info()).catch(
      (error: unknown) => {
        log.warn('the engine does not say what it is', { error: messageOf(error) });
        return { name: 'containerd', version: 'unknown' };
      },
    );
    const features = await engine.features().catch((error: unknown) => {
      log.warn('what this host has cannot be told', { error: messageOf(error) });
      return { runtimes: [], cdiDevices: [] };
    });
    const underlay = await network.underlay().catch((error: unknown) => {
      log.warn("the host's own network cannot be told", { error: messageOf(error) });
    });
    return {
      hostname: hostNameOf(hostname),
      address: advertiseAddress,
      os: process.platform,
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      nanoCpus: availableParallelism() * 1e9,
      memoryBytes: totalmem(),
      engine: { ...info, labels: {} },
      shoalVersion: version,
      managerPort: this.#options.managerPort,
      ...features,
      ...(underlay && { underlay: nodeUnderlay(underlay, advertiseAddress) }),
    };
  }
}

/** Every image that a task uses. */
function imagesOf({ image, preStart = [], mounts }: ContainerSpec): string[] {
  const mounted = mounts.flatMap((mount) => (mount.type === 'image' ? [mount.source] : []));
  return [image, ...preStart.flatMap((init) => init.image ?? []), ...mounted];
}

/** Makes the agent of a member and sets it going. */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { clock, log, runDirectory, stateDirectory, disks } = options;
  const files = await createTaskFiles(join(runDirectory, 'tasks'));
  const store = await TaskStore.open({
    path: join(stateDirectory, 'agent', 'state.jsonl'),
    clock,
    log,
    onTrouble: (error) => isNoSpace(error) && disks.noSpace('state'),
  });
  const agent = new Agent(options, { files, store });
  agent.start();
  return agent;
}
