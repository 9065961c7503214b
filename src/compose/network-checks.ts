import {
  isUsableAddress,
  parseAddress,
  parseSubnet,
  subnetContains,
  subnetSize,
  subnetsOverlap,
  type Subnet,
} from '../spec/address.ts';
import { portName, portsClash, type OpenPort } from '../spec/port.ts';
import { checks, readSubnet } from './checks.ts';
import { parseLink } from './links.ts';
import { serviceMode } from './deploy.ts';
import type { CanonicalModel, CanonicalNetwork, CanonicalService } from './model.ts';
import { isEveryAddress } from './ports.ts';
import type { Speaker } from './speaker.ts';

/** Smaller subnets hold too few addresses to divide. */
const prefixMax = 28;

/** Services by their keys. */
type Services = readonly [string, CanonicalService][];

/** Checks what must hold between names, addresses and ports of all services and networks. */
export function checkNetworking(context: Speaker & { model: CanonicalModel; services: Services }): void {
  const { model, services } = context;
  const withName: [string, CanonicalService][] = [];
  const withPorts: [string, CanonicalService][] = [];
  const withAddress: [string, CanonicalService][] = [];
  for (const [key, service] of services) {
    const addresses = fixedAddresses(service);
    if (service.container_name !== undefined) withName.push([key, service]);
    if (service.ports !== undefined) withPorts.push([key, service]);
    if (addresses.length > 0) withAddress.push([key, service]);
    if (service.links !== undefined) checkLinks(key, service, service.links, model, context);
    if (service.container_name !== undefined || addresses.length > 0) {
      checkSingle(key, service, addresses, context);
    }
    checkInterfaceNames(key, service, context);
  }
  checkContainerNames(withName, context);
  if (withPorts.length > 0) checkPorts(withPorts, context);
  checkSubnets(model, context);
  if (context.isFull()) return;
  for (const [key, network] of Object.entries(model.networks ?? {})) checkRanges(key, network, context);
  if (withAddress.length > 0) checkFixedAddresses(model, withAddress, context);
}

/** The networks on which the service has a fixed address. */
function fixedAddresses({ networks }: CanonicalService): string[] {
  return Object.keys(networks).filter((name) => networks[name]?.ipv4_address !== undefined);
}

/** A link leads to another service that shares a network with this one. */
function checkLinks(
  key: string,
  service: CanonicalService,
  links: readonly string[],
  model: CanonicalModel,
  { complain, refuse }: Speaker,
): void {
  const aliases = new Map<string, string>();
  for (const [index, text] of links.entries()) {
    const path = ['services', key, 'links', index];
    const { service: target, alias } = parseLink(text);
    const other = Object.hasOwn(model.services, target) ? model.services[target]! : undefined;
    const earlier = aliases.get(alias.toLowerCase());
    aliases.set(alias.toLowerCase(), target);
    if (target === key) complain(path, 'a service cannot link to itself', 'leave it out');
    else if (other === undefined) {
      complain(path, `no service is called ${target}`, 'name a service of this file whose profile is active');
    } else if (!Object.keys(other.networks).some((name) => Object.hasOwn(service.networks, name))) {
      refuse(path, `${key} and ${target} have no network in common`, `let both join one of the networks`);
    } else if (earlier !== undefined && earlier !== target) {
      refuse(path, `${alias} leads to ${earlier} already`, 'give each link its own name');
    }
  }
}

/** A name of a container, and a fixed address, can only be had once. */
function checkSingle(
  key: string,
  service: CanonicalService,
  addresses: readonly string[],
  { complain, refuse }: Speaker,
): void {
  const { deploy } = service;
  const path = ['services', key];
  const single = [
    ...(service.container_name === undefined ? [] : [['container_name']]),
    ...addresses.map((name) => ['networks', name, 'ipv4_address']),
  ];
  const mode = serviceMode(service);
  const says = service.scale === undefined ? 'deploy.replicas' : 'scale';
  const replicas = service.scale ?? deploy?.replicas ?? 1;
  for (const keys of single) {
    const isWrong = keys[0] === 'container_name' && replicas > 1; // as compose-go has it, whatever the mode
    if (mode.kind === 'global' && !isWrong) {
      const message = `it is for one container, and a global service has one on every host`;
      refuse([...path, ...keys], message, 'leave out one of them');
    } else if (replicas > 1) {
      const message = `it is for one container, and ${says} says ${replicas}`;
      const say = isWrong ? complain : refuse;
      say([...path, ...keys], message, 'leave out one of them');
    }
  }
  for (const name of ['update_config', 'rollback_config'] as const) {
    if (addresses.length === 0 || deploy?.[name]?.order !== 'start-first') continue;
    refuse(
      [...path, 'deploy', name, 'order'],
      'the old and the new container would have the same ipv4_address',
      'leave out order, or the address',
    );
  }
}

/** Interfaces of a service have names of their own. */
function checkInterfaceNames(key: string, service: CanonicalService, { refuse }: Speaker): void {
  const taken = new Map<string, string>();
  for (const network of Object.keys(service.networks)) {
    const name = service.networks[network]?.interface_name;
    if (name === undefined) continue;
    const earlier = taken.get(name);
    taken.set(name, network);
    if (earlier === undefined) continue;
    refuse(
      ['services', key, 'networks', network, 'interface_name'],
      `the interface on ${earlier} is called ${name} already`,
      'give each its own name',
    );
  }
}

/** A fixed address is one of its network's, and nobody else's. */
function checkFixedAddresses(model: CanonicalModel, services: Services, { refuse }: Speaker): void {
  const taken = new Map<string, string>();
  for (const [key, network] of Object.entries(model.networks ?? {})) {
    const { gateway, aux_addresses: others } = network.ipam?.config?.[0] ?? {};
    if (gateway !== undefined) taken.set(`${key} ${gateway}`, 'the gateway');
    for (const [name, address] of Object.entries(others ?? {})) taken.set(`${key} ${address}`, name);
  }
  for (const [key, service] of services) {
    for (const [name, options] of Object.entries(service.networks)) {
      const network = model.networks?.[name];
      const address = options?.ipv4_address;
      // Of a network that is there already only the cluster knows the addresses.
      if (address === undefined || network === undefined || network.external === true) continue;
      const path = ['services', key, 'networks', name, 'ipv4_address'];
      const subnet = network.ipam?.config?.[0]?.subnet;
      const earlier = taken.get(`${name} ${address}`);
      taken.set(`${name} ${address}`, key);
      if (subnet === undefined) {
        refuse(path, `the network ${name} has no subnet of its own`, `give ${name} one under ipam.config`);
      } else if (checks.subnet(subnet) && !isUsableAddress(parseSubnet(subnet), parseAddress(address))) {
        refuse(path, `${address} is no address in ${subnet}`, 'choose one of its subnet');
      } else if (earlier !== undefined) {
        refuse(path, `${address} is that of ${earlier} already`, 'give each its own address');
      }
    }
  }
}

function checkContainerNames(services: Services, { complain }: Speaker): void {
  const taken = new Map<string, string>();
  for (const [key, { container_name: name }] of services) {
    if (name === undefined) continue;
    const earlier = taken.get(name);
    if (earlier !== undefined) {
      complain(
        ['services', key, 'container_name'],
        `the container of ${earlier} is called ${name} already`,
        'give each its own name',
      );
    }
    taken.set(name, key);
  }
}

/** A port is published in ingress mode by one service only, and in host mode once by a service, on each address. */
function checkPorts(services: Services, { refuse }: Speaker): void {
  const ingress = new Map<string, TakenPort[]>();
  for (const [key, { ports = [] }] of services) {
    const host = new Map<string, TakenPort[]>();
    for (const [index, port] of ports.entries()) {
      if (port.published === undefined || port.published === '0' || port.published.includes('-')) continue;
      const taken = port.mode === 'host' ? host : ingress;
      const { protocol, host_ip: address } = port;
      const open: OpenPort = { published: Number(port.published), protocol };
      if (address !== undefined && !isEveryAddress(address)) open.address = address;
      const name = `${port.published}/${protocol}`;
      const others = taken.get(name) ?? [];
      taken.set(name, [...others, { open, key }]);
      const earlier = others.find((other) => portsClash(other.open, open));
      if (earlier === undefined) continue;
      refuse(
        ['services', key, 'ports', index],
        `port ${portName(open)} is published already, by ${earlier.key}`,
        'publish each port once',
      );
    }
  }
}

interface TakenPort {
  open: OpenPort;
  /** Of the service. */
  key: string;
}

function checkSubnets(model: CanonicalModel, { refuse, isFull }: Speaker): void {
  const networks = model.networks ?? {};
  const all: { key: string; index: number; text: string; subnet: Subnet }[] = [];
  for (const key of Object.keys(networks)) {
    const { external, ipam } = networks[key]!;
    const text = external === true ? undefined : ipam?.config?.[0]?.subnet;
    const subnet = text === undefined ? undefined : readSubnet(text);
    if (subnet !== undefined) all.push({ key, index: all.length, text: text!, subnet });
  }
  const pathOf = (key: string) => ['networks', key, 'ipam', 'config', 0, 'subnet'];
  for (const { key, text, subnet } of all) {
    if (subnet.prefix > prefixMax)
      refuse(pathOf(key), `the subnet ${text} is too small`, `a prefix of at most /${prefixMax}`);
  }
  // In order of their addresses, whatever overlaps any of those before overlaps the one that reaches furthest.
  let furthest = all[0];
  for (const one of all.toSorted((left, right) => left.subnet.base - right.subnet.base)) {
    if (isFull()) return;
    if (furthest !== undefined && one !== furthest && subnetsOverlap(one.subnet, furthest.subnet)) {
      const [first, second] = one.index < furthest.index ? [one, furthest] : [furthest, one];
      refuse(pathOf(second.key), `the subnet overlaps that of ${first.key}`, 'keep subnets apart');
    }
    if (furthest === undefined || lastOf(one.subnet) > lastOf(furthest.subnet)) furthest = one;
  }
}

/** What a network says of single addresses is within its subnet. */
function checkRanges(key: string, network: CanonicalNetwork, { refuse }: Speaker): void {
  if (network.external === true) return;
  const { subnet: text, ip_range: range, gateway, aux_addresses: others } = network.ipam?.config?.[0] ?? {};
  const path = ['networks', key, 'ipam', 'config', 0];
  const given: [string[], string][] = Object.entries(others ?? {}).map(([name, address]) => [
    ['aux_addresses', name],
    address,
  ]);
  if (gateway !== undefined) given.push([['gateway'], gateway]);
  if (text === undefined) {
    for (const keys of [...(range === undefined ? [] : [['ip_range']]), ...given.map(([keys]) => keys)]) {
      refuse([...path, ...keys], 'the network has no subnet of its own', 'give it one');
    }
    return;
  }
  const subnet = readSubnet(text);
  if (subnet === undefined) return;
  for (const [keys, address] of given) {
    if (!checks.ipv4Address(address) || isUsableAddress(subnet, parseAddress(address))) continue;
    refuse([...path, ...keys], `${address} is no address in ${text}`, 'choose one of its subnet');
  }
  if (range === undefined || !checks.subnet(range)) return;
  const part = parseSubnet(range);
  if (part.prefix < subnet.prefix || !subnetContains(subnet, part.base)) {
    refuse([...path, 'ip_range'], `${range} is not within ${text}`, 'choose a part of the subnet');
  } else if (part.prefix > prefixMax) {
    refuse([...path, 'ip_range'], `the range ${range} is too small`, `a prefix of at most /${prefixMax}`);
  }
}

function lastOf(subnet: Subnet): number {
  return subnet.base + subnetSize(subnet);
}
