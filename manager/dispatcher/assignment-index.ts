import { networksReached } from '../../src/spec/former.ts';
import type { Node } from '../../src/spec/node.ts';
import type { Config, Secret } from '../../src/spec/resource.ts';
import type { Task } from '../../src/spec/task.ts';
import type { Faults } from '../store/isolate.ts';
import type { ObjectKind, View } from '../store/objects.ts';
import { isEndpoint, isLive, needsDrain, networkAssignment, stops } from './assignments.ts';
import { Dirt, Pairs, Teller } from './dirt.ts';
import { Fragment, Increments } from './fragment.ts';
import { hasPlace, NetworkFacts, signatureOf } from './network-facts.ts';
import { fileKeysOf, NodeFacts } from './node-facts.ts';
import { EndpointFact, ServiceFact } from './shared-facts.ts';
import { addTo, dropFrom } from './sets.ts';

/** Ids of what has changed, by kind. */
export type Changed = ReadonlyMap<ObjectKind, ReadonlySet<string>>;

type Listening = (nodeId: string) => boolean;

/**
 * What every node is told, kept up to date from the changes of the view: the cost of a change grows with what it changes
 * and with the nodes that are to hear of it, not with the cluster. What nodes share is kept once. Every node with a session
 * is told every increment, so that what is kept here is what they all know.
 */
export class AssignmentIndex {
  readonly #view: View;
  readonly #nodes = new Map<string, NodeFacts>();
  readonly #networks = new Map<string, NetworkFacts>();
  readonly #services = new Map<string, ServiceFact>();
  readonly #endpoints = new Map<string, EndpointFact>();
  readonly #endpointsOfService = new Map<string, Set<string>>();
  /** Services by the names of networks that they ask for, whether these exist or not. */
  readonly #servicesByNetworkName = new Map<string, Set<string>>();
  /** What a network's name and kind were when services were last looked at. */
  readonly #networkNames = new Map<string, string>();
  /** Services by the network that their published ports lead to. */
  readonly #ingress = new Map<string, Set<string>>();
  readonly #tasks = new Map<string, Task>();
  readonly #placeOfTask = new Map<string, NodeFacts>();
  /** Tasks by the task that they take something over from. */
  readonly #companions = new Map<string, Set<string>>();
  readonly #stopping = new Map<string, Task>();
  readonly #files = new Map<string, Fragment>();
  readonly #fileNames = new Map<string, string>();
  readonly #tasksByFile = new Map<string, Set<string>>();
  readonly #tasksToTell = new Set<string>();

  constructor(view: View) {
    this.#view = view;
  }

  /** Running tasks that are to stop: connections may still be sent to them. */
  get stopping(): ReadonlyMap<string, Task> {
    return this.#stopping;
  }

  /**
   * Takes over what has changed in the view since the last update, but for the tasks' own assignments, and adds what the
   * nodes are to be told of it. `tellTasks` must follow.
   */
  update(changed: Changed, listening: Listening, faults: Faults): Increments {
    const dirt = new Dirt();
    const ids = (kind: ObjectKind) => changed.get(kind) ?? [];
    const each = (kind: ObjectKind, list: Iterable<string>, take: (id: string) => void) => {
      for (const id of list) faults.isolated(kind, id, () => take(id));
    };
    each('secret', ids('secret'), (id) => this.#takeFile('secret', id, this.#view.secrets.get(id)));
    each('config', ids('config'), (id) => this.#takeFile('config', id, this.#view.configs.get(id)));
    const services = new Set(ids('service'));
    each('network', ids('network'), (id) => {
      for (const serviceId of this.#takeNetwork(id, dirt)) services.add(serviceId);
    });
    each('service', services, (id) => this.#takeService(id, dirt));
    each('task', ids('task'), (id) => this.#takeTask(id, dirt));
    each('node', ids('node'), (id) => this.#takeNode(id, dirt));
    const increments = new Increments();
    const teller = new Teller(dirt, increments, listening);
    this.#move(dirt);
    this.#tellNetworks(dirt, teller);
    this.#tellServices(dirt, teller);
    for (const id of dirt.touched) if (this.#networks.get(id)?.isEmpty) this.#networks.delete(id);
    return increments;
  }

  /** Tells the nodes of their tasks, with templates and files. `drained`: those that may stop; `news` were not among them before. */
  tellTasks(
    drained: ReadonlySet<string>,
    news: Iterable<string>,
    increments: Increments,
    listening: Listening,
    faults: Faults,
  ): void {
    for (const id of news) this.#noteTask(id);
    const touched = new Set<NodeFacts>();
    const withFiles = new Set<NodeFacts>();
    for (const id of this.#tasksToTell) {
      const place = this.#nodes.get(this.#view.tasks.get(id)?.nodeId ?? '');
      const before = this.#placeOfTask.get(id);
      for (const node of new Set([before, place])) {
        if (node === undefined || this.#nodes.get(node.id) !== node) continue;
        const increment = listening(node.id) ? increments.of(node.id) : undefined;
        touched.add(node);
        const hasFiles = faults.isolated('task', id, () => node.tellTask(id, this.#view, drained, increment));
        if (hasFiles === true) withFiles.add(node);
      }
      if (place?.tasks.has(id)) this.#placeOfTask.set(id, place);
      else this.#placeOfTask.delete(id);
    }
    this.#tasksToTell.clear();
    for (const node of touched) {
      node.templates.tell(listening(node.id) ? increments.of(node.id) : undefined);
    }
    for (const node of withFiles) {
      node.tellFiles(this.#files, listening(node.id) ? increments.of(node.id) : undefined);
    }
  }

  /** Everything that the node is told, as of the last update. */
  complete(nodeId: string): Fragment[] {
    const node = this.#nodes.get(nodeId);
    if (node === undefined) return [];
    const fragments: Fragment[] = [];
    const services = new Set<string>();
    for (const networkId of node.networks) {
      const facts = this.#networks.get(networkId)!;
      fragments.push(this.#networkFragment(networkId, nodeId)!);
      for (const peer of facts.peers.values()) if (peer.nodeId !== nodeId) fragments.push(peer.fragment);
      for (const id of facts.services) services.add(id);
    }
    for (const id of services) {
      const service = this.#services.get(id)!;
      const fragment = service.seenFrom(node.networks);
      if (fragment !== undefined) fragments.push(fragment);
      for (const taskId of this.#endpointsOfService.get(id) ?? []) {
        const endpoint = this.#endpoints.get(taskId)!.seenFrom(node.networks, service);
        if (endpoint !== undefined) fragments.push(endpoint);
      }
    }
    return [...node.templates.told, ...fragments, ...node.files.values(), ...node.tasks.values()];
  }

  #takeFile(kind: 'secret' | 'config', id: string, file: Secret | Config | undefined): void {
    const key = `${kind}/${file?.spec.name ?? this.#fileNames.get(id) ?? ''}`;
    if (file === undefined) {
      this.#fileNames.delete(id);
      if (this.#files.get(key)?.put.value.id === id) this.#files.delete(key);
    } else {
      const { name, data } = file.spec;
      this.#fileNames.set(id, name);
      this.#files.set(key, new Fragment({ kind, value: { id, name, data } }));
    }
    for (const taskId of this.#tasksByFile.get(key) ?? []) this.#tasksToTell.add(taskId);
  }

  /** Gives the services that may see another network under the name. */
  #takeNetwork(id: string, dirt: Dirt): Iterable<string> {
    dirt.networks.add(id);
    const spec = this.#view.networks.get(id)?.spec;
    const before = this.#networkNames.get(id);
    const now = spec && `${spec.internal} ${spec.name}`;
    if (before === now) return [];
    if (now === undefined) this.#networkNames.delete(id);
    else this.#networkNames.set(id, now);
    return [before, now].flatMap((text) => [
      ...(this.#servicesByNetworkName.get(text?.slice(text.indexOf(' ') + 1) ?? '') ?? []),
    ]);
  }

  #takeService(id: string, dirt: Dirt): void {
    const before = this.#services.get(id);
    const service = this.#view.services.get(id);
    if (!dirt.services.has(id)) dirt.services.set(id, before);
    if (before !== undefined) {
      this.#services.delete(id);
      for (const { name } of networksReached(before.service)) dropFrom(this.#servicesByNetworkName, name, id);
      for (const networkId of before.networkIds) this.#facts(networkId, dirt).services.delete(id);
      for (const networkId of before.ingressNetworkIds) this.#noteIngress(networkId, id, false, dirt);
    }
    if (service === undefined) return;
    const after = new ServiceFact(this.#view, service);
    this.#services.set(id, after);
    for (const { name } of networksReached(service)) addTo(this.#servicesByNetworkName, name, id);
    for (const networkId of after.networkIds) this.#facts(networkId, dirt).services.add(id);
    for (const networkId of after.ingressNetworkIds) this.#noteIngress(networkId, id, true, dirt);
  }

  #noteIngress(networkId: string, serviceId: string, isThere: boolean, dirt: Dirt): void {
    const before = this.#ingress.has(networkId);
    if (isThere) addTo(this.#ingress, networkId, serviceId);
    else dropFrom(this.#ingress, networkId, serviceId);
    if (before !== this.#ingress.has(networkId)) dirt.networks.add(networkId);
  }

  #takeTask(id: string, dirt: Dirt): void {
    const before = this.#tasks.get(id);
    const after = this.#view.tasks.get(id);
    if (before === after) return;
    if (after === undefined) this.#tasks.delete(id);
    else this.#tasks.set(id, after);
    this.#noteTask(id);
    this.#countLive(before, -1, dirt);
    this.#countLive(after, 1, dirt);
    this.#takeEndpoint(id, dirt);
    for (const anchor of Object.values(before?.anchors ?? {})) dropFrom(this.#companions, anchor, id);
    for (const anchor of Object.values(after?.anchors ?? {})) addTo(this.#companions, anchor, id);
    for (const key of (before && fileKeysOf(before)) ?? []) dropFrom(this.#tasksByFile, key, id);
    for (const key of (after && fileKeysOf(after)) ?? []) addTo(this.#tasksByFile, key, id);
    if (after !== undefined && stops(after) && needsDrain(after)) this.#stopping.set(id, after);
    else this.#stopping.delete(id);
  }

  /** The task's assignment may be another, and so may those of tasks that stand on it. */
  #noteTask(id: string): void {
    this.#tasksToTell.add(id);
    for (const companion of this.#companions.get(id) ?? []) this.#tasksToTell.add(companion);
  }

  #countLive(task: Task | undefined, sign: 1 | -1, dirt: Dirt): void {
    if (task === undefined || !isLive(task)) return;
    const node = this.#nodes.get(task.nodeId ?? '');
    for (const { networkId, address } of task.attachments) {
      const facts = this.#facts(networkId, dirt);
      if (sign > 0) facts.hold(address, task);
      else facts.release(address, task.id);
      addTo(dirt.peers, networkId, address);
      if (node === undefined) continue;
      node.count(networkId, sign);
      addTo(dirt.places, node, networkId);
    }
  }

  #takeEndpoint(id: string, dirt: Dirt): void {
    const before = this.#endpoints.get(id);
    const task = this.#view.tasks.get(id);
    const isNow = task !== undefined && isEndpoint(task, this.#view.nodes);
    if (isNow ? before?.isSameAs(task) : before === undefined) return;
    if (!dirt.endpoints.has(id)) dirt.endpoints.set(id, before);
    if (before !== undefined) {
      this.#endpoints.delete(id);
      dropFrom(this.#endpointsOfService, before.task.serviceId, id);
      for (const networkId of before.networkIds) this.#facts(networkId, dirt).endpoints.delete(id);
    }
    if (!isNow) return;
    const after = new EndpointFact(task);
    this.#endpoints.set(id, after);
    addTo(this.#endpointsOfService, task.serviceId, id);
    for (const networkId of after.networkIds) this.#facts(networkId, dirt).endpoints.add(id);
  }

  #takeNode(id: string, dirt: Dirt): void {
    const node = this.#view.nodes.get(id);
    const known = this.#nodes.get(id);
    if (node === undefined && known === undefined) return;
    const facts = node && (known ?? this.#newNode(node, dirt));
    if (node === undefined && known !== undefined) {
      this.#nodes.delete(id);
      for (const networkId of known.networks) {
        this.#facts(networkId, dirt).members.delete(known);
      }
    }
    const address = node?.description?.address;
    const isDown = node?.status.state === 'down';
    if (known?.address !== address || facts !== known) this.#noteAddress(id, dirt);
    if (known?.isDown !== isDown || facts !== known) {
      for (const task of this.#view.tasksOfNode(id)) this.#takeEndpoint(task.id, dirt);
    }
    if (facts === undefined) return;
    facts.address = address;
    facts.isDown = isDown;
  }

  #newNode({ id }: Node, dirt: Dirt): NodeFacts {
    const facts = new NodeFacts(id);
    this.#nodes.set(id, facts);
    for (const networkId of this.#ingress.keys()) addTo(dirt.places, facts, networkId);
    for (const task of this.#view.tasksOfNode(id)) {
      this.#noteTask(task.id);
      if (!isLive(task)) continue;
      for (const { networkId } of task.attachments) {
        facts.count(networkId, 1);
        addTo(dirt.places, facts, networkId);
      }
    }
    return facts;
  }

  /** Frames for the node's tasks and bridges go elsewhere now. */
  #noteAddress(id: string, dirt: Dirt): void {
    for (const task of this.#view.tasksOfNode(id)) {
      if (isLive(task)) for (const each of task.attachments) addTo(dirt.peers, each.networkId, each.address);
    }
    for (const network of this.#view.networks.values()) {
      if (Object.hasOwn(network.bridgeAddresses, id)) dirt.networks.add(network.id);
    }
  }

  /** What is known of the network; it is forgotten at the end of the update when that is nothing. */
  #facts(networkId: string, dirt: Dirt): NetworkFacts {
    dirt.touched.add(networkId);
    const known = this.#networks.get(networkId);
    if (known !== undefined) return known;
    const facts = new NetworkFacts(networkId);
    this.#networks.set(networkId, facts);
    return facts;
  }

  /** Lets nodes join and leave networks. */
  #move(dirt: Dirt): void {
    for (const [node, networkIds] of dirt.places) {
      if (this.#nodes.get(node.id) !== node) continue;
      for (const networkId of networkIds) this.#moveOne(node, networkId, dirt);
    }
    for (const networkId of dirt.networks) {
      for (const node of this.#nodes.values()) this.#moveOne(node, networkId, dirt);
    }
  }

  #moveOne(node: NodeFacts, networkId: string, dirt: Dirt): void {
    const wants = node.live.has(networkId) || this.#ingress.has(networkId);
    const joins = wants && hasPlace(this.#view, networkId, node.id);
    if (joins === node.networks.has(networkId)) return;
    dirt.move(node, networkId, joins);
    const { members } = this.#facts(networkId, dirt);
    if (joins) {
      node.networks.add(networkId);
      members.add(node);
      for (const id of node.waiting) this.#tasksToTell.add(id);
    } else {
      node.networks.delete(networkId);
      members.delete(node);
      for (const id of node.tasks.keys()) this.#tasksToTell.add(id);
    }
  }

  /** The networks themselves, and their peers. */
  #tellNetworks(dirt: Dirt, teller: Teller): void {
    for (const [node, { left }] of dirt.moves) {
      for (const networkId of left) teller.leave(node, this.#networks.get(networkId)!);
    }
    const hostAddressOf = ({ nodeId = '' }: Task) => this.#view.nodes.get(nodeId)?.description?.address;
    for (const [networkId, addresses] of dirt.peers) {
      const facts = this.#networks.get(networkId)!;
      for (const address of addresses) {
        const before = facts.peers.get(address);
        const after = facts.peerNow(address, hostAddressOf);
        if (before === after) continue;
        if (after === undefined) facts.peers.delete(address);
        else facts.peers.set(address, after);
        teller.peer(facts, before, after);
      }
      dirt.touched.add(networkId);
    }
    for (const networkId of dirt.networks) {
      const facts = this.#networks.get(networkId);
      const signature = signatureOf(this.#view, networkId);
      if (facts === undefined || facts.signature === signature) continue;
      facts.signature = signature;
      for (const node of facts.members) {
        if (teller.hasJoined(node, networkId)) continue;
        teller.put(node, () => this.#networkFragment(networkId, node.id)!);
      }
    }
    for (const [node, { joined }] of dirt.moves) {
      for (const networkId of joined) {
        teller.join(node, this.#networks.get(networkId)!, () => this.#networkFragment(networkId, node.id)!);
      }
    }
  }

  #networkFragment(networkId: string, nodeId: string): Fragment | undefined {
    const value = networkAssignment(this.#view, networkId, nodeId);
    return value && new Fragment({ kind: 'network', value });
  }

  /** Services and endpoints, to every node that sees them or saw them. */
  #tellServices(dirt: Dirt, teller: Teller): void {
    const services = new Pairs(teller.listening);
    const endpoints = new Pairs(teller.listening);
    for (const [id, before] of dirt.services) {
      const after = this.#services.get(id);
      const isSeenAs = after?.isSeenAs(before) === true;
      for (const node of this.#membersOf(before?.networkIds, after?.networkIds)) {
        services.add(node, id);
        if (!isSeenAs) endpoints.addAll(node, this.#endpointsOfService.get(id));
      }
    }
    for (const [id, before] of dirt.endpoints) {
      for (const node of this.#membersOf(before?.networkIds, this.#endpoints.get(id)?.networkIds))
        endpoints.add(node, id);
    }
    for (const [node, { joined, left }] of dirt.moves) {
      for (const networkId of [...joined, ...left]) {
        const facts = this.#networks.get(networkId)!;
        services.addAll(node, facts.services);
        endpoints.addAll(node, facts.endpoints);
        for (const id of facts.services) endpoints.addAll(node, this.#endpointsOfService.get(id));
      }
      // What has left the network in the same moment is not found there any more.
      services.addAll(node, dirt.services.keys());
      endpoints.addAll(node, dirt.endpoints.keys());
      for (const id of dirt.services.keys()) endpoints.addAll(node, this.#endpointsOfService.get(id));
    }
    const serviceBefore = (id: string) =>
      dirt.services.has(id) ? dirt.services.get(id) : this.#services.get(id);
    const endpointBefore = (id: string) =>
      dirt.endpoints.has(id) ? dirt.endpoints.get(id) : this.#endpoints.get(id);
    services.forEach((node, id) => {
      const before = serviceBefore(id)?.seenFrom(teller.networksBefore(node));
      teller.change(node, before, this.#services.get(id)?.seenFrom(node.networks));
    });
    endpoints.forEach((node, id) => {
      const [old, now] = [endpointBefore(id), this.#endpoints.get(id)];
      const before = old?.seenFrom(teller.networksBefore(node), serviceBefore(old.task.serviceId));
      teller.change(node, before, now?.seenFrom(node.networks, this.#services.get(now.task.serviceId)));
    });
  }

  #membersOf(...lists: (readonly string[] | undefined)[]): Set<NodeFacts> {
    const members = new Set<NodeFacts>();
    for (const networkId of new Set(lists.flatMap((list) => list ?? []))) {
      for (const node of this.#networks.get(networkId)?.members ?? []) members.add(node);
    }
    return members;
  }
}
