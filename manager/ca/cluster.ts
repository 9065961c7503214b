import { defaultAddressPool, defaultSubnetPrefix } from '../../src/spec/defaults.ts';
import { formatSubnet, parseSubnet } from '../../src/spec/address.ts';
import type { Cluster } from '../../src/spec/cluster.ts';
import type { NodeRole } from '../../src/spec/node.ts';
import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Random } from '../../src/util/random.ts';
import type { JoinTokens } from '../../src/wire/api.ts';
import { caDigest, formatJoinToken } from '../../src/wire/certificates.ts';
import type { Database } from '../store/objects.ts';
import { createAuthority, createJoinSecret } from './authority.ts';

export interface ClusterSettings {
  /** @default 10.64.0.0/10 */
  addressPool?: string;
  /** Prefix length of each network. @default 20 */
  subnetPrefix?: number;
}

/** Makes the cluster object when there is none, and changes nothing otherwise. Throws `invalid_argument`. */
export async function initialiseCluster(
  database: Database,
  settings: ClusterSettings,
  options: { clock: Clock; random: Random },
): Promise<void> {
  if (database.view.cluster !== undefined) return;
  const pool = parseSubnet(settings.addressPool ?? defaultAddressPool);
  const subnetPrefix = settings.subnetPrefix ?? defaultSubnetPrefix;
  if (!Number.isInteger(subnetPrefix) || subnetPrefix < pool.prefix || subnetPrefix > 28) {
    throw new ShoalError(
      'invalid_argument',
      `Cannot cut networks of /${subnetPrefix} from ${formatSubnet(pool)}: it must be between ${pool.prefix} and 28`,
    );
  }
  const now = options.clock.now();
  const clusterId = options.random.id();
  const cluster: Cluster = {
    id: 'cluster',
    createdAt: now,
    updatedAt: now,
    revision: 0,
    clusterId,
    certificateAuthority: await createAuthority(clusterId, now),
    joinSecrets: { manager: createJoinSecret(), worker: createJoinSecret() },
    addressPool: formatSubnet(pool),
    subnetPrefix,
  };
  // A conflict means that somebody else made it, which is as good.
  await database.write([[{ kind: 'cluster', action: 'create', object: cluster }]]);
}

/** The cluster's join tokens, with the addresses (`HOST:PORT`) to join at. */
export function joinTokens(cluster: Cluster, addresses: string[]): JoinTokens {
  const digest = caDigest(cluster.certificateAuthority.certificatePem);
  const token = (role: NodeRole) => formatJoinToken({ caDigest: digest, secret: cluster.joinSecrets[role] });
  return { manager: token('manager'), worker: token('worker'), addresses };
}

/** The cluster with a fresh secret for the role: the old token no longer joins, and those who joined stay. */
export function rotateToken(cluster: Cluster, role: NodeRole): Cluster {
  return { ...cluster, joinSecrets: { ...cluster.joinSecrets, [role]: createJoinSecret() } };
}
