import type { ApplicationSummary } from '../../wire/api.ts';
import { exitCodes, type Command } from '../command.ts';
import { printList } from '../output.ts';

export const command: Command = {
  name: 'ls',
  summary: 'List applications.',
  options: { json: { help: 'Print JSON' } },
  examples: ['shoal ls', 'shoal ls --json'],
  async run(context, parsed) {
    const client = await context.client();
    const applications = await client.request<ApplicationSummary[]>('GET', '/applications');
    printList(context.output, parsed.flag('json'), applications, {
      header: ['APPLICATION', 'SERVICES', 'TASKS'],
      row: (each) => [each.name, String(each.services), `${each.running}/${each.desired}`],
    });
    return exitCodes.done;
  },
};
