/** The host's part of the overlay: decides with `plan.ts` and `commands.ts`, acts with `kernel.ts`, one pass at a time. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../src/util/clock.ts';
import { interfaceName } from '../../src/spec/names.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { NetworkAssignment } from '../../src/wire/session.ts';
import type { ConditionReporter } from '../conditions/conditions.ts';
import { DnsServers } from '../dns/servers.ts';
import { buildNames } from '../dns/names.ts';
import { TaskAttacher } from './attacher.ts';
import { PacketFilter } from './filter.ts';
import { closeForeignFirewalls, FirewallWatch } from './firewall-watch.ts';
import { KernelChecker } from './kernel-checker.ts';
import {
  ipBatch,
  listNamespaces,
  listOwnLinks,
  loadBridgeNetfilter,
  namespaceFolder,
  namespacePrefix,
} from './kernel.ts';
import { refusedNetworks } from './conflicts.ts';
import { HostLinks, throwOnFailure, type TaskInterfaces } from './links.ts';
import type { HostNetwork, NetworkAssignments, TaskNetwork } from './network.ts';
import { checkTaskNetwork, parseAssignments } from './parse.ts';
import { PassQueue, type Passes, type Pending } from './pass-queue.ts';
import { planAssignments, planLocal, planTask, type AssignmentPlan } from './plan.ts';
import { listeningPorts } from './ports.ts';
import { TaskRecords } from './records.ts';
import { probeLink } from './rules.ts';
import { HostSwitches } from './switches.ts';
import { checkPorts, PublishedPortWatch } from './taken-ports.ts';
import { underlayMtu, UnderlayWatch, type Underlay } from './underlay.ts';

export interface HostNetworkOptions {
  /** The address other hosts reach this one at; VXLAN leaves from it. */
  hostAddress: string;
  /** Holds records of what is attached. */
  stateDirectory: string;
  clock: Clock;
  log: Logger;
  conditions: ConditionReporter;
  vxlanPort: number;
  /** Where managers listen: nothing that tasks may reach, on any host. */
  managerPorts: number[];
  /** Where names that are not the cluster's are asked. @default /etc/resolv.conf */
  resolverFile?: string;
}

const nothingAssigned: NetworkAssignments = {
  networks: new Map(),
  peers: new Map(),
  services: new Map(),
  endpoints: new Map(),
};

/** Makes the driver; nothing happens before its first call. */
export function createHostNetwork(options: HostNetworkOptions): HostNetwork {
  return new KernelNetwork(options);
}

class KernelNetwork implements HostNetwork {
  readonly #options: HostNetworkOptions;
  readonly #records: TaskRecords;
  readonly #attacher: TaskAttacher;
  readonly #dns: DnsServers;
  readonly #ports: PublishedPortWatch;
  readonly #underlay: UnderlayWatch;
  readonly #queue: PassQueue;
  readonly #links: HostLinks;
  readonly #filter: PacketFilter;
  readonly #checker: KernelChecker;
  readonly #switches: HostSwitches;
  readonly #firewalls: FirewallWatch;
  /** Whether anything was asked for yet. */
  #isAssigned = false;
  #assignments = nothingAssigned;
  /** The assigned networks, and those that are not any more while tasks here still use them. */
  #networks = new Map<string, NetworkAssignment>();
  #tasks = new Map<string, TaskNetwork>();
  #underlayMtu = 0;
  #refused: ReadonlyMap<string, string> = new Map();
  #tookOver = false;

  constructor(options: HostNetworkOptions) {
    this.#options = options;
    this.#records = new TaskRecords(join(options.stateDirectory, 'tasks'), options.log);
    this.#attacher = new TaskAttacher(options.log);
    this.#ports = new PublishedPortWatch(options.log);
    const { clock, log, resolverFile = '/etc/resolv.conf' } = options;
    this.#dns = new DnsServers({ clock, log, resolverFile });
    this.#underlay = new UnderlayWatch({ clock, log, resolverFile });
    this.#links = new HostLinks(this.#attacher);
    const file = join(options.stateDirectory, 'rules');
    const { vxlanPort, managerPorts } = options;
    this.#filter = new PacketFilter({ ports: { vxlanPort, managerPorts }, file, log });
    this.#switches = new HostSwitches(join(options.stateDirectory, 'forwarding-before'));
    this.#firewalls = new FirewallWatch({ clock, log, conditions: options.conditions });
    this.#checker = new KernelChecker({
      clock,
      log,
      conditions: options.conditions,
      check: (all) => this.#queue.enqueue({ kind: 'check', all }),
      onForeignRules: () => this.#firewalls.changed(),
    });
    const passes: Passes = {
      apply: async (assignments) => {
        await this.#takeOver();
        await this.#apply(assignments);
      },
      changeTasks: async (pass) => {
        this.#checker.changing();
        await this.#takeOver();
        await this.#changeTasks(pass);
      },
      check: (all) => this.#check(all),
      purge: () => this.#purge(),
    };
    this.#queue = new PassQueue(passes, clock);
  }

  watch(onChange: (underlay: Underlay) => void): void {
    this.#underlay.start(onChange);
    this.#checker.start();
    this.#firewalls.start();
  }

  underlay(): Promise<Underlay> {
    return this.#underlay.latest();
  }

  refused(): ReadonlyMap<string, string> {
    return this.#refused;
  }

  apply(given: NetworkAssignments): Promise<void> {
    // A copy: the caller may go on changing its maps while this waits its turn.
    const { assignments, refused } = parseAssignments(given);
    if (refused.length > 0) {
      this.#options.log.warn('Parts of what the manager says of the network cannot be used', { refused });
    }
    return this.#queue.enqueue({ kind: 'apply', assignments });
  }

  async attach(task: TaskNetwork): Promise<{ namespacePath: string; dnsServer?: string }> {
    checkTaskNetwork(task);
    await this.#queue.enqueue({ kind: 'attach', task });
    const first = task.attachments[0];
    const network = first && this.#networks.get(first.networkId);
    return {
      namespacePath: `${namespaceFolder}/${namespacePrefix}${task.taskId}`,
      ...(network && { dnsServer: network.bridgeAddress }),
    };
  }

  detach(taskId: string): Promise<void> {
    return this.#queue.enqueue({ kind: 'detach', taskId });
  }

  listening(pid: number): Promise<ReadonlySet<number>> {
    return listeningPorts(pid);
  }

  list(): Promise<string[]> {
    return listNamespaces();
  }

  async stop(): Promise<void> {
    await Promise.all([this.#underlay.stop(), this.#checker.stop(), this.#firewalls.stop()]);
    await this.#queue.idle();
    await this.#dns.stop();
  }

  purge(): Promise<void> {
    return this.#queue.enqueue({ kind: 'purge' });
  }

  /** Learns once what an earlier process attached. Needs the disk only: what of the network is broken is no hindrance. */
  async #takeOver(): Promise<void> {
    if (this.#tookOver) return;
    const [records, namespaces] = await Promise.all([this.#records.load(), listNamespaces()]);
    for (const task of records.values()) {
      if (namespaces.includes(task.taskId)) this.#tasks.set(task.taskId, task);
      else await this.#records.remove(task.taskId);
    }
    this.#tookOver = true;
  }

  async #apply(assignments: NetworkAssignments): Promise<void> {
    this.#assignments = assignments;
    this.#isAssigned = true;
    const isRead = !this.#links.isKnown;
    const isLoaded = !this.#filter.isKnown;
    try {
      await loadBridgeNetfilter();
      await this.#switches.forward();
      const underlay = await this.#underlay.latest();
      this.#underlayMtu = underlayMtu(underlay, this.#options.hostAddress);
      const networks = this.#withNetworksInUse(await this.#harmless(assignments.networks, underlay));
      this.#networks = networks;
      const plan = await this.#plan({ ...assignments, networks });
      const interfaces = await this.#interfaces();
      await this.#links.apply(plan.links, interfaces);
      await this.#attacher.matchMtu(this.#tasks.values(), networks, this.#underlayMtu);
      const ports = await this.#dns.listen([...networks.values()].map((network) => network.bridgeAddress));
      this.#nameTasks();
      await this.#filter.apply(plan.elements, planLocal(this.#tasks.values(), ports));
      if (isRead) await this.#verifyLinks(interfaces);
      if (isLoaded) this.#firewalls.changed({ isReady: true });
    } catch (error) {
      this.#forget();
      throw error;
    }
  }

  /** Those networks that leave the host its own, and those that stand already. */
  async #harmless(
    networks: ReadonlyMap<string, NetworkAssignment>,
    underlay: Underlay,
  ): Promise<Map<string, NetworkAssignment>> {
    const { bridges } = await this.#links.current([...this.#tasks.keys()]);
    const isStanding = (id: string) => bridges.has(interfaceName('bridge', id));
    this.#refused = refusedNetworks(networks.values(), underlay, isStanding);
    return new Map([...networks].filter(([id]) => !this.#refused.has(id)));
  }

  /** The kernel has some of it, or something else: it is read before anything else is done to it. */
  #forget(): void {
    this.#links.forget();
    this.#filter.forget();
  }

  /** What was just repaired counts when it has been seen. */
  async #verifyLinks(interfaces: TaskInterfaces): Promise<void> {
    const [first] = await this.#links.differences(interfaces);
    if (first !== undefined) {
      throw new ShoalError('network_failed', `Cannot set up the host's network: ${first}`, {
        next: 'Look for a program on that host that changes links of Shoal (their names begin with sh).',
      });
    }
  }

  /** Of the tasks that are attached here and have their namespace. */
  async #interfaces(): Promise<TaskInterfaces> {
    const namespaces = new Set(await listNamespaces());
    const tasks = [...this.#tasks.values()].filter(
      ({ taskId, attachments }) =>
        namespaces.has(taskId) && attachments.every(({ networkId }) => this.#networks.has(networkId)),
    );
    return new Map(tasks.map((task) => [task, planTask(task, this.#networks, this.#underlayMtu)]));
  }

  /** Compares the kernel with what was applied, and repairs it. Throws when it cannot. */
  async #check(all: boolean): Promise<void> {
    if (!this.#isAssigned) return;
    if (!this.#links.isKnown || !this.#filter.isKnown) return await this.#apply(this.#assignments);
    const links = [
      ...((await this.#switches.isForwarding()) ? [] : ['forwarding of IPv4 is off']),
      ...(await this.#links.differences(await this.#interfaces())),
    ];
    const filter = await this.#filter.differences(all);
    if (links.length + filter.length === 0) return;
    this.#checker.broken([...filter, ...links]);
    if (links.length > 0) this.#links.forget();
    if (filter.length > 0) this.#filter.forget();
    await this.#apply(this.#assignments);
    this.#firewalls.changed();
  }

  #withNetworksInUse(assigned: ReadonlyMap<string, NetworkAssignment>): Map<string, NetworkAssignment> {
    const networks = new Map(assigned);
    for (const task of this.#tasks.values()) {
      for (const { networkId } of task.attachments) {
        const known = this.#networks.get(networkId);
        if (known && !networks.has(networkId)) networks.set(networkId, known);
      }
    }
    return networks;
  }

  async #plan(assignments: NetworkAssignments): Promise<AssignmentPlan> {
    const own = bridgeAddresses(assignments.networks);
    return planAssignments(assignments, {
      hostAddress: this.#options.hostAddress,
      underlayMtu: this.#underlayMtu,
      vxlanPort: this.#options.vxlanPort,
      foreignPorts: await this.#ports.look(assignments.services.values(), own),
    });
  }

  #nameTasks(): void {
    this.#dns.setNames(buildNames({ ...this.#assignments, networks: this.#networks }, this.#tasks.values()));
  }

  /** After attaches and detaches: only what belongs to tasks of this host. */
  async #applyLocal(): Promise<void> {
    this.#nameTasks();
    if (!this.#isAssigned) return; // the first `apply` loads everything
    if (!this.#filter.isKnown) throw new ShoalError('network_failed', 'The packet filter is not loaded');
    await this.#filter.applyLocal(planLocal(this.#tasks.values(), this.#dns.ports()));
  }

  async #changeTasks(pass: Pending[]): Promise<void> {
    const attaches = pass.filter(({ request }) => request.kind === 'attach');
    const detaches = pass.filter(({ request }) => request.kind === 'detach');
    const accepted: { pending: Pending; task: TaskNetwork }[] = [];
    for (const pending of detaches) this.#tasks.delete((pending.request as { taskId: string }).taskId);
    for (const pending of attaches) {
      const { task } = pending.request as { task: TaskNetwork };
      try {
        if (await this.#isAttached(task)) {
          this.#tasks.set(task.taskId, task);
          pending.resolve();
          continue;
        }
        await checkPorts(task, {
          tasks: this.#tasks.values(),
          services: this.#assignments.services,
          ownAddresses: bridgeAddresses(this.#networks),
        });
        this.#tasks.set(task.taskId, task);
        accepted.push({ pending, task });
      } catch (error) {
        pending.reject(error);
      }
    }
    const taskIds = detaches.map(({ request }) => (request as { taskId: string }).taskId);
    const make = accepted.map(({ task }) => task);
    let { general, failures } = await this.#remake(taskIds, make);
    // The kernel may not have what it is to be attached to: that is repaired, and then it is tried once more.
    if ((general !== undefined || failures.size > 0) && (await this.#isRepaired())) {
      ({ general, failures } = await this.#remake(taskIds, make));
    }
    for (const { pending, task } of accepted) {
      await this.#finishAttach(pending, task, general ?? failures.get(task.taskId));
    }
    if (accepted.some(({ task }) => !this.#tasks.has(task.taskId))) await this.#applyLocal();
    for (const pending of detaches) {
      const { taskId } = pending.request as { taskId: string };
      const error = general ?? failures.get(taskId);
      if (error !== undefined) pending.reject(error);
      else await this.#records.remove(taskId).then(pending.resolve, pending.reject);
    }
  }

  /** Removes and makes, in the kernel and in the packet filter; gives what failed, of all and by task. */
  async #remake(remove: string[], make: TaskNetwork[]) {
    const [outcome, filter] = await Promise.allSettled([
      this.#attacher.change({ remove, make, networks: this.#networks, underlayMtu: this.#underlayMtu }),
      this.#applyLocal(),
    ]);
    const failed = outcome.status === 'rejected' ? (outcome.reason as unknown) : undefined;
    return {
      general: failed ?? (filter.status === 'rejected' ? (filter.reason as unknown) : undefined),
      failures: outcome.status === 'fulfilled' ? outcome.value : new Map<string, unknown>(),
    };
  }

  /** Whether something was wrong with the host's network and is not any more. */
  async #isRepaired(): Promise<boolean> {
    if (!this.#isAssigned) return false;
    try {
      this.#forget();
      await this.#apply(this.#assignments);
      return true;
    } catch (error) {
      this.#options.log.warn("The host's network cannot be repaired", { error: messageOf(error) });
      return false;
    }
  }

  async #finishAttach(pending: Pending, task: TaskNetwork, error: unknown): Promise<void> {
    if (error === undefined) {
      await this.#records.save(task).then(pending.resolve, pending.reject);
      return;
    }
    // What was made of it is removed by the next attach or detach of the same task.
    this.#tasks.delete(task.taskId);
    pending.reject(error);
  }

  async #isAttached(task: TaskNetwork): Promise<boolean> {
    const known = this.#tasks.get(task.taskId);
    if (!known || JSON.stringify(known.attachments) !== JSON.stringify(task.attachments)) return false;
    const present = await access(`${namespaceFolder}/${namespacePrefix}${task.taskId}`).then(
      () => true,
      () => false,
    );
    return present && (await this.#attacher.hasInterfaces(task));
  }

  async #purge(): Promise<void> {
    await this.#dns.stop();
    await this.#firewalls.pause();
    await this.#filter.drop();
    await closeForeignFirewalls();
    await this.#switches.restore();
    const links = (await listOwnLinks()).filter((name) => name !== probeLink);
    const namespaces = await listNamespaces();
    const lines = [
      // VXLAN ports and interfaces of tasks before the bridges they are on.
      ...links.toSorted((left, right) => (left < right ? 1 : -1)).map((name) => `link del ${name}`),
      ...namespaces.map((taskId) => `netns del ${namespacePrefix}${taskId}`),
    ];
    throwOnFailure(lines, await ipBatch(lines));
    await this.#records.removeAll();
    this.#forget();
    this.#isAssigned = false;
    this.#tasks.clear();
    this.#networks.clear();
    this.#assignments = nothingAssigned;
    this.#ports.forget();
  }
}

function bridgeAddresses(networks: ReadonlyMap<string, NetworkAssignment>): Set<string> {
  return new Set([...networks.values()].map((network) => network.bridgeAddress));
}
