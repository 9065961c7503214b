import { codeOf, ShoalError } from '../../util/errors.ts';
import { isSameOrigin, originWords } from '../../spec/project-origin.ts';
import type { ApplicationRemoval, ApplicationSummary, VolumeInfo } from '../../wire/api.ts';
import type { Client } from '../../wire/client.ts';
import { printable } from '../../util/text.ts';
import { wholeNumber } from '../arguments.ts';
import { applicationOptions } from '../options.ts';
import { exitCodes, type Command, type Context, type ParsedArguments } from '../command.ts';
import { confirm, yesOption } from '../confirm.ts';
import { follow } from '../follow.ts';
import { originOf } from '../origin.ts';
import { namedApplication } from '../reference.ts';
import { removeEach } from '../resources.ts';

const defaultTimeoutSeconds = 120;

export const command: Command = {
  name: 'down',
  summary: 'Stop an application and remove it; its named volumes are kept unless --volumes says otherwise.',
  options: {
    ...applicationOptions,
    volumes: { short: 'v', help: 'Remove its named volumes with their data as well' },
    ...yesOption,
    timeout: { value: 'SECONDS', help: `How long to wait (default ${defaultTimeoutSeconds})` },
  },
  examples: ['shoal down', 'shoal down -p guestbook', 'shoal down --volumes'],
  async run(context, parsed) {
    const timeoutMs =
      wholeNumber(parsed.value('timeout') ?? String(defaultTimeoutSeconds), 'a time-out in seconds', 1) *
      1000;
    const named = await namedApplication(context, parsed);
    if (named === undefined) {
      throw new ShoalError(
        'invalid_argument',
        'Cannot tell which application to remove: no Compose file here',
        { next: 'Name it with -p.' },
      );
    }
    const { name } = named;
    const client = await context.client();
    await confirmOrigin(context, parsed, named);
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

/** Asks where a file of this folder gave the name, and the application was brought up from elsewhere. By -p it is meant. */
async function confirmOrigin(
  context: Context,
  parsed: ParsedArguments,
  { name, directory }: { name: string; directory?: string },
): Promise<void> {
  if (directory === undefined || parsed.flag('yes')) return;
  const client = await context.client();
  const applications = await client.request<ApplicationSummary[]>('GET', '/applications?all=true');
  const stored = applications.find((each) => each.name === name)?.origin;
  if (stored === undefined) return;
  const here = await originOf(directory, context);
  if (isSameOrigin(stored, here)) return;
  const where = `it was brought up from ${originWords(stored)}, and this is ${originWords(here)}`;
  if (context.ask === undefined) {
    throw new ShoalError('failed_precondition', `Cannot remove ${name}: ${where}`, {
      next: `Nothing was changed. If it is the one that is meant, say \`shoal down -p ${name}\`, or --yes.`,
    });
  }
  await confirm(context, parsed, [printable(`${name} is to be removed: ${where}`)]);
}

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
