import type { Task } from '../../src/spec/task.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { LogLine } from '../../src/wire/session.ts';
import type { FollowRequest } from '../logs/follower.ts';
import { hasLogs, printedLines } from '../logs/lines.ts';
import type { ApiContext } from './context.ts';
import { writeLine } from './http.ts';
import { followLogs } from './log-follow.ts';
import { streamed, type Call, type Route } from './router.ts';
import { newestFirst } from './tasks.ts';

/** Tasks whose logs are merged in one answer; of more, the oldest are left out and a line says so. */
const sourcesMax = 200;

export function logRoutes(context: ApiContext): Route[] {
  return [
    {
      method: 'GET',
      pattern: '/logs',
      access: 'viewer',
      handle: (call) => context.logStreams.run(() => logs(context, call)),
    },
  ];
}

interface Selection {
  application: string | undefined;
  services: Set<string>;
  tasks: Set<string>;
}

async function logs(context: ApiContext, call: Call): Promise<typeof streamed> {
  const { query } = call;
  const selection: Selection = {
    application: query.get('application') ?? undefined,
    services: new Set(query.getAll('service')),
    tasks: new Set(query.getAll('task')),
  };
  if (selection.application === undefined && selection.tasks.size === 0) {
    throw new ShoalError('invalid_argument', 'Cannot show logs: neither an application nor a task is named');
  }
  const request: FollowRequest = {
    tail: numberOf(query, 'tail'),
    since: numberOf(query, 'since'),
    ageMs: numberOf(query, 'age'),
  };
  const tasks = selectTasks(context, selection);
  const select = () => selectLater(context, selection);
  if (query.get('follow') === 'true')
    await followLogs(context, call, { request, tasksMax: sourcesMax, select });
  else await printLogs(context, call, tasks, request);
  return streamed;
}

function numberOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new ShoalError('invalid_argument', `Cannot read ${name}=${text}: it must be a whole number`);
}

/** The tasks meant, newest first. Throws `not_found` when the application or service does not exist. */
function selectTasks(context: ApiContext, selection: Selection): Task[] {
  const { view } = context.database;
  const { application, services, tasks } = selection;
  const known = [...view.services.values()].filter(({ spec }) => spec.application === application);
  if (application !== undefined && known.length === 0) {
    throw new ShoalError('not_found', `Cannot find an application called ${JSON.stringify(application)}`, {
      next: 'See `shoal ls` for the applications there are.',
    });
  }
  for (const key of services) {
    if (known.some(({ spec }) => spec.key === key || spec.name === key)) continue;
    throw new ShoalError(
      'not_found',
      `Cannot find a service called ${JSON.stringify(key)} in ${application}`,
    );
  }
  const chosen = known.filter(
    ({ spec }) => services.size === 0 || services.has(spec.key) || services.has(spec.name),
  );
  const found =
    application === undefined
      ? [...tasks].map((id) => view.tasks.get(id)).filter((task) => task !== undefined)
      : chosen.flatMap(({ id }) => [...view.tasksOfService(id)]);
  return found
    .filter((task) => tasks.size === 0 || tasks.has(task.id))
    .filter(hasLogs)
    .sort(newestFirst);
}

/** All there is, merged by time: one line of each task is held at a time. */
async function printLogs(
  context: ApiContext,
  call: Call,
  tasks: Task[],
  request: FollowRequest,
): Promise<void> {
  const { response, signal } = call;
  if (tasks.length > sourcesMax) await writeLine(response, leftOut(tasks[0]!, tasks.length), signal);
  const query = { ...request, follow: false };
  const sources = tasks.slice(0, sourcesMax).map((task) => printedLines(context, task, query, signal));
  try {
    const firsts = await Promise.all(sources.map((source) => source.next()));
    const heads = firsts.map((first, index) => ({ source: sources[index]!, line: lineOf(first) }));
    for (;;) {
      const open = heads.filter(({ line }) => line !== undefined);
      if (open.length === 0) return;
      const earliest = open.reduce((left, right) => (right.line!.at < left.line!.at ? right : left));
      await writeLine(response, JSON.stringify(earliest.line), signal);
      earliest.line = lineOf(await earliest.source.next());
    }
  } finally {
    await Promise.allSettled(sources.map((source) => source.return(undefined)));
  }
}

function lineOf(result: IteratorResult<LogLine, unknown>): LogLine | undefined {
  return result.done === true ? undefined : result.value;
}

function leftOut(task: Task, count: number): string {
  const text = `showing the newest ${sourcesMax} of ${count} tasks`;
  const line: LogLine = { taskId: task.id, at: '', stream: 'stderr', text, warning: true };
  return JSON.stringify(line);
}

/** As `selectTasks`; an application that has gone in the meantime has no tasks. */
function selectLater(context: ApiContext, selection: Selection): Task[] {
  try {
    return selectTasks(context, selection);
  } catch (error) {
    if (error instanceof ShoalError && error.code === 'not_found') return [];
    throw error;
  }
}
