import { resolve } from 'node:path';
import { systemFileSystem } from '../compose/files.ts';
import type { Labels } from '../spec/object.ts';
import { messageOf, ShoalError } from '../util/errors.ts';
import type { FileCreate, UsedBy, VolumeRemoval } from '../wire/api.ts';
import type { Client } from '../wire/client.ts';
import { exitCodes, type Command, type Context, type OptionSpec, type ParsedArguments } from './command.ts';
import { printList } from './output.ts';

type Noun = 'network' | 'volume' | 'secret' | 'config';

/** What the commands of all four kinds need to know of one. */
export interface Listed extends UsedBy {
  id: string;
  spec: { name: string; application?: string };
}

export const labelOption: Record<string, OptionSpec> = {
  label: { value: 'KEY=VALUE', multiple: true, help: 'Set a label' },
};

/** `KEY=VALUE` of an option as a table; throws `invalid_argument` for what has no key. */
export function keyValues(parsed: ParsedArguments, option: string): Labels {
  return Object.fromEntries(
    parsed.values(option).map((text) => {
      const [key = '', ...value] = text.split('=');
      if (key !== '') return [key, value.join('=')];
      throw new ShoalError('invalid_argument', `Cannot use --${option} ${text}: write KEY=VALUE`);
    }),
  );
}

function wantsJson(parsed: ParsedArguments): boolean {
  const format = parsed.flag('json') ? 'json' : (parsed.value('format') ?? 'table');
  if (format === 'json' || format === 'table') return format === 'json';
  throw new ShoalError(
    'invalid_argument',
    `Cannot print as ${JSON.stringify(format)}: the formats are table and json`,
  );
}

/** `NOUN ls`: a line each or several, with what `columns` adds to its name and application; `query` goes with the request. */
export function listCommand<T extends Listed>(
  noun: Noun,
  columns: (context: Context) => Promise<{ header: string[]; rows: (item: T) => string[][] }>,
  query = '',
): Command {
  return {
    name: `${noun} ls`,
    summary: `List ${noun}s.`,
    options: {
      format: { value: 'FORMAT', help: 'table (default) or json' },
      json: { help: 'Short for --format json' },
      quiet: { short: 'q', help: 'Print only the names' },
    },
    examples: [`shoal ${noun} ls`, `shoal ${noun} ls --quiet`],
    async run(context, parsed) {
      const json = wantsJson(parsed);
      const client = await context.client();
      const isQuiet = parsed.flag('quiet');
      const items = await client.request<T[]>('GET', `/${noun}s${isQuiet ? '' : query}`);
      if (isQuiet) {
        for (const { spec } of items) context.output.print(spec.name);
        return exitCodes.done;
      }
      if (json) {
        printList(context.output, true, items, { header: [], row: () => [] });
        return exitCodes.done;
      }
      const { header, rows } = await columns(context);
      const lines = items.flatMap((item) => {
        const { name, application = '-' } = item.spec;
        return rows(item).map((row) => [name, application, ...row, String(item.usedBy.length)]);
      });
      printList(context.output, false, lines, {
        header: ['NAME', 'APPLICATION', ...header, 'SERVICES'],
        row: (line) => line,
      });
      return exitCodes.done;
    },
  };
}

/** `NOUN inspect`: everything that is known, as a list in JSON. */
export function inspectCommand(noun: Noun, query = ''): Command {
  return {
    name: `${noun} inspect`,
    summary: `Show everything that is known of ${noun}s, as JSON.`,
    positionals: 'NAME...',
    positionalsMin: 1,
    positionalsMax: 100,
    options: {},
    examples: [`shoal ${noun} inspect my-${noun}`],
    async run(context, parsed) {
      const client = await context.client();
      const found = await Promise.all(
        parsed.positionals.map((name) =>
          client.request<Listed>('GET', `/${noun}s/${encodeURIComponent(name)}${query}`),
        ),
      );
      context.output.print(JSON.stringify(found, null, 2));
      return exitCodes.done;
    },
  };
}

/** `NOUN rm`: each on its own; those that cannot be removed are told together at the end. */
export function removeCommand(
  noun: Noun,
  options: Record<string, OptionSpec> = {},
  before: (context: Context, parsed: ParsedArguments) => Promise<void> = () => Promise.resolve(),
): Command {
  return {
    name: `${noun} rm`,
    summary: `Remove ${noun}s that no service uses${noun === 'volume' ? ', with their data' : ''}.`,
    positionals: 'NAME...',
    positionalsMin: 1,
    positionalsMax: 100,
    options,
    examples: [`shoal ${noun} rm my-${noun}`],
    async run(context, parsed) {
      await before(context, parsed);
      await removeEach(context, noun, parsed.positionals, parsed.flag('force'));
      return exitCodes.done;
    },
  };
}

/** Removes each on its own and says so; throws those that cannot be removed together at the end. */
export async function removeEach(
  context: Context,
  noun: Noun,
  names: readonly string[],
  force: boolean,
): Promise<void> {
  const client = await context.client();
  const failures: unknown[] = [];
  for (const name of names) {
    try {
      context.output.note(await removeOne(client, noun, name, force));
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new ShoalError('failed_precondition', failures.map(messageOf).join('\n'));
}

/** Removes one, and gives words for it. */
async function removeOne(client: Client, noun: Noun, name: string, force: boolean): Promise<string> {
  const path = `/${noun}s/${encodeURIComponent(name)}${force ? '?force=true' : ''}`;
  const { keptOn } = await client.request<VolumeRemoval>('DELETE', path);
  return `${name} is removed${keptOn.length === 0 ? '' : `; its data stays on ${keptOn.join(', ')}`}`;
}

/** `secret create` and `config create`. What is read is sent and never shown. */
export function createFileCommand(noun: 'secret' | 'config', bytesMax: number): Command {
  return {
    name: `${noun} create`,
    summary: `Store a file as a ${noun} for services that name it with external: true.`,
    positionals: 'NAME FILE|-',
    positionalsMin: 2,
    positionalsMax: 2,
    options: labelOption,
    examples: [
      `shoal ${noun} create my-${noun} ./file`,
      `printf %s "$VALUE" | shoal ${noun} create my-${noun} -`,
    ],
    async run(context, parsed) {
      const [name = '', file = ''] = parsed.positionals;
      const labels = keyValues(parsed, 'label');
      const content =
        file === '-'
          ? await readInput(bytesMax)
          : await systemFileSystem.readFile(resolve(context.workingDirectory, file), bytesMax);
      const body: FileCreate = { name, labels, data: Buffer.from(content).toString('base64') };
      const client = await context.client();
      const made = await client.request<Listed>('POST', `/${noun}s`, body);
      context.output.print(made.id);
      return exitCodes.done;
    },
  };
}

/** Standard input to its end, and never more than the limit. */
async function readInput(bytesMax: number): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bytesMax) {
      throw new ShoalError('resource_exhausted', `Cannot take what comes in: it is over ${bytesMax} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
