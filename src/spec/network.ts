import type { Labels, ObjectMeta } from './object.ts';

/** What VXLAN over IPv4 adds to a frame (RFC 7348, section 5). */
export const vxlanOverheadBytes = 50;

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
  /** The part of the subnet in CIDR form that addresses are given out from; absent: the whole. */
  range?: string;
  /** Addresses of the subnet that are given to nothing. */
  reserved?: string[];
  /** Of the interfaces, as far as the hosts' own network carries it; absent: as large as that allows. */
  mtuBytes?: number;
}

/**
 * The upper half of what is given out from is for virtual IPs, all else for hosts' bridges and tasks; fixed addresses move
 * the virtual IPs elsewhere. Containers have a route of their own to these, so that a virtual IP always goes through their
 * host's bridge, where nftables translates it.
 */
export interface Network extends ObjectMeta {
  spec: NetworkSpec;
  /** Written by the allocator. VNIs count from 4096. */
  vni?: number;
  subnet?: string;
  /** Where the virtual IPs are, when that is not the upper half of the subnet. */
  virtualSubnet?: string;
  /** Of the interfaces: as much as every two hosts carry between them, or what is asked for when that is less. */
  mtuBytes?: number;
  /** Node id to the address of that node's bridge: gateway and DNS server of the tasks there. */
  bridgeAddresses: Record<string, string>;
  allocationError?: string;
  removing: boolean;
}
