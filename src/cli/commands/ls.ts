import { originWords } from '../../spec/project-origin.ts';
import type { ApplicationSummary } from '../../wire/api.ts';
import { exitCodes, type Command } from '../command.ts';
import { printList } from '../output.ts';

export const command: Command = {
  name: 'ls',
  summary: 'List applications: how many tasks serve, and how many are of the current version.',
  options: {
    verbose: { short: 'v', help: 'Show where each was brought up from' },
    json: { help: 'Print JSON' },
  },
  examples: ['shoal ls', 'shoal ls --verbose', 'shoal ls --json'],
  async run(context, parsed) {
    const client = await context.client();
    const applications = await client.request<ApplicationSummary[]>('GET', '/applications');
    const verbose = parsed.flag('verbose');
    printList(context.output, parsed.flag('json'), applications, {
      header: ['APPLICATION', 'SERVICES', 'SERVING', 'UPDATED', 'STATE', ...(verbose ? ['FROM'] : [])],
      row: (each) => [
        each.name,
        String(each.services),
        `${each.serving}/${each.desired}`,
        `${each.updated}/${each.desired}`,
        each.state,
        ...(verbose ? [each.origin === undefined ? '-' : originWords(each.origin)] : []),
      ],
    });
    return exitCodes.done;
  },
};
