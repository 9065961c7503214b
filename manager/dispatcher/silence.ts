import { nodeSilenceMs } from '../../src/spec/defaults.ts';
import type { Node } from '../../src/spec/node.ts';
import type { Change, Plan, View } from '../store/objects.ts';

/** When each node was last heard, and from when on silence counts: this manager's start, or its last long pause. */
export interface Hearing {
  lastHeard: ReadonlyMap<string, number>;
  countsFrom: number;
}

/** Marks the nodes down whose agents have been silent for `nodeSilenceMs`. A node that never reported stays unknown. */
export function planSilence(view: View, hearing: Hearing, now: number): Plan {
  const plan: Plan = [];
  for (const node of view.nodes.values()) {
    if (node.status.state !== 'ready') continue;
    const heard = Math.max(hearing.lastHeard.get(node.id) ?? 0, hearing.countsFrom);
    if (now - heard < nodeSilenceMs) continue;
    plan.push([markDown(node, now)]);
  }
  return plan;
}

function markDown(node: Node, now: number): Change {
  const message = `its agent has been silent for ${nodeSilenceMs / 1000} s`;
  const object: Node = { ...node, status: { state: 'down', since: now, message } };
  return { kind: 'node', action: 'update', object };
}

/**
 * From when on silence counts, after a check that comes `lateMs` after the one before: a manager that was itself
 * stopped or starved has not listened in the meantime, and must not blame the nodes for it.
 */
export function countsFromAfter(countsFrom: number, sinceLastCheckMs: number, now: number): number {
  return sinceLastCheckMs > nodeSilenceMs / 2 ? now : countsFrom;
}
