import type { Node } from '../../spec/node.ts';
import type { Service } from '../../spec/service.ts';
import { taskName } from '../../spec/task.ts';
import { ShoalError } from '../../util/errors.ts';
import type { LogLine } from '../../wire/session.ts';
import { wholeNumber } from '../arguments.ts';
import { applicationOptions } from '../options.ts';
import { exitCodes, type Command, type Context } from '../command.ts';
import { paint, type Colour } from '../output.ts';
import { applicationName, pickServices } from '../reference.ts';
import type { TaskInfo } from '../../wire/api.ts';

const units: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * `10m`, which each host counts back from by its own clock, or a date, both in ms, as a parameter of the query; throws
 * `invalid_argument`.
 */
function parseSince(text: string): ['age' | 'since', string] {
  const relative = /^(\d+)([smhd])$/.exec(text);
  if (relative) return ['age', String(Number(relative[1]) * units[relative[2]!]!)];
  const at = Date.parse(text);
  if (Number.isNaN(at)) {
    throw new ShoalError('invalid_argument', `Cannot read ${JSON.stringify(text)} as a time`, {
      next: 'Give a duration such as 10m, or a date such as 2026-01-31T12:00:00Z.',
    });
  }
  return ['since', String(at)];
}

const colours: Colour[] = ['cyan', 'green', 'yellow', 'bold', 'dim'];

/** Gives each task its name and colour, looked up anew when a task appears that was not there before. */
async function taskPrefixes(context: Context): Promise<(taskId: string) => Promise<string>> {
  const client = await context.client();
  const names = new Map<string, string>();
  const refresh = async () => {
    const [tasks, nodes] = await Promise.all([
      client.request<TaskInfo[]>('GET', '/tasks'),
      client.request<Node[]>('GET', '/nodes'),
    ]);
    const hosts = new Map(nodes.map((node) => [node.id, node.description?.hostname]));
    for (const task of tasks) {
      names.set(task.id, taskName({ ...task, nodeId: hosts.get(task.nodeId ?? '') ?? task.nodeId }));
    }
  };
  return async (taskId) => {
    if (!names.has(taskId)) await refresh();
    if (!names.has(taskId)) names.set(taskId, taskId); // its record is gone already; its id is all there is
    const name = names.get(taskId)!;
    const colour = colours[[...names.keys()].indexOf(taskId) % colours.length]!;
    return paint(context.output, colour, `${name} |`);
  };
}

export const command: Command = {
  name: 'logs',
  summary: 'Show what the containers of services have printed, merged by time.',
  positionals: '[SERVICE...]',
  positionalsMax: 1000,
  options: {
    ...applicationOptions,
    file: { ...applicationOptions['file']!, short: undefined }, // here -f follows, as everywhere
    follow: { short: 'f', help: 'Go on with what comes' },
    tail: { short: 'n', value: 'LINES', help: 'Only the last lines of each task' },
    since: { value: 'TIME', help: 'Only what is newer: 10m, 2h, or a date' },
    timestamps: { short: 't', help: 'Show when each line was printed' },
    'no-log-prefix': { help: 'Leave out the name of the task' },
    json: { help: 'One JSON object a line' },
  },
  examples: ['shoal logs', 'shoal logs -f --tail 20 web', 'shoal logs -p guestbook --since 10m'],
  async run(context, parsed) {
    const application = await applicationName(context, parsed);
    const client = await context.client();
    const query = new URLSearchParams();
    const picked =
      parsed.positionals.length === 0
        ? []
        : pickServices(await client.request<Service[]>('GET', '/services'), application, parsed.positionals);
    const name = picked[0]?.spec.application ?? application;
    if (name === undefined) {
      throw new ShoalError('invalid_argument', 'Cannot tell whose logs to show: no Compose file here', {
        next: 'Name the application with -p, or a service by its full name.',
      });
    }
    query.set('application', name);
    for (const service of picked) query.append('service', service.spec.key);
    if (parsed.flag('follow')) query.set('follow', 'true');
    const tail = parsed.value('tail');
    if (tail !== undefined && tail !== 'all')
      query.set('tail', String(wholeNumber(tail, 'a number of lines')));
    const since = parsed.value('since');
    if (since !== undefined) query.set(...parseSince(since));
    const prefixOf = await taskPrefixes(context);
    for await (const line of client.stream<LogLine>(`/logs?${query.toString()}`, context.signal)) {
      if (parsed.flag('json')) context.output.print(JSON.stringify(line));
      else if (line.warning) context.output.note(paint(context.output, 'yellow', line.text));
      else {
        const prefix = parsed.flag('no-log-prefix') ? '' : `${await prefixOf(line.taskId)} `;
        const time = parsed.flag('timestamps') ? `${line.at} ` : '';
        context.output.line(line.stream, `${prefix}${time}`, line.text);
      }
    }
    return exitCodes.done;
  },
};
