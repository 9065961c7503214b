/**
 * The fixed part of the packet filter: chains and rules that never change while the daemon runs. All that changes is
 * elements of the sets and maps declared here, so that a change costs what changes, whatever the number of services.
 *
 * Two tables, both named `shoal`: `inet` for everything, and `bridge` for the one rewrite that must happen on frames.
 */
import { createHash } from 'node:crypto';
import { isolation, type IsolationPorts } from './isolation.ts';

/** Services with up to this many endpoints are balanced exactly evenly; each count has a chain of its own. */
export const exactSizeMax = 64;
/** Above it slots are at least four times the endpoints, so that no endpoint gets more than a quarter above its share. */
export const roundedSizes = [512, 1024, 2048, 4096] as const;
/** Endpoints beyond this one are left out of a balanced address; no service that large has been seen. */
export const endpointsMax = 1024;
/**
 * A connection of which one side has said that it sends no more is remembered for so long without a packet: longer than the
 * two hours after which TCP keeps alive what asks for it (tcp(7)). The kernel's own 60 s and 120 s cut off slow answers,
 * which hosts without a translation in between wait for.
 */
export const halfClosedSeconds = 7_500;

/** The end of the pair of `path-probe.ts` that stands for a bridge. */
export const probeLink = 'shbprobe';
/** What comes with less has been passed on once already. */
export const probeTtl = 9;
/** Of a range for measuring (RFC 2544): none of them is anybody's. */
export const probeAddress = {
  /** Of the end that stands for a bridge: where questions to the DNS server arrive. */
  own: '198.18.255.1',
  /** What is sent to: from a container to the outside, from there to a published port, and to the DNS server. */
  outward: '198.18.255.2',
  published: '198.18.255.3',
  dns: '198.18.255.4',
  /** The task behind the published port. */
  task: '198.18.255.5',
  /** Where it seems to come from. */
  container: '198.18.255.6',
  outside: '198.18.255.7',
} as const;

/**
 * How many slots `endpoints` take: their own number, or a power of two of at least four times as many.
 */
export function sizeClass(endpoints: number): number {
  if (endpoints <= exactSizeMax) return endpoints;
  return roundedSizes.find((size) => size >= endpoints * 4) ?? roundedSizes[roundedSizes.length - 1]!;
}

/** Sets and maps whose elements come from the manager's assignments. */
export const assignmentSets = [
  'bridge_pairs',
  'overlay',
  'virtual',
  'internal',
  'bridge_addresses',
  'vnis',
  'hosts',
  'peer_marks',
  'marks',
  'live',
  'service_size',
  'service_slots',
  'port_size',
  'port_slots',
  'address_port_size',
  'address_port_slots',
] as const;
/** Sets and maps whose elements come from the tasks attached here and the DNS servers that run. */
export const localSets = ['local', 'hairpin', 'host_ports', 'address_host_ports', 'dns', 'sources'] as const;
/** Maps of the `bridge` table whose elements come from the assignments. */
export const bridgeSets = ['peer_macs'] as const;

export type SetName = (typeof assignmentSets | typeof localSets | typeof bridgeSets)[number];
export const setNames: readonly SetName[] = [...assignmentSets, ...localSets, ...bridgeSets];

const declarations = `
  # bridge . bridge, one of each network: traffic within a network
  set bridge_pairs { type ifname . ifname; }
  set overlay { type ipv4_addr; flags interval; }
  # where networks have their virtual IPs
  set virtual { type ipv4_addr; flags interval; }
  set internal { type ifname; }
  set bridge_addresses { type ipv4_addr; }
  set vnis { typeof @th,96,24; }
  set hosts { type ipv4_addr; }
  # a peer's bridge: its MAC address to its IP address as a number
  map peer_marks { type ether_addr : mark; }
  set marks { type mark; }
  # addresses that answer: of tasks elsewhere and of tasks here
  set live { type ipv4_addr; }
  set local { type ipv4_addr; }
  set hairpin { type ipv4_addr . ipv4_addr; }
  map service_size { type ipv4_addr : verdict; }
  map service_slots { typeof ip daddr . numgen random mod 4 : ip daddr; }
  map port_size { type inet_proto . inet_service : verdict; }
  map port_slots { typeof meta l4proto . th dport . numgen random mod 4 : ip daddr . th dport; }
  map host_ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
  # the same for ports that are open on one address of the hosts only
  map address_port_size { type ipv4_addr . inet_proto . inet_service : verdict; }
  map address_port_slots { typeof ip daddr . meta l4proto . th dport . numgen random mod 4 : ip daddr . th dport; }
  map address_host_ports { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
  # a bridge's address to the port its DNS server listens on
  map dns { type ipv4_addr : inet_service; }
`;

const halfClosed = `
  ct timeout half_closed {
    protocol tcp
    l3proto ip
    policy = { fin_wait : ${halfClosedSeconds}, close_wait : ${halfClosedSeconds} }
  }
  chain remember {
    # the last moment: what is known to the kernel already keeps the times it has
    type filter hook postrouting priority srcnat + 10; policy accept;
    oifname "shb*" meta l4proto tcp ct timeout set "half_closed"
    oifname != "shb*" ip saddr @overlay meta l4proto tcp ct timeout set "half_closed"
  }
`;

const flow = 'ip saddr . ip daddr . meta l4proto . @th,0,32';

/**
 * A flow whose translation points to a task that is gone would go nowhere until the kernel forgets it, and a client
 * that keeps sending keeps it alive. Such a flow is moved to the next conntrack zone, where it is unknown and so
 * balanced anew. This needs no tool to delete entries, and covers UDP as well as a reused TCP port.
 */
const zones = [1, 2, 3, 4, 5, 6, 7, 8] as const;
const renewed = `
  map renewed { typeof ${flow} : ct zone; flags dynamic,timeout; timeout 1d; size 65535; }
  chain renew {
    ${[0, ...zones].map((zone) => `ct original zone ${zone} update @renewed { ${flow} : ${(zone % zones.length) + 1} } return`).join('\n    ')}
  }
  chain refresh {
    ${zones.map((zone) => `ct original zone ${zone} update @renewed { ${flow} : ${zone} } return`).join('\n    ')}
  }
  chain stale {
    # this packet is lost: a connected UDP client is told at once and sends again, as SCTP does, a TCP client repeats its SYN
    meta l4proto { udp, sctp } jump renew
    meta l4proto { udp, sctp } reject with icmp port-unreachable
    tcp flags syn / fin,syn,rst,ack jump renew
    tcp flags syn / fin,syn,rst,ack drop
    meta l4proto tcp reject with tcp reset
    drop
  }
  chain check_flow {
    ct original zone != 0 jump refresh
    ct direction original ct status dnat ct reply ip saddr @overlay ct reply ip saddr != @live ct reply ip saddr != @local ct reply ip saddr != @bridge_addresses jump stale
  }
  chain zone_prerouting {
    type filter hook prerouting priority raw; policy accept;
    # route_localnet is on for bridges, so that 127.0.0.1 reaches published ports; containers must not reach the host's loopback by it
    iifname "shb*" ip daddr 127.0.0.0/8 drop
    iifname { "${probeLink}", "shoal-probe" } ip ttl != ${probeTtl} drop
    meta l4proto { tcp, udp, sctp } ct original zone set ${flow} map @renewed
  }
  # the packets of \`path-probe.ts\` are unknown to connection tracking when they come back, as those of others are
  chain probe_output {
    notrack
    ip daddr { ${probeAddress.outward}, ${probeAddress.dns} } ip saddr set ${probeAddress.container}
    ip daddr ${probeAddress.published} ip saddr set ${probeAddress.outside}
  }
  chain zone_output {
    type filter hook output priority raw; policy accept;
    ip daddr 198.18.255.0/28 goto probe_output
    meta l4proto { tcp, udp, sctp } ct original zone set ${flow} map @renewed
  }
  chain flow_prerouting {
    type filter hook prerouting priority mangle; policy accept;
    ct state established jump check_flow
    # a connection that another host passed on without touching its source: the reply must go back by that host's bridge
    iifname "shb*" ct state new ip saddr != @overlay ct mark set ether saddr map @peer_marks
    iifname "shb*" ct direction reply ct mark @marks ip daddr != @overlay meta mark set ct mark
  }
  chain flow_output {
    type filter hook output priority mangle; policy accept;
    ct state established jump check_flow
  }
`;

const sizes = [...Array.from({ length: exactSizeMax }, (_, index) => index + 1), ...roundedSizes];

const balance = `
  ${sizes
    .map(
      (size) => `chain service_${size} {
    dnat ip to ip daddr . numgen random mod ${size} map @service_slots
  }
  chain port_${size} {
    dnat ip to meta l4proto . th dport . numgen random mod ${size} map @port_slots
  }
  chain address_port_${size} {
    dnat ip to ip daddr . meta l4proto . th dport . numgen random mod ${size} map @address_port_slots
  }`,
    )
    .join('\n  ')}
  chain ports {
    ip daddr . meta l4proto . th dport vmap @address_port_size
    dnat ip to ip daddr . meta l4proto . th dport map @address_host_ports
    meta l4proto . th dport vmap @port_size
    dnat ip to meta l4proto . th dport map @host_ports
  }
  chain services {
    ip daddr vmap @service_size
    # what is published is for the world, of which an internal network is no part
    iifname @internal return
    meta l4proto { tcp, udp, sctp } fib daddr type local jump ports
  }
  chain translate_prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "shoal-probe" ip daddr ${probeAddress.published} dnat ip to ${probeAddress.task}
    iifname "${probeLink}" ip daddr ${probeAddress.dns} redirect
    iifname "shb*" meta l4proto { tcp, udp } th dport 53 redirect to :ip daddr map @dns
    # only programs of the host reach what is open on its loopback: for others the kernel has no way there, and a translation would be one
    ip daddr 127.0.0.0/8 return
    jump services
  }
  chain translate_output {
    type nat hook output priority -100; policy accept;
    jump services
  }
  chain into_overlay {
    # the host itself: replies must come back to this host, whichever has the endpoint
    ct status dnat fib saddr type local masquerade
    # a container by a published port: the endpoint may know a shorter way back, which would miss the translation
    ct status dnat ip saddr @overlay ct original ip daddr != @virtual masquerade
    # tasks of an internal network have no route to an outside client
    oifname @internal ip saddr != @overlay masquerade
  }
  chain translate_postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    # a task that reaches itself by its own virtual IP
    ip saddr . ip daddr @hairpin masquerade
    oifname "shb*" jump into_overlay
    oifname != "shb*" ip saddr @overlay masquerade
  }
`;

const filters = `
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmp port-unreachable
  }
  # a virtual IP that was not translated has no endpoint: say so at once
  chain refuse_prerouting {
    type filter hook prerouting priority -90; policy accept;
    ip daddr @virtual goto refuse
  }
  chain output {
    type filter hook output priority filter; policy accept;
    ip daddr @virtual goto refuse
    # a virtual IP leaves by the bridge it came from; that is the way, and needs no correction
    oifname "shb*" icmp type redirect drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    ip daddr @bridge_addresses iifname != "shb*" iifname != "lo" drop
    udp dport VXLAN_PORT @th,96,24 @vnis ip saddr != @hosts drop
    iifname "shb*" jump from_tasks
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname . oifname @bridge_pairs accept
    iifname != "shb*" oifname != "shb*" accept
    # it would leave with this host's address, which managers and other hosts trust
    iifname "shb*" oifname != "shb*" jump out_of_overlay
    tcp flags syn tcp option maxseg size set rt mtu
    ct state established,related accept
    iifname "shb*" ct original ip daddr @virtual reject with icmp admin-prohibited
    ct status dnat oifname "shb*" accept
    iifname "shb*" oifname "shb*" reject with icmp admin-prohibited
    oifname "shb*" drop
    iifname @internal reject with icmp admin-prohibited
  }
`;

const bridgeTable = `table bridge shoal {
  map peer_macs { type mark : ether_addr; }
  # a task's interface on the host, and the only addresses that may send there
  set sources { type ifname . ether_addr . ipv4_addr; }
  chain guard {
    # before bridge netfilter and before the bridge looks at the sender
    type filter hook prerouting priority -300; policy accept;
    iifname "shv*" jump from_task
  }
  chain from_task {
    ether type ip iifname . ether saddr . ip saddr @sources accept
    ether type arp arp htype 1 arp ptype ip arp hlen 6 arp plen 4 iifname . ether saddr . arp saddr ip @sources iifname . arp saddr ether . arp saddr ip @sources accept
    drop
  }
  chain prerouting {
    # after bridge netfilter (priority 0), which has set the mark: the frame goes to the other host's bridge instead of ours
    type filter hook prerouting priority 10; policy accept;
    ether daddr set meta mark map @peer_macs meta mark set 0
  }
}
`;

/** The whole rule set with empty sets, as text for `nft -f`, and the mark by which a running one is known to be the same. */
export function ruleset(ports: IsolationPorts): { text: string; version: string } {
  const body = [declarations, halfClosed, renewed, balance, isolation(ports), filters]
    .join('')
    .replaceAll('VXLAN_PORT', String(ports.vxlanPort));
  const version = createHash('sha256').update(body).update(bridgeTable).digest('hex').slice(0, 12);
  // Adding before deleting makes deleting safe when there is none; nft applies the whole text in one transaction.
  const text = `table inet shoal
delete table inet shoal
table bridge shoal
delete table bridge shoal
table inet shoal {
  chain version_${version} {
  }
${body}}
${bridgeTable}`;
  return { text, version };
}

/** The table a set lives in, as `nft` names it. */
export function tableOf(set: SetName): string {
  return inBridgeTable.has(set) ? 'bridge shoal' : 'inet shoal';
}

const inBridgeTable = new Set([...bridgeTable.matchAll(/^ *(?:map|set) (\w+) /gm)].map(([, name]) => name));

const maps = new Set(
  [...`${declarations}${bridgeTable}`.matchAll(/^ *map (\w+) /gm)].map(([, name]) => name),
);

/** `set` or `map`: `nft` wants to be told when it empties one. */
export function kindOf(set: SetName): 'set' | 'map' {
  return maps.has(set) ? 'map' : 'set';
}
