import { loadApplication, type LoadedApplication, type LoadOptions } from '../compose/load.ts';
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

/**
 * Reads the application that the arguments name. Throws `invalid_file` with all that is wrong in its details; warnings go
 * to the output.
 */
export async function readApplication(
  context: Context,
  parsed: ParsedArguments,
  reads: LoadOptions['reads'] = 'all',
): Promise<LoadedApplication> {
  const loaded = await loadApplication({ ...(await loadOptions(context, parsed)), reads });
  if (loaded.warnings.length > 0) context.output.note(renderDiagnostics(loaded.warnings));
  return loaded;
}
