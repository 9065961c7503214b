import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { imagesOf, onlyImages, withImages } from '../../compose/images.ts';
import { readWritten, type LoadedModel } from '../../compose/load.ts';
import { renderModel, renderPlain } from '../../compose/render.ts';
import { dependencyOrder, selectFrom, selectServices, serviceHash } from '../../compose/select.ts';
import type { Plain } from '../../compose/tree.ts';
import { ShoalError } from '../../util/errors.ts';
import { loadOptions, readApplication, readModel } from '../application.ts';
import { exitCodes, type Command, type Context, type ParsedArguments } from '../command.ts';
import { applicationOptions } from '../options.ts';
import { renderTable } from '../output.ts';

/** Lists of one line each; at most one is asked for. Files that hold secrets, configs and environments are not read for them. */
const lists: Record<string, (loaded: LoadedModel) => string[]> = {
  services: ({ canonical }) => dependencyOrder(canonical),
  images: ({ canonical }) =>
    Object.entries(canonical.services).map(([key, { image }]) => image ?? `${canonical.name}-${key}`),
  networks: ({ canonical }) => Object.keys(canonical.networks ?? {}),
  volumes: ({ canonical }) => Object.keys(canonical.volumes ?? {}),
  models: ({ canonical }) => modelsOf(canonical.models ?? {}),
  profiles: ({ profiles }) => profiles,
  environment: ({ environment }) => [...environment].map(([name, value]) => `${name}=${value}`).toSorted(),
};

/** The models' own names, not those they go by in the file. */
function modelsOf(models: Record<string, unknown>): string[] {
  return Object.values(models).flatMap((entry) => {
    const { model } = (entry ?? {}) as { model?: unknown };
    return typeof model === 'string' ? [model] : [];
  });
}

type Format = 'yaml' | 'json';

/** The format that is asked for, if any is. */
function formatOf(parsed: ParsedArguments): Format | undefined {
  const format = parsed.flag('json') ? 'json' : parsed.value('format');
  if (format === undefined || format === 'yaml' || format === 'json') return format;
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

/** Lines `SERVICE HASH` in order of names; `*` means every service. */
function hashes({ canonical }: LoadedModel, wanted: string): string[] {
  const names =
    wanted === '*' ? Object.keys(canonical.services) : wanted.split(',').map((name) => name.trim());
  return names.toSorted().map((name) => {
    const service = Object.hasOwn(canonical.services, name) ? canonical.services[name] : undefined;
    if (service !== undefined) return `${name} ${serviceHash(service)}`;
    throw new ShoalError('not_found', `Cannot hash ${JSON.stringify(name)}: no service is called so`);
  });
}

/** The model as it is written; what is asked of values that variables stand for cannot be done. */
async function readAsWritten(context: Context, parsed: ParsedArguments) {
  if (parsed.positionals.length > 0) {
    context.output.note('warning: services are not selected where variables stay; all of the model is shown');
  }
  const keepPaths = parsed.flag('no-path-resolution');
  return readWritten({ ...(await loadOptions(context, parsed)), keepPaths });
}

/** As `docker compose config --variables`: a table, or a map by name. */
async function variablesText(context: Context, parsed: ParsedArguments): Promise<string> {
  const { variables } = await readAsWritten(context, parsed);
  const format = formatOf(parsed);
  if (format === undefined) {
    const rows = variables.map(({ name, required, defaultValue, alternateValue }) => [
      name,
      String(required),
      defaultValue,
      alternateValue,
    ]);
    return `${renderTable(['NAME', 'REQUIRED', 'DEFAULT VALUE', 'ALTERNATE VALUE'], rows)}\n`;
  }
  const byName = variables.map(({ name, required, defaultValue, alternateValue }) => [
    name,
    { Name: name, DefaultValue: defaultValue, PresenceValue: alternateValue, Required: required },
  ]);
  return renderPlain(Object.fromEntries(byName), format);
}

async function listText(context: Context, parsed: ParsedArguments, asked: string): Promise<string> {
  const isWritten = parsed.flag('no-interpolate');
  if (isWritten && asked !== 'services') {
    throw new ShoalError('invalid_argument', `Cannot print --${asked} with --no-interpolate`, {
      next: 'Leave one of them out.',
    });
  }
  let lines: string[];
  if (isWritten) {
    const { written } = await readAsWritten(context, parsed);
    lines = Object.keys((written as { services?: object }).services ?? {}).toSorted();
  } else {
    const loaded = await readModel(context, parsed, { reads: asked === 'hash' ? 'environment' : 'none' });
    lines = asked === 'hash' ? hashes(loaded, parsed.value('hash')!) : lists[asked]!(loaded);
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** The model as it is asked for, with its variables replaced or not. */
async function modelOf(context: Context, parsed: ParsedArguments): Promise<Plain> {
  if (parsed.flag('no-interpolate')) return (await readAsWritten(context, parsed)).written;
  const skipConsistency = parsed.flag('no-consistency');
  // Printed, the model is told of with warnings; only checked, it must be one that can be run.
  const read = parsed.flag('quiet') && !skipConsistency ? readApplication : readModel;
  const { canonical, merged } = await read(context, parsed, {
    reads: parsed.flag('no-env-resolution') ? 'none' : 'environment',
    services: parsed.positionals,
    keepPaths: parsed.flag('no-path-resolution'),
    skipConsistency,
  });
  const selected =
    parsed.positionals.length === 0 ? canonical : selectServices(canonical, parsed.positionals);
  // The canonical model is plain data; its interfaces have no index signature that Plain could see.
  return parsed.flag('no-normalize') ? selectFrom(merged(), selected) : (selected as unknown as Plain);
}

/** The model with each image by its digest, of which the registries are asked now. */
async function withDigests(context: Context, model: Plain): Promise<Plain> {
  const [{ resolveDigests }, { readLogins }] = await Promise.all([
    import('../../registry/digests.ts'),
    import('../../registry/logins.ts'),
  ]);
  const logins = await readLogins(context.environment);
  const digests = await resolveDigests(imagesOf(model), { logins, signal: context.signal });
  return withImages(model, (image) => digests.get(image) ?? image);
}

/** The model, or what of it is asked for, as text. */
async function textOf(context: Context, parsed: ParsedArguments): Promise<string> {
  const format = formatOf(parsed) ?? 'yaml';
  const isLock = parsed.flag('lock-image-digests');
  let model = await modelOf(context, parsed);
  if (isLock || parsed.flag('resolve-image-digests')) model = await withDigests(context, model);
  if (isLock) model = onlyImages(model);
  // Variables must stay variables, and a further file must say nothing but its images.
  return isLock || parsed.flag('no-interpolate') ? renderPlain(model, format) : renderModel(model, format);
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
    services: { help: 'Print only the names of the services, each after those it depends on' },
    images: { help: 'Print only the images, one for each service' },
    networks: { help: 'Print only the names of the networks' },
    volumes: { help: 'Print only the names of the volumes' },
    models: { help: 'Print only the names of the models' },
    profiles: { help: 'Print only the names of the profiles, active or not' },
    environment: { help: 'Print the environment that variables are looked up in' },
    variables: { help: 'Print the variables that the file names, with their defaults' },
    hash: { value: 'SERVICES', help: 'Print the hash of these services, separated by commas; * for all' },
    'no-interpolate': { help: 'Leave variables in place, and check less' },
    'no-normalize': { help: 'Leave out the names, defaults and networks that nobody wrote' },
    'no-path-resolution': { help: 'Leave paths as they are written' },
    'no-env-resolution': { help: 'Do not read environment and label files' },
    'no-consistency': { help: 'Do not check that what services refer to is there' },
    'resolve-image-digests': { help: 'Ask the registries what the tags name now, and print the digests' },
    'lock-image-digests': { help: 'Print only the images with their digests, to be used as a further file' },
    output: { short: 'o', value: 'FILE', help: 'Write to a file instead of standard output' },
    quiet: { short: 'q', help: 'Only check, as shoal up does: what that refuses is an error too' },
  },
  examples: [
    'shoal config -f compose.yaml',
    'shoal config --format json web',
    'shoal config --quiet && echo fine',
    'shoal config --images | sort -u',
    'shoal config --lock-image-digests -o lock.yaml && shoal up -f compose.yaml -f lock.yaml',
  ],
  async run(context, parsed) {
    const asked = askedOf(parsed);
    const text =
      asked === undefined
        ? await textOf(context, parsed)
        : await (asked === 'variables' ? variablesText(context, parsed) : listText(context, parsed, asked));
    const file = parsed.value('output');
    if (parsed.flag('quiet')) return exitCodes.done;
    if (file === undefined) context.output.write('stdout', text);
    else await writeFile(resolve(context.workingDirectory, file), text);
    return exitCodes.done;
  },
};
