import type { NodeRole } from './node.ts';
import type { ObjectMeta } from './object.ts';

/** The one object that describes the cluster itself; its id is `cluster`. */
export interface Cluster extends ObjectMeta {
  /** Random id of the cluster, in certificates too. */
  clusterId: string;
  certificateAuthority: { certificatePem: string; privateKeyPem: string };
  /** Secret halves of the join tokens. */
  joinSecrets: Record<NodeRole, string>;
  /** Networks are cut from here. */
  addressPool: string;
  /** Prefix length of each network. */
  subnetPrefix: number;
}
