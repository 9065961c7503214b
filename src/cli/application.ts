import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { loadApplication, renderDiagnostics, type LoadedApplication } from '../compose/load.ts';
import { ShoalError } from '../util/errors.ts';
import type { Context, ParsedArguments } from './command.ts';

const fileSystem = {
  readFile: (path: string) => readFile(path),
  exists: (path: string) =>
    stat(path).then(
      () => true,
      () => false,
    ),
};

/** Default file names, in the order they are looked for, in the folder and then in its parents. */
const defaultFiles = ['compose.yaml', 'compose.yml', 'docker-compose.yml', 'docker-compose.yaml'];

async function findDefaultFile(from: string): Promise<string | undefined> {
  for (let folder = from; ; folder = dirname(folder)) {
    for (const name of defaultFiles) {
      const path = resolve(folder, name);
      if (await fileSystem.exists(path)) return path;
    }
    if (dirname(folder) === folder) return undefined;
  }
}

async function readStandardInput(): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/**
 * Reads the application the arguments name. Throws `invalid_file` with all that is wrong as its message; warnings go to
 * the output.
 */
export async function readApplication(context: Context, parsed: ParsedArguments): Promise<LoadedApplication> {
  const given = parsed.values('file');
  const listed = given.length > 0 ? given : (context.environment['COMPOSE_FILE']?.split(':') ?? []);
  const found = listed.length > 0 ? listed : [await findDefaultFile(context.workingDirectory)];
  const files = found.filter((file) => file !== undefined);
  if (files.length === 0) {
    throw new ShoalError(
      'not_found',
      `Cannot find a Compose file in ${context.workingDirectory} or above it`,
      {
        next: `Name one with -f, or make ${defaultFiles[0]}.`,
      },
    );
  }
  const loaded = await loadApplication({
    files: await Promise.all(
      files.map(async (path) =>
        path === '-'
          ? { path: '-', content: await readStandardInput() }
          : { path: resolve(context.workingDirectory, path) },
      ),
    ),
    projectName: parsed.value('project-name'),
    projectDirectory: parsed.value('project-directory'),
    envFiles: parsed.values('env-file').map((path) => resolve(context.workingDirectory, path)),
    environment: context.environment,
    workingDirectory: context.workingDirectory,
    fileSystem,
  });
  if (loaded.warnings.length > 0) context.output.note(renderDiagnostics(loaded.warnings));
  return loaded;
}
