import { nodeName } from '../../src/spec/node-name.ts';
import type { Node } from '../../src/spec/node.ts';
import type { Volume } from '../../src/spec/resource.ts';
import { isTerminal } from '../../src/spec/task.ts';
import { withDeadline } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { VolumeCopy } from '../../src/wire/api.ts';
import { readFrame } from '../../src/wire/check.ts';
import type { HostCopy } from '../../src/wire/session.ts';
import { Faults } from '../store/isolate.ts';
import type { View } from '../store/objects.ts';
import type { ApiContext } from './context.ts';
import { askHost } from './host-stream.ts';
import { namesIn } from './users.ts';

/** What hosts may take to look; one that takes longer is as one that is away. */
const answerMs = 15_000;
/** Copies that are taken from one host. */
const copiesMax = 10_000;

/** What a host has of each volume, or why it could not be asked. */
type Answer = { node: Node; copies: Map<string, HostCopy[]> } | { node: Node; unknown: string };

/**
 * What hosts have of the volumes, by volume id, in order of their names: of every host that is there, and of those that are away where
 * the volume may have a copy.
 */
export async function copiesOf(
  context: Pick<ApiContext, 'agents' | 'database' | 'clock'>,
  volumes: Volume[],
  signal: AbortSignal,
): Promise<Map<string, VolumeCopy[]>> {
  const { view } = context.database;
  const only = volumes.length === 1 ? volumes[0]!.spec.name : undefined;
  const nodes = [...view.nodes.values()].sort((left, right) => (nodeName(left) < nodeName(right) ? -1 : 1));
  const answers = await Promise.all(nodes.map((node) => answerOf(context, node, only, signal)));
  signal.throwIfAborted();
  const users = usersByNode(view);
  const now = context.clock.now();
  return new Map(
    volumes.map((volume) => [
      volume.id,
      answers.flatMap((answer) =>
        copyOn(volume, answer, users.get(answer.node.id)?.get(volume.spec.name), now),
      ),
    ]),
  );
}

async function answerOf(
  context: Pick<ApiContext, 'agents'>,
  node: Node,
  name: string | undefined,
  signal: AbortSignal,
): Promise<Answer> {
  if (node.status.state !== 'ready') return { node, unknown: `the node is ${node.status.state}` };
  const copies = new Map<string, HostCopy[]>();
  let count = 0;
  const request = { kind: 'list-volumes' as const, ...(name === undefined ? {} : { name }) };
  const work = (limit: AbortSignal) =>
    askHost(context, node.id, request, limit, ({ type, payload }) => {
      if (type !== 'volume' || ++count > copiesMax) return;
      const copy = readFrame('volume', payload);
      copies.set(copy.name, [...(copies.get(copy.name) ?? []), copy]);
    });
  try {
    await withDeadline(answerMs, `Looking at the volumes of ${nodeName(node)}`, work, signal);
    return { node, copies };
  } catch (error) {
    return { node, unknown: messageOf(error) };
  }
}

function copyOn(volume: Volume, answer: Answer, users: Set<string> | undefined, now: number): VolumeCopy[] {
  const { node } = answer;
  const { home, nodeIds = [] } = volume;
  const state = home === undefined ? 'own' : home.nodeId === node.id ? 'current' : users ? 'own' : 'stale';
  const usedBy = [...(users ?? [])].sort();
  const known = { nodeId: node.id, node: nodeName(node), state, usedBy } as const;
  if ('unknown' in answer) {
    const mayBe = nodeIds.includes(node.id) || home?.nodeId === node.id;
    return mayBe ? [{ ...known, unknown: answer.unknown }] : [];
  }
  return (answer.copies.get(volume.spec.name) ?? []).map(({ id = volume.id, bytes, unusedMs }) => {
    const of: VolumeCopy = id === volume.id ? known : { ...known, state: 'stale', usedBy: [] };
    return { ...of, lastUsedAt: now - unusedMs, ...(bytes === undefined ? {} : { bytes }) };
  });
}

/** By node and name of the volume: the services whose tasks have it there. */
function usersByNode(view: View): Map<string, Map<string, Set<string>>> {
  const users = new Map<string, Map<string, Set<string>>>();
  new Faults().forEach('task', view.tasks.values(), ({ nodeId, status, template, serviceName }) => {
    if (nodeId === undefined || isTerminal(status.state)) return;
    for (const name of namesIn('volume', template)) {
      const onNode = users.get(nodeId) ?? new Map<string, Set<string>>();
      users.set(nodeId, onNode.set(name, (onNode.get(name) ?? new Set<string>()).add(serviceName)));
    }
  });
  return users;
}
