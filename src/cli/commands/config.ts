import { renderCanonical } from '../../compose/render.ts';
import { ShoalError } from '../../util/errors.ts';
import { readApplication } from '../application.ts';
import { applicationOptions } from '../options.ts';
import { exitCodes, type Command } from '../command.ts';

export const command: Command = {
  name: 'config',
  summary: 'Check a Compose file and print it in canonical form. Needs no daemon.',
  options: {
    ...applicationOptions,
    format: { value: 'FORMAT', help: 'yaml (default) or json' },
    json: { help: 'Short for --format json' },
    services: { help: 'Print only the names of the services' },
    quiet: { short: 'q', help: 'Only check' },
  },
  examples: [
    'shoal config -f compose.yaml',
    'shoal config --format json',
    'shoal config --quiet && echo fine',
  ],
  async run(context, parsed) {
    const format = parsed.flag('json') ? 'json' : (parsed.value('format') ?? 'yaml');
    if (format !== 'yaml' && format !== 'json') {
      throw new ShoalError(
        'invalid_argument',
        `Cannot print as ${JSON.stringify(format)}: the formats are yaml and json`,
      );
    }
    const { application, canonical } = await readApplication(context, parsed);
    if (parsed.flag('quiet')) return exitCodes.done;
    if (parsed.flag('services')) for (const { key } of application.services) context.output.print(key);
    else context.output.write('stdout', renderCanonical(canonical, format));
    return exitCodes.done;
  },
};
