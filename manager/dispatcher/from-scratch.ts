import { networksReached } from '../../src/spec/former.ts';
import type { FileReference, Service } from '../../src/spec/service.ts';
import { isTerminal, type Task } from '../../src/spec/task.ts';
import type { AssignmentPut, FileAssignment } from '../../src/wire/session.ts';
import type { View } from '../store/objects.ts';
import { templateId } from '../store/templates.ts';
import {
  endpointAssignment,
  isEndpoint,
  isForAgent,
  isLive,
  isNewer,
  mayWait,
  networkAssignment,
  ingressIds,
  networksOf,
  serviceAssignment,
  taskAssignment,
} from './assignments.ts';

/** For tests: what one node is told, computed from nothing but the view. The dispatcher follows changes instead. */

/** What all nodes' sets are cut from; made once for a view. */
interface Overview {
  view: View;
  /** Live tasks (assigned and not ended) by each network they are on, and their address there. */
  liveByNetwork: Map<string, Map<string, Task>>;
  /** Services by each network they are reachable on. */
  servicesByNetwork: Map<string, Service[]>;
  endpointsByService: Map<string, Task[]>;
  /** Networks by which services with ingress ports are reached: every node is part of them. */
  ingressNetworks: Set<string>;
  secretsByName: Map<string, FileAssignment>;
  configsByName: Map<string, FileAssignment>;
}

/** Indexes of the view that every node's set needs. */
function overviewOf(view: View): Overview {
  const overview: Overview = {
    view,
    liveByNetwork: new Map(),
    servicesByNetwork: new Map(),
    endpointsByService: new Map(),
    ingressNetworks: new Set(),
    secretsByName: filesByName(view.secrets.values()),
    configsByName: filesByName(view.configs.values()),
  };
  for (const task of view.tasks.values()) {
    if (!isLive(task)) continue;
    for (const { networkId, address } of task.attachments) noteAddress(overview, networkId, address, task);
    if (isEndpoint(task, view.nodes)) addTo(overview.endpointsByService, task.serviceId, task);
  }
  for (const service of view.services.values()) {
    for (const { name } of networksReached(service)) {
      const network = view.networkByName(name);
      if (network) addTo(overview.servicesByNetwork, network.id, service);
    }
    for (const id of ingressIds(networksOf(view, service))) overview.ingressNetworks.add(id);
  }
  return overview;
}

/** A task with a fixed address may have been lost with its host: then its successor has the address. */
function noteAddress({ liveByNetwork }: Overview, networkId: string, address: string, task: Task): void {
  const known = liveByNetwork.get(networkId) ?? new Map<string, Task>();
  liveByNetwork.set(networkId, known);
  const other = known.get(address);
  if (other === undefined || isNewer(task, other)) known.set(address, task);
}

/**
 * The node's complete set. A task whose desired state says stop is told so only when it is in `drained`; until then the
 * node is told to let it run. Tasks wait here until their networks have what the node needs of them.
 */
export function assignmentsFromScratch(
  view: View,
  nodeId: string,
  drained: ReadonlySet<string>,
): Map<string, AssignmentPut> {
  const overview = overviewOf(view);
  const set = new Map<string, AssignmentPut>();
  const put = (assignment: AssignmentPut) => set.set(`${assignment.kind}/${assignment.value.id}`, assignment);
  const tasks = [...view.tasksOfNode(nodeId)].filter(isForAgent);
  const wanted = new Set(overview.ingressNetworks);
  for (const task of tasks) {
    if (isLive(task)) for (const { networkId } of task.attachments) wanted.add(networkId);
  }
  const networks = new Set<string>();
  for (const networkId of wanted) {
    const network = networkAssignment(view, networkId, nodeId);
    if (network === undefined) continue;
    networks.add(networkId);
    put({ kind: 'network', value: network });
    for (const [address, peer] of overview.liveByNetwork.get(networkId) ?? []) {
      const hostAddress = view.nodes.get(peer.nodeId ?? '')?.description?.address;
      if (peer.nodeId === nodeId || hostAddress === undefined) continue;
      put({ kind: 'peer', value: { id: `${networkId}/${peer.id}`, networkId, address, hostAddress } });
    }
  }
  putServices(overview, networks, put);
  for (const task of tasks) {
    if (mayWait(task) && !task.attachments.every(({ networkId }) => networks.has(networkId))) continue;
    const { template } = task;
    put({ kind: 'template', value: { id: templateId(template), template } });
    put({ kind: 'task', value: taskAssignment(task, view, drained) });
    if (isTerminal(task.status.state)) continue;
    const { secrets, configs } = task.template.container;
    for (const value of filesOf(secrets, overview.secretsByName)) put({ kind: 'secret', value });
    for (const value of filesOf(configs, overview.configsByName)) put({ kind: 'config', value });
  }
  return set;
}

function putServices(overview: Overview, networks: Set<string>, put: (value: AssignmentPut) => void): void {
  const services = new Set<Service>();
  for (const networkId of networks) {
    for (const service of overview.servicesByNetwork.get(networkId) ?? []) services.add(service);
  }
  for (const service of services) {
    // A service that wants a virtual IP is not named before it has one, or its name would resolve to tasks.
    if (service.endpoint === undefined) continue;
    const value = serviceAssignment(service, networksOf(overview.view, service), networks);
    put({ kind: 'service', value });
    for (const task of overview.endpointsByService.get(service.id) ?? []) {
      const value = endpointAssignment(task, networks);
      if (value !== undefined) put({ kind: 'endpoint', value });
    }
  }
}

function filesOf(references: FileReference[], byName: Map<string, FileAssignment>): FileAssignment[] {
  return references.flatMap(({ name }) => byName.get(name) ?? []);
}

function filesByName(
  files: Iterable<{ id: string; spec: { name: string; data: string } }>,
): Map<string, FileAssignment> {
  return new Map([...files].map(({ id, spec }) => [spec.name, { id, name: spec.name, data: spec.data }]));
}

function addTo<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
