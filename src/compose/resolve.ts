import { ShoalError } from '../util/errors.ts';
import { posix } from 'node:path';
import type { Diagnostics } from './diagnostic.ts';
import { readEnvironmentFile } from './environment.ts';
import type { FileSystem } from './files.ts';
import type { EnvironmentOfFiles } from './layer.ts';
import type { CanonicalFile, CanonicalModel, CanonicalService } from './model.ts';
import type { EnvironmentOfServices, LabelsOfServices, RawModel } from './normalise.ts';
import { newTable, placeOf, type PathSegment, type TreeNode } from './tree.ts';

/** What reading the files that an application names needs. */
export interface ResolveContext {
  fileSystem: FileSystem;
  /** The environment of the project. */
  environment: ReadonlyMap<string, string>;
  /** The environment of each file: an included one has its own. */
  environments: EnvironmentOfFiles;
  /** Where the model was said. */
  tree: TreeNode;
  diagnostics: Diagnostics;
  projectDirectory: string;
}

/** The environment of the file that says what is at this path. */
function environmentAt(
  { tree, environment, environments }: ResolveContext,
  path: readonly PathSegment[],
): ReadonlyMap<string, string> {
  return environments.get(placeOf(tree, path).file) ?? environment;
}

/** A path of the model, absolute or relative to the project directory, as it is opened and as it is shown. */
function pathsOf(path: string, projectDirectory: string): { path: string; shownPath: string } {
  const absolute = posix.resolve(projectDirectory, path);
  return { path: absolute, shownPath: posix.relative(projectDirectory, absolute) };
}

/**
 * The environment of each service that has one: its environment files, the later over the earlier, and over them its
 * `environment`, where a name without a value takes the project's value, or stays unset (null).
 */
export async function serviceEnvironments(
  model: RawModel,
  context: ResolveContext,
): Promise<EnvironmentOfServices> {
  const environments = new Map<string, Record<string, string | null>>();
  const services = model.services ?? {};
  for (const key of Object.keys(services)) {
    const service = services[key]!;
    const { environment, env_file: files } = service;
    if (environment === undefined && files === undefined) continue;
    const own = ownEnvironment(key, environment ?? {}, context);
    const read = files === undefined ? [] : await environmentOfFiles(key, files, own, context);
    const all = newTable<string | null>();
    for (const [name, value] of read) all[name] = value;
    environments.set(key, Object.assign(all, own));
  }
  return environments;
}

function ownEnvironment(
  key: string,
  environment: Record<string, string | null>,
  context: ResolveContext,
): Record<string, string | null> {
  const own = newTable<string | null>();
  for (const name of Object.keys(environment)) {
    const outside = () => environmentAt(context, ['services', key, 'environment', name]).get(name);
    own[name] = environment[name] ?? outside() ?? null;
  }
  return own;
}

async function environmentOfFiles(
  key: string,
  files: NonNullable<CanonicalService['env_file']>,
  own: Readonly<Record<string, string | null>>,
  context: ResolveContext,
): Promise<Map<string, string | null>> {
  const { fileSystem, tree, diagnostics, projectDirectory } = context;
  const read = new Map<string, string | null>();
  for (const [index, file] of files.entries()) {
    const path = ['services', key, 'env_file', index, 'path'];
    const environment = environmentAt(context, path);
    const values = await readEnvironmentFile(
      {
        fileSystem,
        ...pathsOf(file.path, projectDirectory),
        raw: file.format === 'raw',
        lookup: (name) => environment.get(name) ?? own[name] ?? undefined,
        earlier: (name) => read.get(name) ?? undefined,
        required: file.required ?? true,
      },
      diagnostics,
      placeOf(tree, path),
    );
    for (const [name, value] of values) read.set(name, value);
  }
  return read;
}

/** The labels of each service that has label files: those of the files, the later over the earlier, and its own over them. */
export async function serviceLabels(model: RawModel, context: ResolveContext): Promise<LabelsOfServices> {
  const { fileSystem, tree, diagnostics, projectDirectory } = context;
  const labels = new Map<string, Record<string, string>>();
  const services = model.services ?? {};
  for (const key of Object.keys(services)) {
    const service = services[key]!;
    if (service.label_file === undefined) continue;
    const read = new Map<string, string>();
    for (const [index, path] of service.label_file.entries()) {
      const where = ['services', key, 'label_file', index];
      const options = {
        fileSystem,
        ...pathsOf(path, projectDirectory),
        raw: false,
        // As compose-go has it: variables in label files are those of the label files before.
        lookup: (name: string) => read.get(name),
        earlier: () => undefined,
        required: true,
      };
      const at = placeOf(tree, where);
      for (const [name, value] of await readEnvironmentFile(options, diagnostics, at)) read.set(name, value);
    }
    labels.set(key, Object.fromEntries([...read, ...Object.entries(service.labels ?? {})]));
  }
  return labels;
}

/**
 * The content of all secrets or configs of the application's own: from files, variables or the Compose file itself. What cannot be read is
 * reported with this severity and left out.
 */
export async function fileContents(
  kind: 'secrets' | 'configs',
  model: CanonicalModel,
  bytesMax: number,
  context: ResolveContext,
  severity: 'error' | 'warning',
): Promise<Map<string, Uint8Array>> {
  const contents = new Map<string, Uint8Array>();
  for (const [key, entry] of Object.entries(model[kind] ?? {})) {
    if (entry.external === true) continue;
    const path = [kind, key, entry.file === undefined ? 'environment' : 'file'];
    const complain = (message: string, hint: string) => {
      context.diagnostics[severity](placeOf(context.tree, path), path, message, hint);
    };
    const environment = environmentAt(context, path);
    const content = await contentOf(entry, bytesMax, { ...context, environment }, complain);
    if (content !== undefined && content.length > bytesMax) {
      complain(`the content has ${content.length} bytes`, `at most ${bytesMax} bytes fit`);
    } else if (content !== undefined) contents.set(key, content);
  }
  return contents;
}

async function contentOf(
  entry: CanonicalFile,
  bytesMax: number,
  { fileSystem, environment, projectDirectory }: ResolveContext,
  complain: (message: string, hint: string) => void,
): Promise<Uint8Array | undefined> {
  if (entry.content !== undefined) return Buffer.from(entry.content);
  if (entry.environment !== undefined) {
    const value = environment.get(entry.environment);
    if (value !== undefined) return Buffer.from(value);
    complain(
      `the variable ${entry.environment} is not set`,
      `set ${entry.environment} in the environment or in .env`,
    );
    return undefined;
  }
  if (entry.file === undefined) return undefined;
  try {
    return await fileSystem.readFile(posix.resolve(projectDirectory, entry.file), bytesMax);
  } catch (error) {
    if (!(error instanceof ShoalError)) throw error;
    complain(
      error.message.slice(0, 1).toLowerCase() + error.message.slice(1),
      'name a file that can be read',
    );
    return undefined;
  }
}
