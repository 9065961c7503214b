/** The names of services as each task sees them. Pure. */
import { parseAddress } from '../../src/spec/address.ts';
import type { EndpointAssignment, ServiceAssignment } from '../../src/wire/session.ts';
import type { NetworkAssignments, TaskNetwork } from '../network/network.ts';

/** Who may ask, and what names mean to them. */
export interface Names {
  /** The task with this address on the network of this server; absent when there is none here. */
  client(server: string, address: string): Client | undefined;
  /** Addresses of a name (lower case, no final dot) for this client; absent when the name is not the cluster's. */
  addresses(client: Client, name: string): { addresses: string[]; balanced: boolean } | undefined;
  /** The name of an address on one of the client's networks; `null` when the address is the cluster's but has no name. */
  nameOf(client: Client, address: string): string | null | undefined;
}

export interface Client {
  taskId: string;
  application: string | undefined;
  /** In the order of its attachments. */
  networkIds: readonly string[];
  /** Whether names of the outside world are looked up for it: not when all its networks are internal. */
  external: boolean;
  /** Who is asked then; absent: the host's own servers. */
  resolvers?: readonly string[];
  /** Names that lead to services for it alone: to full names, all in lower case. */
  links: ReadonlyMap<string, string>;
}

interface NamedService {
  service: ServiceAssignment;
  endpoints: EndpointAssignment[];
}

/**
 * Builds the index once per change, so that a question costs a few map lookups. `tasks` are those attached to this
 * host: only they are answered.
 */
export function buildNames(assignments: NetworkAssignments, tasks: Iterable<TaskNetwork>): Names {
  const endpoints = Map.groupBy(assignments.endpoints.values(), (endpoint) => endpoint.serviceId);
  /** `NETWORK NAME` to the services called so; keys and aliases may be shared by several. */
  const byName = new Map<string, NamedService[]>();
  const byAddress = new Map<string, { networkId: string; name: string }>();
  for (const service of assignments.services.values()) {
    const named = { service, endpoints: endpoints.get(service.id) ?? [] };
    for (const network of service.networks) {
      for (const name of new Set([service.name, service.key, ...network.aliases])) {
        const key = `${network.networkId} ${name.toLowerCase()}`;
        byName.set(key, [...(byName.get(key) ?? []), named]);
      }
      indexAddresses(named, network, byAddress);
    }
  }
  /** By the address of the network's bridge and its own, as `SERVER ADDRESS`. */
  const clients = new Map<string, Client>();
  for (const task of tasks) {
    const client = clientOf(task, assignments);
    for (const { networkId, address } of task.attachments) {
      const server = assignments.networks.get(networkId)?.bridgeAddress;
      if (server !== undefined) clients.set(`${server} ${address}`, client);
    }
  }
  const overlays = [...assignments.networks.values()];
  return {
    client: (server, address) => clients.get(`${server} ${address}`),
    addresses: (client, name) => addressesOf(byName, client, name),
    nameOf: (client, address) => {
      const found = byAddress.get(address);
      if (found && client.networkIds.includes(found.networkId)) return found.name;
      return overlays.some(({ subnet }) => sameSubnet(subnet, address)) ? null : undefined;
    },
  };
}

function indexAddresses(
  { service, endpoints }: NamedService,
  { networkId, virtualAddress }: ServiceAssignment['networks'][number],
  byAddress: Map<string, { networkId: string; name: string }>,
): void {
  if (virtualAddress !== undefined) byAddress.set(virtualAddress, { networkId, name: service.name });
  for (const endpoint of endpoints) {
    const address = endpoint.addresses[networkId];
    const name = endpoint.slot > 0 ? `${endpoint.slot}.${service.name}` : `tasks.${service.name}`;
    if (address !== undefined) byAddress.set(address, { networkId, name });
  }
}

function clientOf(task: TaskNetwork, assignments: NetworkAssignments): Client {
  const networkIds = task.attachments.map(({ networkId }) => networkId);
  const service = assignments.services.get(task.serviceId);
  return {
    taskId: task.taskId,
    application: service?.application,
    links: new Map((service?.links ?? []).map(({ alias, service }) => [alias, service.toLowerCase()])),
    networkIds,
    external: networkIds.some((id) => assignments.networks.get(id)?.internal === false),
    ...(task.dnsServers && { resolvers: task.dnsServers }),
  };
}

function sameSubnet(subnet: string, address: string): boolean {
  const [base = '', prefix = ''] = subnet.split('/');
  const size = 2 ** (32 - Number(prefix));
  return Math.floor(parseAddress(base) / size) === Math.floor(parseAddress(address) / size);
}

/**
 * What the client's own links say goes first. Then what its own application calls so goes before what others on its
 * networks call so, and a full name belongs to everybody.
 */
function addressesOf(
  byName: ReadonlyMap<string, NamedService[]>,
  client: Client,
  name: string,
): { addresses: string[]; balanced: boolean } | undefined {
  const called = (networkId: string, text: string) => byName.get(`${networkId} ${text}`) ?? [];
  const isNamed = ({ service }: NamedService, text: string) => service.name.toLowerCase() === text;
  return (
    addressesAmong(client, name, (networkId, text) => {
      const link = client.links.get(text);
      return link === undefined ? [] : called(networkId, link).filter((each) => isNamed(each, link));
    }) ??
    addressesAmong(client, name, (networkId, text) =>
      called(networkId, text).filter(
        (each) => each.service.application === client.application || isNamed(each, text),
      ),
    ) ??
    addressesAmong(client, name, called)
  );
}

/** A name is looked for as it stands, and then as `tasks.NAME` and `SLOT.NAME`. */
function addressesAmong(
  client: Client,
  name: string,
  servicesCalled: (networkId: string, name: string) => NamedService[],
): { addresses: string[]; balanced: boolean } | undefined {
  const [, prefix = '', rest = ''] = /^(tasks|\d+)\.(.+)$/.exec(name) ?? [];
  for (const networkId of client.networkIds) {
    const whole = servicesCalled(networkId, name);
    if (whole.length > 0) return serviceAddresses(whole, networkId);
    const services = rest === '' ? [] : servicesCalled(networkId, rest);
    if (services.length === 0) continue;
    const slot = prefix === 'tasks' ? undefined : Number(prefix);
    const addresses = services.flatMap(({ endpoints }) => endpointAddresses(endpoints, networkId, slot));
    return { addresses, balanced: false };
  }
  return undefined;
}

function serviceAddresses(
  services: NamedService[],
  networkId: string,
): { addresses: string[]; balanced: boolean } {
  const virtual = services.flatMap(({ service }) =>
    service.networks
      .filter((network) => network.networkId === networkId)
      .map((network) => network.virtualAddress)
      .filter((address) => address !== undefined),
  );
  const listed = services
    .filter(
      ({ service }) => !service.networks.some((each) => each.networkId === networkId && each.virtualAddress),
    )
    .flatMap(({ endpoints }) => endpointAddresses(endpoints, networkId, undefined));
  return { addresses: [...virtual, ...listed], balanced: listed.length === 0 };
}

function endpointAddresses(
  endpoints: EndpointAssignment[],
  networkId: string,
  slot: number | undefined,
): string[] {
  return endpoints
    .filter((endpoint) => slot === undefined || endpoint.slot === slot)
    .map((endpoint) => endpoint.addresses[networkId])
    .filter((address) => address !== undefined);
}
