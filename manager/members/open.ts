import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { ClusterStore } from '../store/cluster-store.ts';
import { embeddedFile, openClusterStore, type OpeningParts } from '../store/opening.ts';
import { readPlace } from '../store/place.ts';
import type { MemberHost } from './host.ts';
import { joinStore, type JoinStoreOptions } from './join.ts';

export interface ManagerStoreOptions extends Omit<JoinStoreOptions, 'nodeId' | 'ask'> {
  openEmbedded: OpeningParts['openEmbedded'];
  host: MemberHost;
  /** How this manager gets a place among others; absent where there are none, such as at `init`. */
  joining?: { nodeId: string; ask: JoinStoreOptions['ask'] } | undefined;
}

/**
 * Opens the store of this manager: the one that its folder names, or else a place among the managers that it knows, for which it
 * waits. A manager whose member was removed or has lost its data asks for another place. Throws what `openClusterStore` and
 * `joinStore` do; an empty folder alone never makes a cluster.
 */
export async function openManagerStore(options: ManagerStoreOptions): Promise<ClusterStore> {
  const { folder, host, joining, openEmbedded, clock, log } = options;
  const open = () =>
    openClusterStore(folder, { clock, log, openEmbedded, openEtcd: (place) => host.open(place) });
  if (joining === undefined) return await open();
  const place = await readPlace(folder);
  if (place.backend === 'embedded') {
    if (!existsSync(join(folder, embeddedFile))) await joinStore({ ...options, ...joining });
    return await open();
  }
  try {
    return await open();
  } catch (error) {
    if (!isPlaceless(error)) throw error;
    log.warn('this manager needs another place in the store', { why: messageOf(error) });
    await host.stop();
    await joinStore({ ...options, ...joining });
    return await open();
  }
}

/** Whether the own member is gone for good. */
function isPlaceless(error: unknown): boolean {
  if (!(error instanceof ShoalError) || typeof error.details !== 'object' || error.details === null)
    return false;
  const { reason } = error.details as { reason?: unknown };
  return reason === 'lost' || reason === 'removed' || reason === 'damaged';
}
