/** From differences to the lines that `ip -batch`, `bridge -batch` and `nft -f` are given. Pure. */
import { assert } from '../../src/util/errors.ts';
import type { TaskInterface } from './plan.ts';
import { kindOf, tableOf } from './rules.ts';
import { difference, type BridgeState, type Elements, type LinkState, type VxlanState } from './state.ts';

export interface LinkCommands {
  /** Lines for `ip -batch`, in order. */
  ip: string[];
  /** Lines for `bridge -batch`, run after `ip`'s. */
  bridge: string[];
  /** Bridges made or changed; they need their sysctls. */
  bridges: string[];
}

/** The commands that take the links from `from` to `to`, without ports. Each may be run again after a failure half-way. */
export function linkCommands(from: LinkState, to: LinkState): LinkCommands {
  const bridges = difference(asText(from.bridges), asText(to.bridges));
  const vxlans = difference(asText(withoutMtu(from.vxlans)), asText(withoutMtu(to.vxlans)));
  const ip: string[] = [];
  const gone = new Set<string>();
  for (const [name] of vxlans.remove) {
    const [before, after] = [from.vxlans.get(name)!, to.vxlans.get(name)];
    if (after && isSameTunnel(before, after)) continue;
    gone.add(name);
    ip.push(`link del ${name}`);
  }
  for (const [name] of bridges.remove) if (!to.bridges.has(name)) ip.push(`link del ${name}`);
  for (const [name] of bridges.add) {
    const found = from.bridges.get(name);
    const isOther = found?.wrong.includes('kind') === true;
    if (isOther) ip.push(`link del ${name}`);
    ip.push(...bridgeLines(name, to.bridges.get(name)!, isOther ? undefined : found));
  }
  for (const [name] of vxlans.add) {
    ip.push(...vxlanLines(name, to.vxlans.get(name)!, from.vxlans.has(name) && !gone.has(name)));
  }
  // An MTU is changed in place: a port that is made anew has none of its entries.
  for (const [name, { mtu }] of to.vxlans) {
    const before = from.vxlans.get(name);
    if (before && before.mtu !== mtu && !gone.has(name)) ip.push(...mtuLines(name, mtu));
  }
  ip.push(...neighbourLines(from, to, bridges.add));
  return { ip, bridge: forwardLines(from, to, gone), bridges: bridges.add.map(([name]) => name) };
}

function neighbourLines(from: LinkState, to: LinkState, bridges: readonly [string, string][]): string[] {
  // Setting a bridge's MAC address, even to what it is, makes the kernel forget its neighbours.
  const forgotten = new Set(
    bridges.map(([name]) => name).filter((name) => from.bridges.get(name)?.mac !== to.bridges.get(name)!.mac),
  );
  const { add, remove } = difference(
    new Map([...from.neighbours].filter(([key]) => !forgotten.has(key.split(' ')[0]!))),
    to.neighbours,
  );
  const ip: string[] = [];
  for (const [key] of remove) {
    const [device = '', address = ''] = key.split(' ');
    if (!to.neighbours.has(key) && to.bridges.has(device)) ip.push(`neigh del ${address} dev ${device}`);
  }
  for (const [key, mac] of add) {
    const [device = '', address = ''] = key.split(' ');
    ip.push(`neigh replace ${address} lladdr ${mac} dev ${device} nud permanent`);
  }
  return ip;
}

/** `gone`: VXLAN ports that are removed or made anew, with all entries they had. */
function forwardLines(from: LinkState, to: LinkState, gone: ReadonlySet<string>): string[] {
  const bridge: string[] = [];
  for (const [key] of difference(from.forwards, to.forwards).remove) {
    const [vxlan = '', mac = ''] = key.split(' ');
    if (to.forwards.has(key) || gone.has(vxlan)) continue;
    bridge.push(`fdb del ${mac} dev ${vxlan} self`, `fdb del ${mac} dev ${vxlan} master`);
  }
  for (const [key, host] of to.forwards) {
    const [vxlan = '', mac = ''] = key.split(' ');
    if (from.forwards.get(key) === host && !gone.has(vxlan)) continue;
    bridge.push(
      `fdb replace ${mac} dev ${vxlan} dst ${host} self permanent`,
      // sticky: no frame from another port moves it
      `fdb replace ${mac} dev ${vxlan} master static sticky`,
    );
  }
  return bridge;
}

/** What a link needs for IPv6 (RFC 8200, section 5): the kernel has none of it on links with less. */
const ipv6MtuMin = 1_280;

/** No IPv6 address of its own: the network has none. */
function withoutOwnAddress(name: string, mtu: number): string[] {
  return mtu < ipv6MtuMin ? [] : [`link set ${name} addrgenmode none`];
}

/** Changes the MTU of a link that is in use. */
export function mtuLines(name: string, mtu: number): string[] {
  return [`link set ${name} mtu ${mtu}`, ...withoutOwnAddress(name, mtu)];
}

function withoutMtu(vxlans: ReadonlyMap<string, VxlanState>): Map<string, VxlanState> {
  return new Map([...vxlans].map(([name, state]) => [name, { ...state, mtu: 0 }]));
}

function asText(states: ReadonlyMap<string, BridgeState | VxlanState>): Map<string, string> {
  return new Map([...states].map(([name, state]) => [name, JSON.stringify(state)]));
}

function bridgeLines(name: string, state: BridgeState, before: BridgeState | undefined): string[] {
  const address = state.address.split('/')[0];
  // Bridge netfilter for this bridge alone: replies between tasks must pass the reverse translation.
  const create = `link add ${name} mtu ${state.mtu} address ${state.mac} type bridge nf_call_iptables 1 mcast_snooping 0 forward_delay 0`;
  const routes = (before?.virtualSubnet ?? '').split(',').filter((route) => route !== '');
  return [
    ...(before ? [`link set ${name} type bridge nf_call_iptables 1 mcast_snooping 0`] : [create]),
    ...(before && before.mtu !== state.mtu ? [`link set ${name} mtu ${state.mtu}`] : []),
    ...(before && before.mac !== state.mac ? [`link set ${name} address ${state.mac}`] : []),
    ...(before && before.address !== state.address ? [`addr flush dev ${name}`] : []),
    ...withoutOwnAddress(name, state.mtu),
    `addr replace ${state.address} brd + dev ${name}`,
    `link set ${name} up`,
    ...routes
      .filter((route) => route !== state.virtualSubnet && before?.address === state.address)
      .map((route) => `route del ${route} dev ${name}`),
    `route replace ${state.virtualSubnet} dev ${name} scope link src ${address}`,
  ];
}

/** Whether the kernel can turn one into the other: identifier and ends of a tunnel are those that it was made with. */
function isSameTunnel(left: VxlanState, right: VxlanState): boolean {
  return left.vni === right.vni && left.local === right.local && left.port === right.port;
}

function vxlanLines(name: string, state: VxlanState, isThere: boolean): string[] {
  const create = `link add ${name} mtu ${state.mtu} type vxlan id ${state.vni} local ${state.local} dstport ${state.port} nolearning`;
  return [
    isThere ? `link set ${name} type vxlan nolearning` : create,
    ...withoutOwnAddress(name, state.mtu),
    `link set ${name} master ${state.bridge}`,
    `link set ${name} type bridge_slave learning off flood off mcast_flood off bcast_flood off neigh_suppress on`,
    `link set ${name} up`,
  ];
}

/** Text for `nft -f` that takes the elements from `from` to `to`; '' when they are the same. */
export function elementCommands(from: Elements, to: Elements): string {
  const lines: string[] = [];
  for (const [name, wanted] of to) {
    const { add, remove } = difference(from.get(name) ?? new Map<string, string>(), wanted);
    for (const [key, value] of [...add, ...remove]) checkElement(key, value);
    if (remove.length > 0) {
      lines.push(`delete element ${tableOf(name)} ${name} { ${remove.map(([key]) => key).join(', ')} }`);
    }
    if (add.length > 0) {
      const elements = add.map(([key, value]) => (value === '' ? key : `${key} : ${value}`));
      lines.push(`add element ${tableOf(name)} ${name} { ${elements.join(', ')} }`);
    }
  }
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

/** Nothing in an element ends it, its set or its line. */
function checkElement(key: string, value: string): void {
  assert(/^[\w.:/" ]+$/u.test(key + value), `an element has to be one: ${JSON.stringify([key, value])}`);
}

/** Text for `nft -f` that replaces whatever elements these sets hold, in one transaction. */
export function reloadCommands(to: Elements): string {
  const flush = [...to.keys()].map((name) => `flush ${kindOf(name)} ${tableOf(name)} ${name}`);
  return `${flush.join('\n')}\n${elementCommands(new Map(), to)}`;
}

/**
 * Links are deleted by this group number, all at once: the kernel waits for its readers once for all of them, which
 * takes 18 ms for a single one. An arbitrary number that nobody else uses.
 */
const deletedGroup = 1_397_247_809;

/** The lines on the host's side that make a task's namespace and its interfaces. */
export function attachLines(namespace: string, interfaces: readonly TaskInterface[]): string[] {
  return [`netns add ${namespace}`, ...interfaceLines(namespace, interfaces)];
}

/** Those that make interfaces between the host and a namespace that is there. */
export function interfaceLines(namespace: string, interfaces: readonly TaskInterface[]): string[] {
  return interfaces.flatMap((each) => [
    `link add ${each.hostName} mtu ${each.mtu} master ${each.bridge} up type veth peer name ${each.taskName} netns ${namespace} address ${each.mac} mtu ${each.mtu}`,
    portLine(each.hostName),
  ]);
}

/**
 * A task that reaches itself through its virtual IP leaves by the port it came from. What is behind the port is known,
 * and not learned from whatever is sent there.
 */
function portLine(name: string): string {
  return `link set ${name} type bridge_slave hairpin on learning off`;
}

/** What puts ports of tasks right that are there: lines for `ip -batch`; `portEntryLines` follow. */
export function portRepairLines(interfaces: readonly TaskInterface[]): string[] {
  return interfaces.flatMap(({ hostName, bridge }) => [
    `link set ${hostName} master ${bridge} up`,
    portLine(hostName),
  ]);
}

/** The lines for `bridge -batch` that say which address is behind each port. */
export function portEntryLines(interfaces: readonly TaskInterface[]): string[] {
  return interfaces.map(({ mac, hostName }) => `fdb replace ${mac} dev ${hostName} master static sticky`);
}

/** The lines inside the namespace. */
export function insideLines(interfaces: readonly TaskInterface[]): string[] {
  return [
    'link set lo up',
    ...interfaces.flatMap((each) => [
      ...withoutOwnAddress(each.taskName, each.mtu),
      `addr add ${each.address} brd + dev ${each.taskName}`,
      `link set ${each.taskName} up`,
      `route add ${each.virtualSubnet} via ${each.gateway} dev ${each.taskName}`,
      ...(each.defaultRoute ? [`route add default via ${each.gateway} dev ${each.taskName}`] : []),
    ]),
  ];
}

/**
 * The lines that delete these links and then these namespaces. Links go by name, and not with their namespace, for a
 * namespace lives on as long as a process is in it.
 */
export function deleteLines(links: readonly string[], namespaces: readonly string[]): string[] {
  return [
    ...links.map((name) => `link set ${name} group ${deletedGroup}`),
    ...(links.length > 0 ? [`link del group ${deletedGroup}`] : []),
    ...namespaces.map((namespace) => `netns del ${namespace}`),
  ];
}
