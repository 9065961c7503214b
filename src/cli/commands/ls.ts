import type { ApplicationSummary } from '../../wire/api.ts';
import { exitCodes, type Command } from '../command.ts';
import { printList } from '../output.ts';

export const command: Command = {
  name: 'ls',
  summary: 'List applications: how many tasks serve, and how many are of the current version.',
  options: { json: { help: 'Print JSON' } },
  examples: ['shoal ls', 'shoal ls --json'],
  async run(context, parsed) {
    const client = await context.client();
    const applications = await client.request<ApplicationSummary[]>('GET', '/applications');
    printList(context.output, parsed.flag('json'), applications, {
      header: ['APPLICATION', 'SERVICES', 'SERVING', 'UPDATED', 'STATE'],
      row: (each) => [
        each.name,
        String(each.services),
        `${each.serving}/${each.desired}`,
        `${each.updated}/${each.desired}`,
        each.state,
      ],
    });
    return exitCodes.done;
  },
};
