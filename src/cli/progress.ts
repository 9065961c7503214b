import { compareTaskStates, isTerminal } from '../spec/task.ts';
import { formatDuration, printable } from '../util/text.ts';
import type { ApplicationStatus, ServiceStatus, TaskInfo } from '../wire/api.ts';
import { progressOf } from './convergence.ts';
import { paint, type Output } from './output.ts';

const spinner = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/** The task that says most about what a service waits for: the current one that is furthest behind. */
function slowest(tasks: TaskInfo[]): TaskInfo | undefined {
  return tasks
    .filter((task) => !isTerminal(task.status.state) && task.status.state !== 'running')
    .sort((left, right) => compareTaskStates(left.status.state, right.status.state))[0];
}

/** Why the attempt of the same version before this one ended, which the new one's progress would hide; undefined when it did not fail. */
function lastFailure(current: TaskInfo, tasks: TaskInfo[]): string | undefined {
  const isSameSlot = (task: TaskInfo) =>
    task.slot > 0 ? task.slot === current.slot : task.nodeId === current.nodeId;
  const before = tasks
    .filter((task) => task.specVersion === current.specVersion && isSameSlot(task))
    .filter((task) => task.createdAt < current.createdAt)
    .reduce<TaskInfo | undefined>(
      (newest, task) => (newest !== undefined && newest.createdAt > task.createdAt ? newest : task),
      undefined,
    );
  if (before === undefined) return undefined;
  const { state, error, message } = before.status;
  return state === 'failed' || state === 'rejected' ? error?.message || message || state : undefined;
}

/** The manager's time, and how long the application has been followed (ms). */
export interface Times {
  now: number;
  elapsedMs: number;
}

/** What a service is doing now (the manager's, in ms), in a few words. */
export function describeService(status: ServiceStatus, now: number): string {
  const progress = progressOf(status, now);
  if (progress.state === 'failed') return progress.reason;
  if (status.service.removing) return 'removing';
  if (status.service.stopped === true) return status.converged ? 'stopped' : 'stopping';
  const update = status.service.updateStatus;
  if (update && (update.state === 'updating' || update.state === 'rollback_started'))
    return update.message || update.state;
  const task = slowest(status.tasks);
  if (task) {
    const doing = task.status.message || task.status.state;
    const before = lastFailure(task, status.tasks);
    return before === undefined ? doing : `${doing} (the attempt before: ${before})`;
  }
  return progress.state === 'converged' ? 'running' : 'starting';
}

function shorten(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

/** One line a service, no wider than `columns`, for a live display. `frame` turns the spinner. */
export function renderProgress(
  status: ApplicationStatus,
  options: Times & { columns: number; frame: number; colour: boolean },
): string[] {
  const { now, elapsedMs, columns, frame } = options;
  const nameWidth = Math.max(0, ...status.services.map(({ service }) => service.spec.name.length));
  return status.services.map((each) => {
    const progress = progressOf(each, now);
    const mark =
      progress.state === 'converged'
        ? paint(options, 'green', '✔')
        : progress.state === 'failed'
          ? paint(options, 'red', '✘')
          : paint(options, 'cyan', spinner[frame % spinner.length]!);
    const counts = `${each.running}/${each.desired}`.padStart(7);
    const since = formatDuration(elapsedMs).padStart(5);
    const room = columns - nameWidth - 20;
    return ` ${mark} ${printable(each.service.spec.name).padEnd(nameWidth)} ${counts}${since}  ${shorten(printable(describeService(each, now)), room)}`;
  });
}

/** Shows how an application comes up: redrawn in place on a terminal, a line for every change elsewhere. */
export class ProgressDisplay {
  readonly #output: Output;
  readonly #shown = new Map<string, string>();
  #drawn = 0;
  #frame = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  update(status: ApplicationStatus, times: Times): void {
    if (this.#output.columns > 0) this.#redraw(status, times);
    else this.#printChanges(status, times.now);
  }

  #redraw(status: ApplicationStatus, times: Times): void {
    const { columns, colour } = this.#output;
    const lines = renderProgress(status, {
      ...times,
      columns,
      colour,
      frame: this.#frame++,
    });
    const up = this.#drawn > 0 ? `\u001b[${this.#drawn}A` : '';
    this.#output.write('stderr', `${up}${lines.map((line) => `\u001b[2K${line}\n`).join('')}\u001b[0J`);
    this.#drawn = lines.length;
  }

  #printChanges(status: ApplicationStatus, now: number): void {
    for (const each of status.services) {
      const { name } = each.service.spec;
      const counts = `${name} ${each.running}/${each.desired}`;
      const doing = printable(describeService(each, now));
      // A pull's numbers would be a line each: on plain output only the words count.
      const key = `${counts} ${doing.replaceAll(/\d+(\.\d+)?/g, '#')}`;
      if (this.#shown.get(name) === key) continue;
      this.#shown.set(name, key);
      this.#output.note(`${counts} ${doing}`);
    }
  }
}
