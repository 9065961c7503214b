import { isDeepStrictEqual } from 'node:util';
import { anchorEndedWith, isTerminal, mayMove, type Task, type TaskStatus } from '../../src/spec/task.ts';
import type { Change, Plan, View } from '../store/objects.ts';

export interface StatusReport {
  nodeId: string;
  taskId: string;
  status: TaskStatus;
}

/** Changes in one group: larger groups make fewer transactions, smaller ones fewer repetitions after a conflict. */
const groupTasksMax = 50;

/**
 * Writes what agents reported, stamped with the manager's own time (`now`, ms). A report of a task that is not that node's, or of an illegal move, is left out: the
 * agent worked from what it knew, and the next assignment puts it right.
 */
export function planStatuses(
  view: View,
  reports: StatusReport[],
  now: number,
): { plan: Plan; ignored: StatusReport[] } {
  const changed = new Map<string, Task>();
  const ignored: StatusReport[] = [];
  for (const report of reports) {
    const task = changed.get(report.taskId) ?? view.tasks.get(report.taskId);
    const next = task?.nodeId === report.nodeId ? receivedStatus(task, report.status, now) : undefined;
    if (task === undefined || next === undefined) ignored.push(report);
    else if (!isDeepStrictEqual(task.status, next)) changed.set(task.id, { ...task, status: next });
  }
  const changes = [...changed.values()].map((object): Change => ({ kind: 'task', action: 'update', object }));
  const plan: Plan = [];
  for (let start = 0; start < changes.length; start += groupTasksMax) {
    plan.push(changes.slice(start, start + groupTasksMax));
  }
  return { plan, ignored };
}

/**
 * The task's status after its agent reported another; undefined when that move is illegal. The agent's time stamps are
 * never compared with the manager's: states are stamped as they are heard of, and only how long the task ran, which the
 * agent alone has measured, is taken from it.
 */
export function receivedStatus(task: Task, told: TaskStatus, now: number): TaskStatus | undefined {
  const reported = believed(task, told);
  const before = task.status;
  const startedAt = reported.restarts === before.restarts ? before.startedAt : undefined;
  if (reported.state === before.state) {
    if (isTerminal(before.state)) return undefined;
    return stamped({ ...before, ...reported, at: before.at }, startedAt ?? now);
  }
  if (!mayMove(before.state, reported.state, 'agent')) return undefined;
  const existsMs = Math.max(0, now - task.createdAt);
  const ranMs = Math.max(0, reported.at - (reported.startedAt ?? reported.at));
  return stamped({ ...before, ...reported, at: now }, startedAt ?? now - Math.min(ranMs, existsMs));
}

/** What is told, without an anchor that cannot have been the reason: only a task that ended has ended with its anchor. */
function believed({ anchors }: Task, told: TaskStatus): TaskStatus {
  if (told.endedWith === undefined || anchorEndedWith({ status: told, anchors }) !== undefined) return told;
  const { endedWith: _unfounded, ...others } = told;
  return others;
}

/** A task that has never run, by its agent's word, has not started at all. */
function stamped(status: TaskStatus, startedAt: number): TaskStatus {
  return status.startedAt === undefined ? status : { ...status, startedAt };
}
