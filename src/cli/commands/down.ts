import { codeOf, ShoalError } from '../../util/errors.ts';
import type { ApplicationRemoval, VolumeInfo } from '../../wire/api.ts';
import type { Client } from '../../wire/client.ts';
import { wholeNumber } from '../arguments.ts';
import { applicationOptions } from '../options.ts';
import { exitCodes, type Command } from '../command.ts';
import { follow } from '../follow.ts';
import { applicationName } from '../reference.ts';
import { removeEach } from '../resources.ts';

const defaultTimeoutSeconds = 120;

export const command: Command = {
  name: 'down',
  summary: 'Stop an application and remove it; its named volumes are kept unless --volumes says otherwise.',
  options: {
    ...applicationOptions,
    volumes: { short: 'v', help: 'Remove its named volumes with their data as well' },
    timeout: { value: 'SECONDS', help: `How long to wait (default ${defaultTimeoutSeconds})` },
  },
  examples: ['shoal down', 'shoal down -p guestbook', 'shoal down --volumes'],
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
    const leaving = await remove(client, name);
    if (leaving !== undefined) {
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
    }
    const isThere = leaving !== undefined;
    context.output.note(isThere ? `${name} is removed` : `${name} is not there: nothing to remove`);
    if (parsed.flag('volumes')) {
      const path = `/volumes?application=${encodeURIComponent(name)}`;
      const volumes = await client.request<VolumeInfo[]>('GET', path);
      const names = volumes.map(({ spec }) => spec.name);
      await removeEach(context, 'volume', names, false);
    }
    return exitCodes.done;
  },
};

/** Returns the ids of what goes; undefined if there is no such application. */
async function remove(client: Client, name: string): Promise<Set<string> | undefined> {
  try {
    const path = `/applications/${encodeURIComponent(name)}`;
    return new Set((await client.request<ApplicationRemoval>('DELETE', path)).ids);
  } catch (error) {
    if (codeOf(error) !== 'not_found') throw error;
    return undefined;
  }
}
