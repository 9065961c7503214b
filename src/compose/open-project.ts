import { posix } from 'node:path';
import { ShoalError } from '../util/errors.ts';
import type { Diagnostics } from './diagnostic.ts';
import { projectEnvironment } from './environment.ts';
import type { FileSystem } from './files.ts';
import { findDefaultFiles, type InputFile } from './sources.ts';

/** What is given on the command line and around it. */
interface Given {
  files: readonly InputFile[];
  projectDirectory?: string;
  environment: Readonly<Record<string, string | undefined>>;
  envFiles?: readonly string[];
  fileSystem: FileSystem;
  workingDirectory: string;
}

interface OpenedProject {
  inputs: readonly InputFile[];
  /** Absolute. */
  projectDirectory: string;
  /** What files are interpolated with. */
  environment: Map<string, string>;
}

/**
 * Finds the files of a project, its directory and its environment. `.env` is read where the command runs first, because
 * it may say which files there are (`COMPOSE_FILE`), and then beside those files; what was said first stands. Throws
 * `not_found` when there is no file.
 */
export async function openProject(given: Given, diagnostics: Diagnostics): Promise<OpenedProject> {
  const { files, fileSystem, workingDirectory } = given;
  const startDirectory = projectDirectoryOf(given, files);
  const readEnvironment = (environment: Given['environment'], projectDirectory: string) =>
    projectEnvironment({ ...given, environment, envFiles: given.envFiles, projectDirectory }, diagnostics);
  let environment = await readEnvironment(given.environment, startDirectory);
  const inputs =
    files.length > 0
      ? files
      : (namedFiles(environment) ??
        (await findDefaultFiles(fileSystem, startDirectory, workingDirectory, diagnostics)));
  if (inputs.length === 0) {
    throw new ShoalError('not_found', 'Cannot find a Compose file: there is no compose.yaml here or above', {
      next: 'Name one with -f FILE.',
    });
  }
  const projectDirectory = projectDirectoryOf(given, inputs);
  if (projectDirectory !== startDirectory) {
    environment = await readEnvironment(Object.fromEntries(environment), projectDirectory);
  }
  return { inputs, projectDirectory, environment };
}

/** The directory asked for, else that of the first file that has one, else the working directory. */
function projectDirectoryOf(
  { projectDirectory, workingDirectory }: Given,
  inputs: readonly InputFile[],
): string {
  if (projectDirectory !== undefined) return posix.resolve(workingDirectory, projectDirectory);
  const first = inputs.find((input) => 'path' in input);
  return first === undefined ? workingDirectory : posix.dirname(posix.resolve(workingDirectory, first.path));
}

/** The files in `COMPOSE_FILE`. */
function namedFiles(environment: ReadonlyMap<string, string>): InputFile[] | undefined {
  const separator = environment.get('COMPOSE_PATH_SEPARATOR') || ':';
  const named = (environment.get('COMPOSE_FILE') ?? '').split(separator).filter((path) => path !== '');
  return named.length === 0 ? undefined : named.map((path) => ({ path }));
}
