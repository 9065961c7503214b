import { nodeSatisfies, parseConstraint } from '../spec/constraint.ts';
import { nodeName } from '../spec/node-name.ts';
import type { Node } from '../spec/node.ts';
import type { Service } from '../spec/service.ts';
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

/** A volume whose tasks would wait, and the node that it can move to; absent: no other node takes them now. */
export interface Stranded {
  volume: VolumeInfo;
  target?: string;
}

/** The volumes on the node that services use, each with a node for it. */
export async function strandedBy(
  client: Client,
  reference: string,
): Promise<{ name: string; stranded: Stranded[] }> {
  const { name, volumes } = await volumesOn(client, reference);
  const used = volumes.filter(({ usedBy }) => usedBy.length > 0);
  if (used.length === 0) return { name, stranded: [] };
  const [nodes, services] = await Promise.all([
    client.request<Node[]>('GET', '/nodes'),
    client.request<Service[]>('GET', '/services'),
  ]);
  const stranded = used.map((volume) => {
    const target = moveTarget(volume, nodes, services);
    return { volume, ...(target !== undefined && { target: nodeName(target) }) };
  });
  return { name, stranded };
}

/** The first node, by name, that takes tasks and on which every service that uses the volume may run. */
export function moveTarget(
  { home, usedBy }: Pick<VolumeInfo, 'home' | 'usedBy'>,
  nodes: readonly Node[],
  services: readonly Service[],
): Node | undefined {
  const constraints = services
    .filter(({ spec }) => usedBy.includes(spec.name))
    .flatMap(({ spec }) => spec.task.placement.constraints.map(parseConstraint));
  return nodes
    .filter(({ id, status, availability }) => {
      return id !== home?.nodeId && status.state === 'ready' && availability === 'active';
    })
    .filter((node) => constraints.every((constraint) => nodeSatisfies(node, constraint)))
    .toSorted((left, right) => nodeName(left).localeCompare(nodeName(right)))[0];
}
