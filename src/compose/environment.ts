import { posix } from 'node:path';
import { ShoalError } from '../util/errors.ts';
import type { Diagnostics } from './diagnostic.ts';
import { environmentFileBytesMax, parseDotenv, parseRawEnvironment, type DotenvResult } from './dotenv.ts';
import type { FileSystem } from './files.ts';
import type { Lookup } from './template.ts';
import type { Position, SourceFile } from './tree.ts';

/** Reads a UTF-8 text file; undefined, and an error reported, when that cannot be done. */
export async function readText(
  fileSystem: FileSystem,
  path: string,
  bytesMax: number,
  complain: (message: string) => void,
): Promise<string | undefined> {
  try {
    const content = await fileSystem.readFile(path, bytesMax);
    if (/^(?:\xff\xfe|\xfe\xff)/u.test(Buffer.from(content.subarray(0, 2)).toString('latin1'))) {
      complain(`${path} is UTF-16 text, and must be UTF-8`);
      return undefined;
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch (error) {
    if (!(error instanceof ShoalError) && !(error instanceof TypeError)) throw error;
    complain(error instanceof ShoalError ? lowerFirst(error.message) : `${path} is not UTF-8 text`);
    return undefined;
  }
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

/** Reads one environment file; `at` is the place that named it, for the complaint when it cannot be read. */
export async function readEnvironmentFile(
  options: {
    fileSystem: FileSystem;
    path: string;
    shownPath: string;
    raw: boolean;
    lookup: Lookup;
    /** What the files before this one say. */
    earlier: Lookup;
    required: boolean;
  },
  diagnostics: Diagnostics,
  at: Position | undefined,
): Promise<ReadonlyMap<string, string>> {
  const { fileSystem, path, shownPath, raw, lookup, earlier, required } = options;
  if (!required && !(await fileSystem.exists(path))) return new Map();
  const text = await readText(fileSystem, path, environmentFileBytesMax, (message) =>
    diagnostics.error(at, [], message, 'name a file that can be read'),
  );
  if (text === undefined) return new Map();
  const result = raw ? parseRawEnvironment(text, lookup) : parseDotenv(text, lookup, earlier);
  reportDotenv({ name: shownPath, text }, result, diagnostics);
  return result.values;
}

function reportDotenv(file: SourceFile, result: DotenvResult, diagnostics: Diagnostics): void {
  const starts = [0];
  for (let index = file.text.indexOf('\n'); index >= 0; index = file.text.indexOf('\n', index + 1)) {
    starts.push(index + 1);
  }
  for (const { line, message, hint } of result.faults) {
    diagnostics.error({ file, offset: starts[line - 1] ?? 0 }, [], message, hint);
  }
  for (const name of result.unset) {
    diagnostics.warning({ file, offset: 0 }, [], `the variable ${name} is not set, so it stands for nothing`);
  }
}

/**
 * The environment in which files are interpolated: the process's own, then environment files, of which later ones win.
 * Without named files it is `.env` in the project directory, if there is one.
 */
export async function projectEnvironment(
  options: {
    fileSystem: FileSystem;
    environment: Readonly<Record<string, string | undefined>>;
    envFiles: readonly string[] | undefined;
    projectDirectory: string;
    workingDirectory: string;
    /** What names the files, when a Compose file does. */
    at?: Position;
  },
  diagnostics: Diagnostics,
): Promise<Map<string, string>> {
  const { fileSystem, environment, projectDirectory, workingDirectory } = options;
  const own = new Map<string, string>();
  for (const [name, value] of Object.entries(environment)) if (value !== undefined) own.set(name, value);
  const named = options.envFiles ?? splitList(own.get('COMPOSE_ENV_FILES'));
  const isDisabled = readSwitch('COMPOSE_DISABLE_ENV_FILE', own, diagnostics);
  const files: readonly string[] =
    named.length > 0 ? named : isDisabled ? [] : [posix.join(projectDirectory, '.env')];
  const read = new Map<string, string>();
  for (const file of files) {
    const values = await readEnvironmentFile(
      {
        fileSystem,
        path: posix.resolve(workingDirectory, file),
        shownPath: named.length > 0 ? file : '.env',
        raw: false,
        lookup: (name) => own.get(name),
        earlier: (name) => read.get(name),
        required: named.length > 0,
      },
      diagnostics,
      options.at,
    );
    for (const [name, value] of values) read.set(name, value);
  }
  return new Map([...read, ...own]);
}

/** A variable that is true or false, as Go reads it. */
function readSwitch(
  name: string,
  environment: ReadonlyMap<string, string>,
  diagnostics: Diagnostics,
): boolean {
  const value = environment.get(name) ?? '';
  if (/^(?:1|t|T|true|True|TRUE)$/u.test(value)) return true;
  if (!/^(?:0|f|F|false|False|FALSE)?$/u.test(value)) {
    diagnostics.error(undefined, [], `${name} is ${JSON.stringify(value)}`, 'make it true or false');
  }
  return false;
}

function splitList(text: string | undefined): string[] {
  return (text ?? '').split(',').filter((part) => part !== '');
}
