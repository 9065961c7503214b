import {
  loadApplication,
  loadModel,
  type LoadedApplication,
  type LoadedModel,
  type LoadOptions,
} from '../compose/load.ts';
import { renderDiagnostics } from '../compose/diagnostic.ts';
import { applicationObjectsMax } from '../spec/defaults.ts';
import { ShoalError } from '../util/errors.ts';
import type { Context, ParsedArguments } from './command.ts';

async function readStandardInput(): Promise<string> {
  return Buffer.concat((await Array.fromAsync(process.stdin)) as Buffer[]).toString();
}

/** What the arguments say about the files to read; standard input is read at once. */
export async function loadOptions(context: Context, parsed: ParsedArguments): Promise<LoadOptions> {
  return {
    files: await Promise.all(
      parsed
        .values('file')
        .map(async (path) => (path === '-' ? { content: await readStandardInput() } : { path })),
    ),
    projectName: parsed.value('project-name'),
    projectDirectory: parsed.value('project-directory'),
    envFiles: parsed.values('env-file').length > 0 ? parsed.values('env-file') : undefined,
    profiles: parsed.values('profile'),
    environment: context.environment,
    workingDirectory: context.workingDirectory,
  };
}

type HowToRead = Pick<LoadOptions, 'reads' | 'services' | 'keepPaths' | 'skipConsistency'>;

/**
 * Reads the application that the arguments name, to be run. Throws `invalid_file` or `not_supported` with all that is in
 * the way in its details; warnings go to the output.
 */
export async function readApplication(
  context: Context,
  parsed: ParsedArguments,
  how: HowToRead = {},
): Promise<LoadedApplication> {
  const loaded = told(context, await loadApplication({ ...(await loadOptions(context, parsed)), ...how }));
  const excess = excessOf(loaded);
  if (excess === undefined) return loaded;
  throw new ShoalError('not_supported', `Cannot run ${loaded.canonical.name}: ${excess}`, {
    next: 'Make several applications of it.',
  });
}

/**
 * Reads the application that the arguments name, not to be run: what `shoal up` would refuse is a warning. Throws
 * `invalid_file` with all that is wrong in its details; warnings go to the output.
 */
export async function readModel(
  context: Context,
  parsed: ParsedArguments,
  how: HowToRead,
): Promise<LoadedModel> {
  const loaded = told(context, await loadModel({ ...(await loadOptions(context, parsed)), ...how }));
  const excess = excessOf(loaded);
  if (excess !== undefined) context.output.note(`warning: shoal up would refuse it: ${excess}`);
  return loaded;
}

/** What is too much about the application for one transaction of the store; undefined when nothing is. */
function excessOf({ canonical }: LoadedModel): string | undefined {
  const { services, networks, volumes, secrets, configs } = canonical;
  const made = [networks, volumes, secrets, configs].flatMap((table) =>
    Object.values(table ?? {}).filter(({ external }) => external !== true),
  );
  const count = Object.keys(services).length + made.length;
  if (count <= applicationObjectsMax) return undefined;
  return `services, networks, volumes, secrets and configs are ${count} together, and an application has at most ${applicationObjectsMax}`;
}

function told<Loaded extends LoadedModel>(context: Context, loaded: Loaded): Loaded {
  if (loaded.warnings.length > 0) context.output.note(renderDiagnostics(loaded.warnings));
  return loaded;
}
