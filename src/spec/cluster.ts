import type { NodeRole } from './node.ts';
import type { ObjectMeta } from './object.ts';

/** The one object that describes the cluster itself; its id is `cluster`. */
export interface Cluster extends ObjectMeta {
  /** Random id of the cluster, in certificates too. */
  clusterId: string;
  certificateAuthority: { certificatePem: string; privateKeyPem: string };
  /** etcd's own, never the cluster's: it lets in whoever its authority has signed. Absent until the store has first moved there. */
  storeAuthority?: { certificatePem: string; privateKeyPem: string };
  /** Secret halves of the join tokens. */
  joinSecrets: Record<NodeRole, string>;
  /** Networks are cut from here. */
  addressPool: string;
  /** Prefix length of each network. */
  subnetPrefix: number;
  defaults?: ClusterDefaults;
}

/** What is done in the whole cluster where a request does not say. */
export interface ClusterDefaults {
  /** Whether an apply that says nothing of it removes services that the application does not have any more. @default false */
  removeOrphans?: boolean;
}
