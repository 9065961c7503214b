import { loadApplication, type LoadedApplication } from '../compose/load.ts';
import { renderDiagnostics } from '../compose/diagnostic.ts';
import type { Context, ParsedArguments } from './command.ts';

async function readStandardInput(): Promise<string> {
  return Buffer.concat((await Array.fromAsync(process.stdin)) as Buffer[]).toString();
}

/**
 * Reads the application that the arguments name. Throws `invalid_file` with all that is wrong in its details; warnings go
 * to the output.
 */
export async function readApplication(context: Context, parsed: ParsedArguments): Promise<LoadedApplication> {
  const loaded = await loadApplication({
    files: await Promise.all(
      parsed
        .values('file')
        .map(async (path) => (path === '-' ? { content: await readStandardInput() } : { path })),
    ),
    projectName: parsed.value('project-name'),
    projectDirectory: parsed.value('project-directory'),
    envFiles: parsed.values('env-file').length > 0 ? parsed.values('env-file') : undefined,
    environment: context.environment,
    workingDirectory: context.workingDirectory,
  });
  if (loaded.warnings.length > 0) context.output.note(renderDiagnostics(loaded.warnings));
  return loaded;
}
