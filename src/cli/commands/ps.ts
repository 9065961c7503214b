import type { Node } from '../../spec/node.ts';
import { isPaused } from '../../spec/change.ts';
import type { Service } from '../../spec/service.ts';
import type { TaskInfo } from '../../wire/api.ts';
import { nowOf } from '../ages.ts';
import { applicationOptions } from '../options.ts';
import { exitCodes, type Command } from '../command.ts';
import { applicationName, noApplication, pickServices } from '../reference.ts';
import { currentTasks, printTasks, rowsOf } from '../tasks.ts';

/** What keeps the service from being as its file says until somebody says otherwise, and what to type. */
function heldUp({ spec: { name }, stopped, updateStatus }: Service): string[] {
  if (stopped === true) return [`${name} is stopped; \`shoal start ${name}\` starts it again`];
  if (updateStatus === undefined || !isPaused(updateStatus)) return [];
  return [`${name}: ${updateStatus.message}; \`shoal resume ${name}\` goes on with it`];
}

export const command: Command = {
  name: 'ps',
  summary: 'List tasks: what runs where, and why what does not run does not.',
  positionals: '[SERVICE...]',
  positionalsMax: 1000,
  options: {
    ...applicationOptions,
    all: { short: 'a', help: 'The whole history, not only what is current or failed last' },
    json: { help: 'Print JSON' },
  },
  examples: ['shoal ps', 'shoal ps -p guestbook web', 'shoal ps --all --json'],
  async run(context, parsed) {
    const application = await applicationName(context, parsed);
    const client = await context.client();
    const query = application === undefined ? '' : `?application=${encodeURIComponent(application)}`;
    const [tasks, services, nodes, now] = await Promise.all([
      client.request<TaskInfo[]>('GET', `/tasks${query}`),
      client.request<Service[]>('GET', `/services${query}`),
      client.request<Node[]>('GET', '/nodes'),
      nowOf(client),
    ]);
    if (application !== undefined && services.length + tasks.length === 0) throw noApplication(application);
    const names = parsed.positionals;
    const asked = new Set(pickServices(services, application, names).map(({ id }) => id));
    const found = names.length === 0 ? tasks : tasks.filter(({ serviceId }) => asked.has(serviceId));
    const shown = parsed.flag('all') ? found : currentTasks(found, now);
    const hidden = found.length - shown.length;
    printTasks(context.output, parsed.flag('json'), rowsOf(shown, { services, nodes }), { now, hidden });
    const told = names.length === 0 ? services : services.filter(({ id }) => asked.has(id));
    if (!parsed.flag('json')) for (const text of told.flatMap(heldUp)) context.output.note(text);
    return exitCodes.done;
  },
};
