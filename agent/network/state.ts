/** What the kernel should hold, as text by key, so that two states are compared entry by entry. Decides nothing about how. */
import type { SetName } from './rules.ts';

export interface BridgeState {
  /** With its prefix length. */
  address: string;
  mac: string;
  mtu: number;
  /** Routed through this bridge, where it is translated. Found in the kernel: all that are, with commas. */
  virtualSubnet: string;
  /** Settings that are not as they are to be: what is wanted has none. */
  wrong: string;
}

export interface VxlanState {
  bridge: string;
  vni: number;
  local: string;
  port: number;
  mtu: number;
  /** As of a bridge. */
  wrong: string;
}

/** Elements by set; a map's element has a value, a set's element has ''. */
export type Elements = Map<SetName, Map<string, string>>;

export interface LinkState {
  /** By interface name. */
  bridges: Map<string, BridgeState>;
  vxlans: Map<string, VxlanState>;
  /** `BRIDGE ADDRESS` to MAC address: what bridges answer ARP with. */
  neighbours: Map<string, string>;
  /** `VXLAN MAC` to the underlay address of the host that has it. */
  forwards: Map<string, string>;
  /** The host's ends of tasks' interfaces to `BRIDGE MAC`: where each is, and the one address behind it. */
  ports: Map<string, string>;
}

export function emptyLinks(): LinkState {
  return {
    bridges: new Map(),
    vxlans: new Map(),
    neighbours: new Map(),
    forwards: new Map(),
    ports: new Map(),
  };
}

/** What to add (also: what changed) and what to remove on the way from one map to another. */
export interface Difference {
  add: [string, string][];
  remove: [string, string][];
}

/** Compares entry by entry; a changed value is removed with its old value and added with its new one. */
export function difference(from: ReadonlyMap<string, string>, to: ReadonlyMap<string, string>): Difference {
  const add = [...to].filter(([key, value]) => from.get(key) !== value);
  const remove = [...from].filter(([key, value]) => to.get(key) !== value);
  return { add, remove };
}
