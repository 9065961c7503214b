import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { readWritten, type LoadedModel } from '../../compose/load.ts';
import { renderCanonical, renderPlain } from '../../compose/render.ts';
import { selectServices, serviceHash } from '../../compose/select.ts';
import { ShoalError } from '../../util/errors.ts';
import { loadOptions, readApplication, readModel } from '../application.ts';
import { exitCodes, type Command, type Context, type ParsedArguments } from '../command.ts';
import { applicationOptions } from '../options.ts';
import { printList } from '../output.ts';

/** Lists of one line each; at most one is asked for. Files that hold secrets, configs and environments are not read for them. */
const lists: Record<string, (loaded: LoadedModel, parsed: ParsedArguments) => string[]> = {
  services: ({ canonical }) => Object.keys(canonical.services),
  images: ({ canonical }) => Object.values(canonical.services).map(({ image }) => image ?? ''),
  networks: ({ canonical }) => Object.keys(canonical.networks ?? {}),
  volumes: ({ canonical }) => Object.keys(canonical.volumes ?? {}),
  profiles: ({ profiles }) => profiles,
  environment: ({ environment }) => [...environment].map(([name, value]) => `${name}=${value}`).toSorted(),
};

type Format = 'yaml' | 'json';

function formatOf(parsed: ParsedArguments): Format {
  const format = parsed.flag('json') ? 'json' : (parsed.value('format') ?? 'yaml');
  if (format === 'yaml' || format === 'json') return format;
  throw new ShoalError(
    'invalid_argument',
    `Cannot print as ${JSON.stringify(format)}: the formats are yaml and json`,
  );
}

/** The one list that is asked for; throws `invalid_argument` when there are several. */
function askedOf(parsed: ParsedArguments): string | undefined {
  const asked = [...Object.keys(lists), 'variables'].filter((name) => parsed.flag(name));
  if (parsed.value('hash') !== undefined) asked.push('hash');
  if (asked.length <= 1) return asked[0];
  const names = asked.map((name) => `--${name}`).join(' and ');
  throw new ShoalError('invalid_argument', `Cannot print ${names} at once`, { next: 'Ask for one of them.' });
}

/** Lines `SERVICE HASH`; `*` means every service. */
function hashes({ canonical }: LoadedModel, wanted: string): string[] {
  const names =
    wanted === '*' ? Object.keys(canonical.services) : wanted.split(',').map((name) => name.trim());
  return names.map((name) => {
    const service = Object.hasOwn(canonical.services, name) ? canonical.services[name] : undefined;
    if (service !== undefined) return `${name} ${serviceHash(service)}`;
    throw new ShoalError('not_found', `Cannot hash ${JSON.stringify(name)}: no service is called so`);
  });
}

async function printVariables(context: Context, parsed: ParsedArguments): Promise<void> {
  const { variables } = await readWritten(await loadOptions(context, parsed));
  printList(context.output, formatOf(parsed) === 'json', variables, {
    header: ['NAME', 'REQUIRED', 'DEFAULT VALUE', 'ALTERNATE VALUE'],
    row: ({ name, required, defaultValue, alternateValue }) => [
      name,
      String(required),
      defaultValue,
      alternateValue,
    ],
  });
}

/** Printed, the model is told of with warnings; only checked, it must be one that can be run. */
function read(context: Context, parsed: ParsedArguments): Promise<LoadedModel> {
  return (parsed.flag('quiet') ? readApplication : readModel)(context, parsed, 'environment');
}

/** The model, or what of it is asked for, as text. */
async function textOf(context: Context, parsed: ParsedArguments): Promise<string> {
  const format = formatOf(parsed);
  if (parsed.flag('no-interpolate')) {
    if (parsed.positionals.length > 0) {
      throw new ShoalError('invalid_argument', 'Cannot select services with --no-interpolate');
    }
    return renderPlain((await readWritten(await loadOptions(context, parsed))).written, format);
  }
  const { canonical } = await read(context, parsed);
  const selected =
    parsed.positionals.length === 0 ? canonical : selectServices(canonical, parsed.positionals);
  return renderCanonical(selected, format);
}

export const command: Command = {
  name: 'config',
  summary: 'Check a Compose file and print it in canonical form. Needs no daemon.',
  positionals: '[SERVICE...]',
  positionalsMax: 1000,
  options: {
    ...applicationOptions,
    format: { value: 'FORMAT', help: 'yaml (default) or json' },
    json: { help: 'Short for --format json' },
    services: { help: 'Print only the names of the services' },
    images: { help: 'Print only the images, one for each service' },
    networks: { help: 'Print only the names of the networks' },
    volumes: { help: 'Print only the names of the volumes' },
    profiles: { help: 'Print only the names of the profiles, active or not' },
    environment: { help: 'Print the environment that variables are looked up in' },
    variables: { help: 'Print the variables that the file names, with their defaults' },
    hash: { value: 'SERVICES', help: 'Print the hash of these services, separated by commas; * for all' },
    'no-interpolate': { help: 'Leave variables in place, and check less' },
    'resolve-image-digests': { help: 'Not supported yet' },
    output: { short: 'o', value: 'FILE', help: 'Write to a file instead of standard output' },
    quiet: { short: 'q', help: 'Only check, as shoal up does: what that refuses is an error too' },
  },
  examples: [
    'shoal config -f compose.yaml',
    'shoal config --format json web',
    'shoal config --quiet && echo fine',
    'shoal config --images | sort -u',
  ],
  async run(context, parsed) {
    if (parsed.flag('resolve-image-digests')) {
      throw new ShoalError('not_supported', 'Cannot resolve the digests of images here', {
        next: 'Leave the option out, or write IMAGE@sha256:… in the file.',
      });
    }
    const asked = askedOf(parsed);
    if (asked === 'variables') {
      await printVariables(context, parsed);
      return exitCodes.done;
    }
    if (asked !== undefined) {
      const loaded = await readModel(context, parsed, asked === 'hash' ? 'environment' : 'none');
      const lines = asked === 'hash' ? hashes(loaded, parsed.value('hash')!) : lists[asked]!(loaded, parsed);
      if (!parsed.flag('quiet')) for (const line of lines) context.output.print(line);
      return exitCodes.done;
    }
    const text = await textOf(context, parsed);
    const file = parsed.value('output');
    if (parsed.flag('quiet')) return exitCodes.done;
    if (file === undefined) context.output.write('stdout', text);
    else await writeFile(resolve(context.workingDirectory, file), text);
    return exitCodes.done;
  },
};
