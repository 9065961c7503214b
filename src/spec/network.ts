import type { Labels, ObjectMeta } from './object.ts';

export interface NetworkSpec {
  /** Full name, `APPLICATION_KEY`. */
  name: string;
  /** Absent: made by a command, and of no application. */
  application?: string;
  labels: Labels;
  /** No route out of the network. */
  internal: boolean;
  /** Asked-for subnet in CIDR form; absent: the allocator takes one from the cluster's pool. */
  subnet?: string;
}

/**
 * The lower half of the subnet is for hosts' bridges and tasks, the upper half for virtual IPs: containers see only the
 * lower half as on-link, so that a virtual IP is always routed through their host's bridge, where nftables translates it.
 */
export interface Network extends ObjectMeta {
  spec: NetworkSpec;
  /** Written by the allocator. VNIs count from 4096. */
  vni?: number;
  subnet?: string;
  /** Node id to the address of that node's bridge: gateway and DNS server of the tasks there. */
  bridgeAddresses: Record<string, string>;
  allocationError?: string;
  removing: boolean;
}
