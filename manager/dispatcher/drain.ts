import { agentReturnMs } from '../../src/spec/defaults.ts';
import type { Task } from '../../src/spec/task.ts';

/**
 * An agent with a live session that does not confirm a removal holds a stop back no longer than this: by then it is
 * broken in a way that heartbeats do not show, and rollouts must not hang on it.
 */
export const drainMsMax = 10_000;

/** What is known of the endpoints that nodes' kernels may still send new connections to. */
export interface EndpointKnowledge {
  /** Whether a node with a session may still use the task as an endpoint. */
  mayBeUsed(taskId: string): boolean;
  /** Whether a node that counts as ready has no session: it may still balance to any task. */
  absent: boolean;
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
 * Which of the running tasks that are to stop may be told so. A node without a session counts until it is down, but no
 * longer than it takes to be found down. `now` is monotonic.
 */
export function planDrain(
  stopping: Iterable<Task>,
  knowledge: EndpointKnowledge,
  before: { drained: ReadonlySet<string>; waiting: Drains },
  now: number,
): DrainResult {
  const result: DrainResult = { drained: new Set(), waiting: new Map(), overdue: [], againInMs: undefined };
  for (const { id } of stopping) {
    if (before.drained.has(id)) {
      result.drained.add(id);
      continue;
    }
    const since = before.waiting.get(id) ?? now;
    const used = knowledge.mayBeUsed(id);
    const limitMs = used ? drainMsMax : knowledge.absent ? agentReturnMs : 0;
    const leftMs = since + limitMs - now;
    if (leftMs <= 0) {
      result.drained.add(id);
      if (used) result.overdue.push(id);
      continue;
    }
    result.waiting.set(id, since);
    result.againInMs = Math.min(result.againInMs ?? leftMs, leftMs);
  }
  return result;
}
