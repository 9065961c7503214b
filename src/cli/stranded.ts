import { nodeName } from '../spec/node-name.ts';
import type { Node } from '../spec/node.ts';
import type { VolumeInfo } from '../wire/api.ts';
import type { Client } from '../wire/client.ts';

/** The volumes that are on the node and nowhere else, in order of their names. */
export async function volumesOn(
  client: Client,
  reference: string,
): Promise<{ name: string; volumes: VolumeInfo[] }> {
  const node = await client.request<Node>('GET', `/nodes/${encodeURIComponent(reference)}`);
  const volumes = await client.request<VolumeInfo[]>('GET', '/volumes');
  return { name: nodeName(node), volumes: volumes.filter(({ home }) => home?.nodeId === node.id) };
}

/** `volume shop_data (used by shop_db)` */
export function volumeWithUsers({ spec, usedBy }: VolumeInfo): string {
  return `volume ${spec.name}${usedBy.length === 0 ? '' : ` (used by ${usedBy.join(', ')})`}`;
}
