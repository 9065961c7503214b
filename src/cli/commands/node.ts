import type { Service } from '../../spec/service.ts';
import type { NodeInfo, TaskInfo } from '../../wire/api.ts';
import { nowOf } from '../ages.ts';
import { exitCodes, type Command } from '../command.ts';
import { currentTasks, printTasks, rowsOf } from '../tasks.ts';

export const inspect: Command = {
  name: 'node inspect',
  summary: 'Show everything that is known of hosts, with what is reserved and free there, as JSON.',
  positionals: 'NODE...',
  positionalsMin: 1,
  positionalsMax: 100,
  options: {},
  examples: ['shoal node inspect b'],
  async run(context, parsed) {
    const client = await context.client();
    const found = await Promise.all(
      parsed.positionals.map((name) => client.request<NodeInfo>('GET', `/nodes/${encodeURIComponent(name)}`)),
    );
    context.output.print(JSON.stringify(found, null, 2));
    return exitCodes.done;
  },
};

export const ps: Command = {
  name: 'node ps',
  summary: 'List the tasks of a host.',
  positionals: 'NODE',
  positionalsMin: 1,
  positionalsMax: 1,
  options: {
    all: { short: 'a', help: 'The whole history, not only what is current or failed last' },
    json: { help: 'Print JSON' },
  },
  examples: ['shoal node ps b', 'shoal node ps --all b'],
  async run(context, parsed) {
    const client = await context.client();
    const node = await client.request<NodeInfo>(
      'GET',
      `/nodes/${encodeURIComponent(parsed.positionals[0]!)}`,
    );
    const [tasks, services, now] = await Promise.all([
      client.request<TaskInfo[]>('GET', `/tasks?node=${node.id}`),
      client.request<Service[]>('GET', '/services'),
      nowOf(client),
    ]);
    const shown = parsed.flag('all') ? tasks : currentTasks(tasks, now);
    const hidden = tasks.length - shown.length;
    const rows = rowsOf(shown, { services, nodes: [node] });
    printTasks(context.output, parsed.flag('json'), rows, { now, hidden });
    return exitCodes.done;
  },
};
