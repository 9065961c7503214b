import { agentReturnMs } from '../../src/spec/defaults.ts';
import type { Task } from '../../src/spec/task.ts';
import type { View } from '../store/objects.ts';
import { needsDrain } from './assignments.ts';

/**
 * An agent with a live session that does not confirm a removal holds a stop back no longer than this: by then it is
 * broken in a way that heartbeats do not show, and rollouts must not hang on it.
 */
export const drainMsMax = 10_000;

/** What is known of the endpoints that one node's kernel may still send new connections to. */
export interface EndpointKnowledge {
  /** Whether the node may still use the task as an endpoint. */
  mayUse(taskId: string): boolean;
}

/** A task's stop that waits for endpoints to be removed, since when (ms). */
export type Drains = ReadonlyMap<string, number>;

export interface DrainResult {
  /** Tasks that may be told to stop. */
  drained: Set<string>;
  /** Tasks that still wait, and since when. */
  waiting: Map<string, number>;
  /** Tasks let go because an agent did not confirm in time. */
  overdue: string[];
  /** When to look again, in ms from now, if nothing happens before. */
  againInMs: number | undefined;
}

/**
 * Which tasks may be told to stop. `sessions` has the nodes with a live session; a node without one may still balance
 * to the task, and counts until it is down, but no longer than it takes to be found down.
 */
export function planDrain(
  view: View,
  sessions: ReadonlyMap<string, EndpointKnowledge>,
  before: { drained: ReadonlySet<string>; waiting: Drains },
  now: number,
): DrainResult {
  const result: DrainResult = { drained: new Set(), waiting: new Map(), overdue: [], againInMs: undefined };
  const absent = [...view.nodes.values()].some(
    (node) => node.status.state === 'ready' && !sessions.has(node.id),
  );
  for (const task of view.tasks.values()) {
    if (!isStopping(task) || !needsDrain(task)) continue;
    if (before.drained.has(task.id)) {
      result.drained.add(task.id);
      continue;
    }
    const since = before.waiting.get(task.id) ?? now;
    const used = [...sessions.values()].some((session) => session.mayUse(task.id));
    const limitMs = used ? drainMsMax : absent ? agentReturnMs : 0;
    const leftMs = since + limitMs - now;
    if (leftMs <= 0) {
      result.drained.add(task.id);
      if (used) result.overdue.push(task.id);
      continue;
    }
    result.waiting.set(task.id, since);
    result.againInMs = Math.min(result.againInMs ?? leftMs, leftMs);
  }
  return result;
}

function isStopping(task: Task): boolean {
  return task.desiredState === 'shutdown' || task.desiredState === 'remove';
}
