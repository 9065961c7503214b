import {
  loadApplication,
  loadModel,
  type LoadedApplication,
  type LoadedModel,
  type LoadOptions,
} from '../compose/load.ts';
import { renderDiagnostics } from '../compose/diagnostic.ts';
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
  return told(context, await loadApplication({ ...(await loadOptions(context, parsed)), ...how }));
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
  return told(context, await loadModel({ ...(await loadOptions(context, parsed)), ...how }));
}

function told<Loaded extends LoadedModel>(context: Context, loaded: Loaded): Loaded {
  if (loaded.warnings.length > 0) context.output.note(renderDiagnostics(loaded.warnings));
  return loaded;
}
