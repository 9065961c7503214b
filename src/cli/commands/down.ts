import { codeOf, ShoalError } from '../../util/errors.ts';
import type { ApplicationRemoval } from '../../wire/api.ts';
import { wholeNumber } from '../arguments.ts';
import { applicationOptions } from '../options.ts';
import { exitCodes, type Command } from '../command.ts';
import { follow } from '../follow.ts';
import { applicationName } from '../reference.ts';

const defaultTimeoutSeconds = 120;

export const command: Command = {
  name: 'down',
  summary: 'Stop an application and remove it; its named volumes are kept.',
  options: {
    ...applicationOptions,
    timeout: { value: 'SECONDS', help: `How long to wait (default ${defaultTimeoutSeconds})` },
  },
  examples: ['shoal down', 'shoal down -p guestbook'],
  async run(context, parsed) {
    const timeoutMs =
      wholeNumber(parsed.value('timeout') ?? String(defaultTimeoutSeconds), 'a time-out in seconds', 1) *
      1000;
    const name = await applicationName(context, parsed);
    if (name === undefined) {
      throw new ShoalError(
        'invalid_argument',
        'Cannot tell which application to remove: no Compose file here',
        { next: 'Name it with -p.' },
      );
    }
    const client = await context.client();
    let leaving: Set<string>;
    try {
      const path = `/applications/${encodeURIComponent(name)}`;
      leaving = new Set((await client.request<ApplicationRemoval>('DELETE', path)).ids);
    } catch (error) {
      if (codeOf(error) !== 'not_found') throw error;
      context.output.note(`${name} is not there: nothing to remove`);
      return exitCodes.done;
    }
    await follow(context, {
      application: name,
      fromRevision: 0,
      timeoutMs,
      quiet: false,
      // Another `up` may have made it anew by then.
      until: ({ services, networks }) =>
        !services.some(({ service }) => leaving.has(service.id)) &&
        !networks.some(({ id }) => leaving.has(id)),
    });
    context.output.note(`${name} is removed`);
    return exitCodes.done;
  },
};
