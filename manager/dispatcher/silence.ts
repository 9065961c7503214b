import { agentReturnMs, nodeSilenceMs } from '../../src/spec/defaults.ts';
import type { Node } from '../../src/spec/node.ts';
import type { Change, Plan, View } from '../store/objects.ts';

/** What is known of each node by its session. All times in ms. */
export interface Hearing {
  lastHeard: ReadonlyMap<string, number>;
  /** When the connection of the agent was closed, where it is closed now. */
  closedAt: ReadonlyMap<string, number>;
  /** From when on silence counts: this manager's start, or its last long pause. */
  countsFrom: number;
}

/**
 * Marks the nodes down whose hosts have been silent for `nodeSilenceMs`, or whose agents have ended and not come back for
 * `agentReturnMs`. A node that never reported stays unknown.
 */
export function planSilence(view: View, hearing: Hearing, now: number): Plan {
  const plan: Plan = [];
  for (const node of view.nodes.values()) {
    if (node.status.state !== 'ready') continue;
    const absence = absenceOf(node.id, hearing);
    if (now - absence.since >= absence.limitMs) plan.push([markDown(node, absence.message, now)]);
  }
  return plan;
}

function absenceOf(nodeId: string, hearing: Hearing): { since: number; limitMs: number; message: string } {
  const { countsFrom } = hearing;
  const heard = hearing.lastHeard.get(nodeId);
  const closed = hearing.closedAt.get(nodeId);
  if (heard !== undefined && closed === undefined) {
    const message = `it has been silent for ${nodeSilenceMs / 1000} s`;
    return { since: Math.max(heard, countsFrom), limitMs: nodeSilenceMs, message };
  }
  const message = `its agent has not come back for ${agentReturnMs / 1000} s`;
  return { since: Math.max(closed ?? 0, countsFrom), limitMs: agentReturnMs, message };
}

function markDown(node: Node, message: string, now: number): Change {
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
