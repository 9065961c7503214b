/** The host's part of the overlay: decides with `plan.ts` and `commands.ts`, acts with `kernel.ts`, one pass at a time. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../src/util/clock.ts';
import { interfaceName } from '../../src/spec/names.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { NetworkAssignment } from '../../src/wire/session.ts';
import { DnsServers } from '../dns/servers.ts';
import { buildNames } from '../dns/names.ts';
import { TaskAttacher } from './attacher.ts';
import { elementCommands, linkCommands, reloadCommands } from './commands.ts';
import {
  bridgeBatch,
  dropRuleset,
  hasRuleset,
  ipBatch,
  listNamespaces,
  listOwnLinks,
  namespaceFolder,
  namespacePrefix,
  nft,
  prepareBridge,
  prepareHost,
  readLinks,
} from './kernel.ts';
import { refusedNetworks } from './conflicts.ts';
import type { HostNetwork, NetworkAssignments, TaskNetwork } from './network.ts';
import { planAssignments, planLocal, type AssignmentPlan } from './plan.ts';
import { TaskRecords } from './records.ts';
import { ruleset } from './rules.ts';
import type { Elements, LinkState } from './state.ts';
import { checkPorts, PublishedPortWatch } from './taken-ports.ts';
import { underlayMtu, UnderlayWatch, type Underlay } from './underlay.ts';

export interface HostNetworkOptions {
  /** The address other hosts reach this one at; VXLAN leaves from it. */
  hostAddress: string;
  /** Holds records of what is attached. */
  stateDirectory: string;
  clock: Clock;
  log: Logger;
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

type Request =
  | { kind: 'apply'; assignments: NetworkAssignments }
  | { kind: 'attach'; task: TaskNetwork }
  | { kind: 'detach'; taskId: string }
  | { kind: 'purge' };

interface Pending {
  request: Request;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** How many attaches and detaches one pass takes together. */
const passSizeMax = 32;

/**
 * Workers that waited for one pass ask for the next within a moment of each other: waiting for it costs less than a
 * pass each. A deletion above all takes the kernel 18 ms, for one link or for many.
 */
const gatherMs = 2;
/** And this much longer while only removals wait: 57 replicas on three hosts went in 33 ms each instead of 42. */
const gatherDetachesMs = 25;

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
  readonly #pending: Pending[] = [];
  #running: Promise<void> | undefined;
  /** What the kernel has, as far as we applied it; absent when it must be read again. */
  #links: LinkState | undefined;
  #elements: Elements | undefined;
  #localElements: Elements = new Map();
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
  }

  watch(onChange: (underlay: Underlay) => void): void {
    this.#underlay.start(onChange);
  }

  underlay(): Promise<Underlay> {
    return this.#underlay.latest();
  }

  refused(): ReadonlyMap<string, string> {
    return this.#refused;
  }

  apply(assignments: NetworkAssignments): Promise<void> {
    // Copied: the caller may go on changing its maps while this waits its turn.
    const { networks, peers, services, endpoints } = assignments;
    return this.#enqueue({
      kind: 'apply',
      assignments: {
        networks: new Map(networks),
        peers: new Map(peers),
        services: new Map(services),
        endpoints: new Map(endpoints),
      },
    });
  }

  async attach(task: TaskNetwork): Promise<{ namespacePath: string; dnsServer?: string }> {
    await this.#enqueue({ kind: 'attach', task });
    const first = task.attachments[0];
    const network = first && this.#networks.get(first.networkId);
    return {
      namespacePath: `${namespaceFolder}/${namespacePrefix}${task.taskId}`,
      ...(network && { dnsServer: network.bridgeAddress }),
    };
  }

  detach(taskId: string): Promise<void> {
    return this.#enqueue({ kind: 'detach', taskId });
  }

  list(): Promise<string[]> {
    return listNamespaces();
  }

  async stop(): Promise<void> {
    await this.#underlay.stop();
    await this.#running;
    await this.#dns.stop();
  }

  purge(): Promise<void> {
    return this.#enqueue({ kind: 'purge' });
  }

  #enqueue(request: Request): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ request, resolve, reject });
      this.#running ??= this.#run().finally(() => {
        this.#running = undefined;
      });
    });
  }

  async #run(): Promise<void> {
    // Requests made in the same turn of the event loop share the first pass.
    await Promise.resolve();
    while (this.#pending.length > 0) {
      const next = this.#pending[0]!.request.kind;
      if (next === 'attach' || next === 'detach') await this.#gather();
      const pass = takePass(this.#pending);
      try {
        await this.#takeOver();
        await this.#serve(pass);
      } catch (error) {
        for (const { reject } of pass) reject(error);
      }
    }
  }

  async #serve(pass: Pending[]): Promise<void> {
    // Of several whole assignments only the last one counts.
    const last = pass.at(-1)!.request;
    if (last.kind === 'attach' || last.kind === 'detach') return await this.#changeTasks(pass);
    if (last.kind === 'apply') await this.#apply(last.assignments);
    else await this.#purge();
    for (const { resolve } of pass) resolve();
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

  /** Waits for more of what has come; only while nothing but removals waits, which nobody is in a hurry for, a little longer. */
  async #gather(): Promise<void> {
    const { clock } = this.#options;
    await clock.sleep(gatherMs);
    if (this.#pending.every(({ request }) => request.kind === 'detach')) await clock.sleep(gatherDetachesMs);
  }

  async #apply(assignments: NetworkAssignments): Promise<void> {
    this.#assignments = assignments;
    try {
      await prepareHost();
      const underlay = await this.#underlay.latest();
      this.#underlayMtu = underlayMtu(underlay, this.#options.hostAddress);
      const networks = this.#withNetworksInUse(await this.#harmless(assignments.networks, underlay));
      this.#networks = networks;
      const plan = await this.#plan({ ...assignments, networks });
      await this.#applyLinks(plan.links);
      await this.#attacher.matchMtu(this.#tasks.values(), networks, this.#underlayMtu);
      const ports = await this.#dns.listen([...networks.values()].map((network) => network.bridgeAddress));
      this.#nameTasks();
      await this.#applyElements(plan.elements, planLocal(this.#tasks.values(), ports));
    } catch (error) {
      // The kernel has some of it: read what it has before the next attempt.
      this.#links = undefined;
      this.#elements = undefined;
      throw error;
    }
  }

  /** Those networks that leave the host its own, and those that stand already. */
  async #harmless(
    networks: ReadonlyMap<string, NetworkAssignment>,
    underlay: Underlay,
  ): Promise<Map<string, NetworkAssignment>> {
    const { bridges } = await this.#currentLinks();
    const isStanding = (id: string) => bridges.has(interfaceName('bridge', id));
    this.#refused = refusedNetworks(networks.values(), underlay, isStanding);
    return new Map([...networks].filter(([id]) => !this.#refused.has(id)));
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

  async #currentLinks(): Promise<LinkState> {
    if (this.#links) return this.#links;
    const found = await readLinks();
    await this.#attacher.removeStrayInterfaces(found.veths, [
      ...this.#tasks.keys(),
      ...(await listNamespaces()),
    ]);
    return (this.#links = found.links);
  }

  async #applyLinks(wanted: LinkState): Promise<void> {
    const commands = linkCommands(await this.#currentLinks(), wanted);
    throwOnFailure(commands.ip, await ipBatch(commands.ip));
    await Promise.all(commands.bridges.map((bridge) => prepareBridge(bridge)));
    throwOnFailure(commands.bridge, await bridgeBatch(commands.bridge));
    this.#links = wanted;
  }

  async #applyElements(wanted: Elements, local: Elements): Promise<void> {
    if (this.#elements) {
      await nft(elementCommands(this.#elements, wanted) + elementCommands(this.#localElements, local));
    } else {
      const rules = ruleset(this.#options);
      const present = await hasRuleset(rules.version);
      await nft((present ? '' : rules.text) + reloadCommands(new Map([...wanted, ...local])));
    }
    this.#elements = wanted;
    this.#localElements = local;
  }

  #nameTasks(): void {
    this.#dns.setNames(buildNames({ ...this.#assignments, networks: this.#networks }, this.#tasks.values()));
  }

  /** After attaches and detaches: only what belongs to tasks of this host. */
  async #applyLocal(): Promise<void> {
    this.#nameTasks();
    if (!this.#elements) return; // the first `apply` loads everything
    const local = planLocal(this.#tasks.values(), this.#dns.ports());
    try {
      await nft(elementCommands(this.#localElements, local));
      this.#localElements = local;
    } catch (error) {
      this.#elements = undefined;
      throw error;
    }
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
    const [outcome, filter] = await Promise.allSettled([
      this.#attacher.change({
        remove: taskIds,
        make: accepted.map(({ task }) => task),
        networks: this.#networks,
        underlayMtu: this.#underlayMtu,
      }),
      this.#applyLocal(),
    ]);
    const failed = outcome.status === 'rejected' ? (outcome.reason as unknown) : undefined;
    const failures = outcome.status === 'fulfilled' ? outcome.value : new Map<string, unknown>();
    const general = failed ?? (filter.status === 'rejected' ? (filter.reason as unknown) : undefined);
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
    await dropRuleset();
    const links = await listOwnLinks();
    const namespaces = await listNamespaces();
    const lines = [
      // VXLAN ports and interfaces of tasks before the bridges they are on.
      ...links.toSorted((left, right) => (left < right ? 1 : -1)).map((name) => `link del ${name}`),
      ...namespaces.map((taskId) => `netns del ${namespacePrefix}${taskId}`),
    ];
    throwOnFailure(lines, await ipBatch(lines));
    await this.#records.removeAll();
    this.#links = undefined;
    this.#elements = undefined;
    this.#localElements = new Map();
    this.#tasks.clear();
    this.#networks.clear();
    this.#assignments = nothingAssigned;
    this.#ports.forget();
  }
}

/** Takes from the front what one pass may do together: several applies, or attaches and detaches of different tasks. */
function takePass(pending: Pending[]): Pending[] {
  const first = pending[0]!;
  const tasks = new Set<string>();
  let count = 0;
  for (const { request } of pending) {
    if (first.request.kind === 'purge' && count > 0) break;
    if (first.request.kind === 'apply' || first.request.kind === 'purge') {
      if (request.kind !== first.request.kind) break;
    } else {
      if (request.kind !== 'attach' && request.kind !== 'detach') break;
      const taskId = request.kind === 'attach' ? request.task.taskId : request.taskId;
      if (tasks.has(taskId) || count === passSizeMax) break;
      tasks.add(taskId);
    }
    count++;
  }
  return pending.splice(0, count);
}

function bridgeAddresses(networks: ReadonlyMap<string, NetworkAssignment>): Set<string> {
  return new Set([...networks.values()].map((network) => network.bridgeAddress));
}

function throwOnFailure(lines: readonly string[], failures: ReadonlyMap<number, string>): void {
  const [first] = failures;
  if (!first) return;
  throw new ShoalError(
    'network_failed',
    `Cannot change the host's network: '${lines[first[0]]}': ${first[1]}`,
    {
      details: Object.fromEntries([...failures].map(([index, said]) => [lines[index] ?? '', said])),
    },
  );
}
