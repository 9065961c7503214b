import { ShoalError } from '../../util/errors.ts';
import type { JoinTokens } from '../../wire/api.ts';
import { exitCodes, type Command } from '../command.ts';

export const command: Command = {
  name: 'token',
  summary: 'Print the command that joins another host, or make its token anew.',
  positionals: '[worker|manager]',
  positionalsMax: 1,
  options: {
    rotate: { help: 'Make a new token; the old one no longer joins anybody' },
    quiet: { short: 'q', help: 'Print only the token' },
    json: { help: 'Print JSON' },
  },
  examples: ['shoal token', 'shoal token worker --quiet', 'shoal token worker --rotate'],
  async run(context, parsed) {
    const [role = 'worker'] = parsed.positionals;
    if (role !== 'worker' && role !== 'manager') {
      throw new ShoalError(
        'invalid_argument',
        `Cannot give a token for ${JSON.stringify(role)}: hosts join as worker or manager`,
      );
    }
    const client = await context.client();
    const tokens = parsed.flag('rotate')
      ? await client.request<JoinTokens>('POST', `/tokens/${role}/rotate`)
      : await client.request<JoinTokens>('GET', '/tokens');
    if (parsed.flag('json')) context.output.print(JSON.stringify(tokens, null, 2));
    else if (parsed.flag('quiet')) context.output.print(tokens[role]);
    else {
      context.output.note(`To join another host as a ${role}, run there:`);
      context.output.print(`shoal join --token ${tokens[role]} ${tokens.addresses[0] ?? 'MANAGER:2377'}`);
    }
    return exitCodes.done;
  },
};
