import { isDeepStrictEqual } from 'node:util';
import { parseAddress, subnetContains, virtualSubnetOf } from '../../src/spec/address.ts';
import type { Network } from '../../src/spec/network.ts';
import { networksReached } from '../../src/spec/former.ts';
import type { AllocatedPort, NetworkReference, Service } from '../../src/spec/service.ts';
import { assert, messageOf } from '../../src/util/errors.ts';
import { damageOfNetwork, damageWords } from '../store/damage.ts';
import type { Faults } from '../store/isolate.ts';
import type { Plan, View } from '../store/objects.ts';
import { addressesInUse, type NetworkAddresses } from './addresses.ts';
import { formerOf } from './former.ts';
import { keptPorts, PublishedPorts } from './ports.ts';
import { byAge, once, serveInTurn, type Cursors } from './range.ts';

type Endpoint = NonNullable<Service['endpoint']>;

/** Gives every service its virtual IPs and published ports, or the reason why it has none. Moves the cursors. */
export function planServices(view: View, cursors: Cursors, faults: Faults): Plan {
  const todo = [...view.services.values()].filter((service) => {
    // What the orchestrator does not plan is left as it is here as well.
    if (service.removing || service.damage !== undefined) return false;
    return faults.isolated('service', service.id, () => isAllocated(service, view)) !== true;
  });
  if (todo.length === 0) return [];
  const ports = new PublishedPorts(view, cursors, faults);
  const addresses = once(() => addressesInUse(view, cursors, faults));
  const plan: Plan = [];
  const served = serveInTurn(
    todo.sort(byAge),
    (service) =>
      faults.isolated('service', service.id, () => allocateService(service, view, ports, addresses)) ??
      leftAlone(service, faults),
  );
  for (const { item: service, result } of served) {
    const { endpoint, allocationError } = result;
    if (isDeepStrictEqual(endpoint, service.endpoint) && allocationError === service.allocationError)
      continue;
    plan.push([{ kind: 'service', action: 'update', object: { ...service, endpoint, allocationError } }]);
  }
  return plan;
}

/** Those of the networks where the service has a virtual IP, by id. */
function virtualNetworks(
  service: Service,
  references: readonly NetworkReference[],
  view: View,
): Map<string, Network> {
  if (service.spec.endpointMode === 'dnsrr') return new Map();
  const networks = references.map(({ name }) => view.networkByName(name));
  return new Map(networks.filter((network) => network !== undefined).map((network) => [network.id, network]));
}

function keptAddresses(service: Service, wanted: Map<string, Network>): Record<string, string> {
  const kept = Object.entries(service.endpoint?.virtualAddresses ?? {}).filter(([networkId, address]) => {
    const { subnet, virtualSubnet } = wanted.get(networkId) ?? {};
    if (subnet === undefined) return false;
    return subnetContains(virtualSubnetOf({ subnet, virtualSubnet }), parseAddress(address));
  });
  return Object.fromEntries(kept);
}

/** Whether there is nothing to do: cheap, for it is asked of every service at every plan. */
function isAllocated(service: Service, view: View): boolean {
  const { endpoint, spec } = service;
  if (endpoint === undefined || service.allocationError !== undefined) return false;
  if (endpoint.ports.length !== spec.ports.length || keptPorts(service).includes(undefined)) return false;
  if (endpoint.former && !isDeepStrictEqual(formerOf(service, view), endpoint.former)) return false;
  if (spec.task.networks.some(({ name }) => view.networkByName(name)?.subnet === undefined)) return false;
  const reached = virtualNetworks(service, networksReached(service), view);
  const kept = keptAddresses(service, reached);
  const wanted = [...virtualNetworks(service, spec.task.networks, view).keys()];
  return (
    Object.keys(endpoint.virtualAddresses).length === Object.keys(kept).length &&
    wanted.every((id) => kept[id] !== undefined)
  );
}

interface Allocated {
  failed: boolean;
  endpoint: Endpoint | undefined;
  allocationError: string | undefined;
}

/** All of the endpoint, or what is kept of it and the reason why the rest could not be had. */
function allocateService(
  service: Service,
  view: View,
  ports: PublishedPorts,
  addresses: () => Map<string, NetworkAddresses>,
): Allocated {
  const wanted = virtualNetworks(service, service.spec.task.networks, view);
  const former = formerOf(service, view);
  const reached = networksReached({ ...service, endpoint: { virtualAddresses: {}, ports: [], former } });
  const virtualAddresses = keptAddresses(service, virtualNetworks(service, reached, view));
  const lacking = [...wanted.values()].filter(({ id }) => virtualAddresses[id] === undefined);
  const kept = keptPorts(service);
  const taken: AllocatedPort[] = [];
  try {
    checkNetworks(service, view);
    const full = lacking.map(({ id }) => addresses().get(id)?.whyVirtualFull()).find(Boolean);
    if (full !== undefined) throw new Error(full);
    const allocated = kept.map((port, index) => {
      if (port !== undefined) return port;
      const wantedPort = service.spec.ports[index];
      assert(wantedPort !== undefined, 'kept ports are in the order of the spec');
      const fresh = ports.take(service, wantedPort);
      taken.push(fresh);
      return fresh;
    });
    const holder = `service ${service.spec.name}`;
    const fresh = lacking.map(({ id }) => [id, addresses().get(id)!.takeVirtual(holder)] as const);
    const complete = { ...virtualAddresses, ...Object.fromEntries(fresh) };
    return {
      failed: false,
      endpoint: endpointOf(service, { virtualAddresses: complete, ports: allocated }, view),
      allocationError: undefined,
    };
  } catch (error) {
    ports.giveBack(taken);
    const rest = { virtualAddresses, ports: kept.filter((port) => port !== undefined) };
    const endpoint = service.endpoint === undefined ? undefined : endpointOf(service, rest, view);
    return { failed: true, endpoint, allocationError: messageOf(error) };
  }
}

/** With what tasks of earlier versions go on with. */
function endpointOf(service: Service, endpoint: Endpoint, view: View): Endpoint {
  const former = formerOf(service, view);
  return former.length === 0 ? endpoint : { ...endpoint, former };
}

/** It keeps what it has, and says what could not be worked with. */
function leftAlone({ id, endpoint }: Service, faults: Faults): Allocated {
  const allocationError = damageWords(messageOf(faults.of('service', id)?.error));
  return { failed: true, endpoint, allocationError };
}

function checkNetworks(service: Service, view: View): void {
  for (const { name } of service.spec.task.networks) {
    const reason = whyNoNetwork(name, view);
    if (reason !== undefined) throw new Error(reason);
  }
}

/** Why nothing can join the network now; undefined when it can. */
export function whyNoNetwork(name: string, view: View): string | undefined {
  const network = view.networkByName(name);
  if (network === undefined) return `network ${name} does not exist`;
  const damage = damageOfNetwork(network);
  if (damage !== undefined) return damageWords(`network ${name}: ${damage}`);
  if (network.removing && network.subnet === undefined) return `network ${name} is being removed`;
  if (network.subnet !== undefined) return undefined;
  return network.allocationError === undefined
    ? `network ${name} has no subnet yet`
    : `network ${name}: ${network.allocationError}`;
}
