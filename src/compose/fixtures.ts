import { expect } from 'vitest';
import { ShoalError } from '../util/errors.ts';
import type { Diagnostic } from './diagnostic.ts';
import type { FileSystem } from './files.ts';
import {
  loadApplication,
  loadModel,
  type LoadedApplication,
  type LoadedModel,
  type LoadOptions,
} from './load.ts';

/** Files in memory, for tests. Paths are absolute. */
export function memoryFiles(files: Record<string, string | Uint8Array>): FileSystem {
  const find = (path: string) => (Object.hasOwn(files, path) ? files[path] : undefined);
  return {
    exists: (path) => Promise.resolve(find(path) !== undefined),
    readFile: (path, bytesMax) => {
      const content = find(path);
      if (content === undefined) {
        return Promise.reject(new ShoalError('not_found', `Cannot read ${path}: there is no such file`));
      }
      const bytes = typeof content === 'string' ? Buffer.from(content) : content;
      return bytes.length > bytesMax
        ? Promise.reject(new ShoalError('resource_exhausted', `Cannot read ${path}: it is too large`))
        : Promise.resolve(bytes);
    },
  };
}

type Given = Partial<Omit<LoadOptions, 'fileSystem'>> & { disk?: Record<string, string | Uint8Array> };

/** Loads `compose.yaml` with this text in the folder /app, or the files given. */
export function load(text: string, given: Given = {}): Promise<LoadedApplication> {
  return loadApplication(optionsOf(text, given));
}

/** The same, not to be run. */
export function loadPrinted(text: string, given: Given = {}): Promise<LoadedModel> {
  return loadModel(optionsOf(text, given));
}

function optionsOf(text: string, { disk, ...options }: Given): LoadOptions {
  return {
    files: [{ path: 'compose.yaml' }],
    environment: {},
    workingDirectory: '/app',
    ...options,
    fileSystem: memoryFiles({ '/app/compose.yaml': text, ...disk }),
  };
}

/** The diagnostics with which loading is refused; fails when it is not refused. */
export async function faultsOf(text: string, given: Given = {}): Promise<Diagnostic[]> {
  try {
    await load(text, given);
  } catch (error) {
    if (error instanceof ShoalError && ['invalid_file', 'not_supported'].includes(error.code)) {
      return (error.details as Diagnostic[]).filter(({ severity }) => severity === 'error');
    }
    throw error;
  }
  throw new ShoalError('internal', `Cannot find anything wrong with:\n${text}`);
}

/** One line a diagnostic: `LINE:COL PATH: MESSAGE; HINT`. */
export function summary(diagnostics: readonly Diagnostic[]): string[] {
  return diagnostics.map(
    ({ line, column, path, message, hint }) =>
      `${line}:${column} ${path}: ${message}${hint === '' ? '' : `; ${hint}`}`,
  );
}

/** Expects what is said, and that attributes that are said to be `undefined` are not there. */
export function expectAttributes(actual: object | undefined, expected: object): void {
  const entries = Object.entries(expected);
  const absent = entries.filter(([, value]) => value === undefined).map(([name]) => name);
  expect(actual).toMatchObject(Object.fromEntries(entries.filter(([name]) => !absent.includes(name))));
  for (const name of absent) expect(actual).not.toHaveProperty(name);
}
