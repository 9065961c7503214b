import { isDeepStrictEqual } from 'node:util';
import { isTerminal, mayMove, type Task, type TaskStatus } from '../../src/spec/task.ts';
import type { Change, Plan, View } from '../store/objects.ts';

export interface StatusReport {
  nodeId: string;
  taskId: string;
  status: TaskStatus;
}

/** Changes in one group: larger groups make fewer transactions, smaller ones fewer repetitions after a conflict. */
const groupTasksMax = 50;

/**
 * Writes what agents reported. A report of a task that is not that node's, or of an illegal move, is left out: the
 * agent worked from what it knew, and the next assignment puts it right.
 */
export function planStatuses(view: View, reports: StatusReport[]): { plan: Plan; ignored: StatusReport[] } {
  const changed = new Map<string, Task>();
  const ignored: StatusReport[] = [];
  for (const report of reports) {
    const task = changed.get(report.taskId) ?? view.tasks.get(report.taskId);
    const next = task?.nodeId === report.nodeId ? nextStatus(task.status, report.status) : undefined;
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

function nextStatus(before: TaskStatus, reported: TaskStatus): TaskStatus | undefined {
  if (reported.state === before.state)
    return isTerminal(before.state) ? undefined : { ...before, ...reported };
  return mayMove(before.state, reported.state, 'agent') ? { ...before, ...reported } : undefined;
}
