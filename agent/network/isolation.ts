/**
 * What a task may ask of its own host and of the managers, as parts of the packet filter. Of an internal network: names, and
 * nothing else. Of any other: names, and what programs of the host offer to everybody (`host-gateway`), but neither the managers'
 * port, on whichever host and address, nor the overlay's own. Published ports are translated before any of this.
 */
import { connectionRate } from '../../src/wire/session.ts';

/** A task asks its host for no more names a second than this; more is dropped in the kernel, before anything is woken. */
export const questionsPerSecondMax = 1_000;

export interface IsolationPorts {
  /** Where managers listen, on any address. */
  managerPorts: readonly number[];
  vxlanPort: number;
}

/** Chains; `input` jumps to `from_tasks` with what comes from a bridge, `forward` to `out_of_overlay` with what leaves by no bridge. */
export function isolation({ managerPorts, vxlanPort }: IsolationPorts): string {
  const managers = [...new Set(managerPorts)].toSorted((left, right) => left - right).join(', ');
  return `
  set dns_rates { type ipv4_addr; flags dynamic,timeout; timeout 10s; size 65535; }
  chain dns_rate {
    type filter hook prerouting priority raw; policy accept;
    iifname "shb*" meta l4proto { tcp, udp } th dport 53 update @dns_rates { ip saddr limit rate over ${questionsPerSecondMax}/second burst ${questionsPerSecondMax} packets } drop
  }
${managerRate(managers)}  chain from_tasks {
    # answers to the host itself
    ct direction reply accept
    # questions for names, which the redirect brought to the server of the task's own network
    meta l4proto { tcp, udp } ct status dnat ct original proto-dst 53 fib daddr . iif type local accept
    iifname @internal goto refuse
    udp dport ${vxlanPort} goto refuse
    tcp dport { ${managers} } goto refuse
    # the bridges of other networks
    ip daddr @bridge_addresses fib daddr . iif type != local goto refuse
  }
  chain out_of_overlay {
    udp dport ${vxlanPort} goto refuse
    tcp dport { ${managers} } goto refuse
  }
`;
}

/**
 * New connections from one address, limited before they take a place in the kernel's queue for a manager; one that is dropped
 * is tried again after 1 s. `ports` as nftables has lists. Parts of a table.
 */
export function managerRate(ports: string): string {
  const { perSecond, burst } = connectionRate;
  return `
  set manager_rates { type ipv4_addr; flags dynamic,timeout; timeout 1m; size 65535; }
  chain manager_rate {
    type filter hook prerouting priority raw; policy accept;
    tcp dport { ${ports} } tcp flags & (syn | ack) == syn update @manager_rates { ip saddr limit rate over ${perSecond}/second burst ${burst} packets } drop
  }
`;
}
