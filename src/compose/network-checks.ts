import { parseSubnet, subnetSize, subnetsOverlap } from '../spec/address.ts';
import { portName, portsClash, type OpenPort } from '../spec/port.ts';
import { parseLink } from './links.ts';
import type { CanonicalModel, CanonicalService } from './model.ts';
import { isEveryAddress } from './ports.ts';
import type { PathSegment } from './tree.ts';

type Complain = (path: readonly PathSegment[], message: string, hint?: string) => void;

/** Checks what must hold between names, addresses and ports of all services and networks. */
export function checkNetworking(model: CanonicalModel, complain: Complain): void {
  for (const [key, service] of Object.entries(model.services)) {
    checkLinks(key, service, model, complain);
    checkSingle(key, service, complain);
  }
  checkContainerNames(model, complain);
  checkPorts(model, complain);
  checkSubnets(model, complain);
}

/** A link leads to another service that shares a network with this one. */
function checkLinks(key: string, service: CanonicalService, model: CanonicalModel, complain: Complain): void {
  const aliases = new Map<string, string>();
  for (const [index, text] of (service.links ?? []).entries()) {
    const path = ['services', key, 'links', index];
    const { service: target, alias } = parseLink(text);
    const other = Object.hasOwn(model.services, target) ? model.services[target]! : undefined;
    const earlier = aliases.get(alias.toLowerCase());
    aliases.set(alias.toLowerCase(), target);
    if (target === key) complain(path, 'a service cannot link to itself', 'leave it out');
    else if (other === undefined) {
      complain(path, `no service is called ${target}`, 'name a service of this file whose profile is active');
    } else if (!Object.keys(other.networks).some((name) => Object.hasOwn(service.networks, name))) {
      complain(path, `${key} and ${target} have no network in common`, `let both join one of the networks`);
    } else if (earlier !== undefined && earlier !== target) {
      complain(path, `${alias} leads to ${earlier} already`, 'give each link its own name');
    }
  }
}

/** A name of a container, and a fixed address, can only be had once. */
function checkSingle(key: string, service: CanonicalService, complain: Complain): void {
  const { deploy } = service;
  const path = ['services', key];
  const given =
    service.container_name === undefined
      ? []
      : [{ path: [...path, 'container_name'], what: 'container_name' }];
  const replicas = deploy?.replicas ?? service.scale ?? 1;
  const says = deploy?.replicas === undefined ? 'scale' : 'deploy.replicas';
  for (const one of given) {
    if (deploy?.mode === 'global') {
      complain(
        one.path,
        `a global service has many containers, and ${one.what} is for one`,
        'leave out one of them',
      );
    } else if (replicas > 1) {
      complain(one.path, `it is for one container, and ${says} says ${replicas}`, 'leave out one of them');
    }
  }
}

function checkContainerNames({ services }: CanonicalModel, complain: Complain): void {
  const taken = new Map<string, string>();
  for (const [key, { container_name: name }] of Object.entries(services)) {
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
function checkPorts(model: CanonicalModel, complain: Complain): void {
  const ingress = new Map<string, TakenPort[]>();
  for (const [key, service] of Object.entries(model.services)) {
    const host = new Map<string, TakenPort[]>();
    for (const [index, port] of (service.ports ?? []).entries()) {
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
      complain(
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

function checkSubnets(model: CanonicalModel, complain: Complain): void {
  const all = Object.entries(model.networks ?? {}).flatMap(([key, network]) => {
    const text = network.external === true ? undefined : network.ipam?.config?.[0]?.subnet;
    return text === undefined ? [] : [{ key, text, subnet: parseSubnet(text) }];
  });
  const pathOf = (key: string) => ['networks', key, 'ipam', 'config', 0, 'subnet'];
  for (const { key, text, subnet } of all) {
    if (subnet.prefix > 28)
      complain(pathOf(key), `the subnet ${text} is too small`, 'a prefix of at most /28');
  }
  // In order of their addresses, whatever overlaps any of those before overlaps the one that reaches furthest.
  let furthest = all[0];
  for (const one of all.toSorted((left, right) => left.subnet.base - right.subnet.base)) {
    if (furthest !== undefined && one !== furthest && subnetsOverlap(one.subnet, furthest.subnet)) {
      const [first, second] = all.indexOf(one) < all.indexOf(furthest) ? [one, furthest] : [furthest, one];
      complain(pathOf(second.key), `the subnet overlaps that of ${first.key}`, 'keep subnets apart');
    }
    if (furthest === undefined || lastOf(one.subnet) > lastOf(furthest.subnet)) furthest = one;
  }
}

function lastOf(subnet: ReturnType<typeof parseSubnet>): number {
  return subnet.base + subnetSize(subnet);
}
