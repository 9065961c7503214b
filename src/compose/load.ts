import { posix } from 'node:path';
import type { ApplicationSpec } from '../spec/application.ts';
import { configBytesMax, secretBytesMax } from '../spec/defaults.ts';
import type { SeccompProfile } from '../spec/seccomp.ts';
import { ShoalError } from '../util/errors.ts';
import { isLarge, tellCirclesOf } from './circles.ts';
import { checkConsistency } from './consistency.ts';
import { Diagnostics, type Diagnostic } from './diagnostic.ts';
import { withoutEmptyTexts } from './empty-texts.ts';
import { openProject } from './open-project.ts';
import { checkResources } from './resources-checks.ts';
import { readSources, type InputFile, type Source } from './sources.ts';
import { systemFileSystem, type FileSystem } from './files.ts';
import type { EnvironmentOfFiles } from './layer.ts';
import { readProject } from './layers.ts';
import type { CanonicalModel, CanonicalService } from './model.ts';
import { normalise, withoutDefaults, type RawModel } from './normalise.ts';
import { profilesOf, selectProfiles } from './profiles.ts';
import { isProjectName, normaliseProjectName, projectNameOf, projectNameRule } from './project.ts';
import { fileContents, serviceEnvironments, serviceLabels } from './resolve.ts';
import { composeSchema } from './schema.ts';
import { onlyUsed, selectFrom } from './select.ts';
import { seccompProfiles } from './seccomp.ts';
import { toSpecs, type FileContents } from './specs.ts';
import { substitute } from './template.ts';
import { childOf, placeOf, textOf, toPlain, type Plain, type TreeNode } from './tree.ts';
import { validate } from './validate.ts';
import { tellVerdicts } from './verdict.ts';
import { variablesOf, type Variable } from './variables.ts';
import { normaliseWritten } from './written.ts';

/** Stands in for a name that cannot be told, which is an error. */
const unnamed = 'unnamed';

export interface LoadOptions {
  /** In the order in which they override one another. None: `COMPOSE_FILE`, or the default files, are looked for. */
  files: readonly InputFile[];
  /** What relative paths are relative to; the folder of the first file by default. */
  projectDirectory?: string;
  projectName?: string;
  /** The process's environment. */
  environment: Readonly<Record<string, string | undefined>>;
  /** Environment files for interpolation instead of `.env`; later ones win. */
  envFiles?: readonly string[];
  /** @default systemFileSystem */
  fileSystem?: FileSystem;
  /** Active profiles. None: those in `COMPOSE_PROFILES`. */
  profiles?: readonly string[];
  /** Services that are asked for by name: their profiles are active as well. */
  services?: readonly string[];
  /**
   * Whether the files that the application names are read: `all` of them must be there; with `environment` those that
   * hold secrets and configs may be missing, which is only warned of; with `none` none is read.
   * @default 'all'
   */
  reads?: 'all' | 'environment' | 'none';
  /** What file names are relative to. @default the process's */
  workingDirectory?: string;
  /** Paths stay as they are written, those of other files relative to the project directory. For a model to look at. */
  keepPaths?: boolean;
  /** What must hold between attributes is not checked. For a model to look at. */
  skipConsistency?: boolean;
}

export interface LoadedModel {
  /** The canonical Compose model: plain JSON, the same for files that mean the same. */
  canonical: CanonicalModel;
  /** Gives the same without the names, defaults and networks that nobody wrote. */
  merged: () => Plain;
  warnings: Diagnostic[];
  /** What files were interpolated with, by name. */
  environment: ReadonlyMap<string, string>;
  /** Every profile that a service names, active or not, sorted. */
  profiles: string[];
  /** What relative paths are relative to; absolute. */
  projectDirectory: string;
}

export interface LoadedApplication extends LoadedModel {
  application: ApplicationSpec;
}

/** What was read before anything is made of it. */
interface Project {
  name: string;
  tree: TreeNode;
  environment: Map<string, string>;
  environments: EnvironmentOfFiles;
  fileSystem: FileSystem;
  projectDirectory: string;
  diagnostics: Diagnostics;
}

/**
 * Reads Compose files as one application to be run: parsed, interpolated, merged, checked, made canonical and turned into
 * specs. Throws `invalid_file` with every error found as `details: Diagnostic[]` (show them with `renderDiagnostics`),
 * `not_supported` with the same when the files are right and all that is in the way is what Shoal does not run, or
 * `not_found` when no file is given and none is there.
 */
export async function loadApplication(options: LoadOptions): Promise<LoadedApplication> {
  const { model, contents } = await readModel(options, 'error');
  return { ...model, application: toSpecs(model.canonical, contents) };
}

/**
 * Reads Compose files as `loadApplication` does, but not to be run: what Shoal would refuse is a warning. Throws
 * `invalid_file` and `not_found` as that does.
 */
export async function loadModel(options: LoadOptions): Promise<LoadedModel> {
  return (await readModel(options, 'warning')).model;
}

async function readModel(
  options: LoadOptions,
  refusals: Diagnostic['severity'],
): Promise<{ model: LoadedModel; contents: FileContents }> {
  const project = await readFiles(options, { refusals });
  const { name, tree, environment, environments, fileSystem, projectDirectory, diagnostics } = project;
  // Of a large project each stage that finds something wrong is the last; of any other all that is wrong is told at once.
  const stagesMatter = isLarge(tree);
  const isOver = () => diagnostics.isFull() || (stagesMatter && diagnostics.hasErrors());
  if (stagesMatter && options.skipConsistency !== true) tellCirclesOf(tree, diagnostics);
  if (isOver()) throw failure(diagnostics);
  const { plain: whole, faulty, isComplete } = await validate(tree, diagnostics);
  if (!isComplete || isOver()) throw failure(diagnostics);
  warnOfVersion(tree, whole, diagnostics);
  const active = [...activeProfiles(options, environment), ...profilesOf(whole, options.services ?? [])];
  const plain = isSaid(whole, 'profiles') ? selectProfiles(whole, active, tree, diagnostics) : whole;
  const { reads = 'all' } = options;
  const resolve = { fileSystem, environment, environments, tree, diagnostics, projectDirectory };
  const variables = reads === 'none' ? new Map() : await serviceEnvironments(plain, resolve);
  const labels =
    reads === 'none' || !isSaid(plain, 'label_file') ? new Map() : await serviceLabels(plain, resolve);
  const model = normalise(plain, name, variables, labels, { environment, projectDirectory });
  if (options.skipConsistency !== true) {
    checkConsistency(model, tree, faulty, { diagnostics, profiles: () => profilesOf(whole) });
    if (!isOver()) checkResources(model, tree, diagnostics);
    if (isOver()) throw failure(diagnostics);
  }
  const canonical = onlyUsed(model);
  // The canonical model is plain data; its interfaces have no index signature that Plain could see.
  tellVerdicts(canonical as unknown as Plain, composeSchema, tree, diagnostics);
  const contents = {
    secrets: new Map<string, Uint8Array>(),
    configs: new Map<string, Uint8Array>(),
    seccomp: new Map<string, SeccompProfile>(),
  };
  if (reads !== 'none') {
    const severity = reads === 'all' ? 'error' : 'warning';
    contents.secrets = await fileContents('secrets', canonical, secretBytesMax, resolve, severity);
    contents.configs = await fileContents('configs', canonical, configBytesMax, resolve, severity);
    if (isSaid(canonical, 'security_opt')) {
      contents.seccomp = await seccompProfiles(canonical, resolve, severity);
    }
  }
  if (diagnostics.hasErrors()) throw failure(diagnostics);
  const merged = () => selectFrom(withoutDefaults(plain, name, variables, labels), canonical);
  const warnings = diagnostics.warnings();
  const profiles = profilesOf(whole);
  return { model: { canonical, merged, warnings, environment, profiles, projectDirectory }, contents };
}

/** Whether any service has the attribute. */
function isSaid({ services = {} }: RawModel, attribute: keyof CanonicalService): boolean {
  for (const key in services) if (services[key]![attribute] !== undefined) return true;
  return false;
}

/** An application as its files say it, merged into one, with its variables still in it. */
export interface WrittenApplication {
  /** Canonical as far as values without variables go, keys sorted; not checked. */
  written: Plain;
  variables: Variable[];
}

/** Reads Compose files without giving their variables values, and so without checking much. Throws as `loadApplication` does. */
export async function readWritten(options: LoadOptions): Promise<WrittenApplication> {
  const { name, tree, diagnostics } = await readFiles(options, { keepVariables: true });
  if (diagnostics.hasErrors()) throw failure(diagnostics);
  const written = normaliseWritten(toPlain(tree) as Record<string, Plain>, name);
  return { written, variables: variablesOf(tree) };
}

/** All files of the project as one tree. `keepVariables`: they are not replaced. */
async function readFiles(
  options: LoadOptions,
  how: { refusals?: Diagnostic['severity']; keepVariables?: boolean },
): Promise<Project> {
  const diagnostics = new Diagnostics(how.refusals);
  const opened = await openFiles(options, diagnostics);
  const { sources, environment, fileSystem, projectDirectory, workingDirectory } = opened;
  const name = projectName(options, opened, diagnostics) ?? unnamed; // why it has none is told with all that is wrong
  environment.set('COMPOSE_PROJECT_NAME', name);
  const environments: EnvironmentOfFiles = new Map();
  const tree = await readProject(sources, {
    fileSystem,
    environment,
    projectDirectory,
    workingDirectory,
    diagnostics,
    warned: new Set(),
    includedBy: [],
    includes: { count: 0 },
    environments,
    keepVariables: how.keepVariables ?? false,
    ...(options.keepPaths === true && { keepPathsFrom: projectDirectory }),
  });
  if (tree === undefined) throw failure(diagnostics);
  return {
    name,
    tree: withoutEmptyTexts(tree),
    environment,
    environments,
    fileSystem,
    projectDirectory,
    diagnostics,
  };
}

/** What the files are, parsed and with nothing made of them. */
interface OpenedFiles {
  sources: Source[];
  environment: Map<string, string>;
  fileSystem: FileSystem;
  projectDirectory: string;
  workingDirectory: string;
}

async function openFiles(options: LoadOptions, diagnostics: Diagnostics): Promise<OpenedFiles> {
  const fileSystem = cached(options.fileSystem ?? systemFileSystem);
  const workingDirectory = posix.resolve(options.workingDirectory ?? '.');
  const given = { ...options, fileSystem, workingDirectory };
  const { inputs, projectDirectory, environment } = await openProject(given, diagnostics);
  const sources = await readSources(inputs, fileSystem, workingDirectory, diagnostics);
  return { sources, environment, fileSystem, projectDirectory, workingDirectory };
}

/**
 * The name of the application that Compose files are about, and its directory (absolute), for what needs no more: neither their
 * variables nor the files that they name have to be there. Throws `invalid_file` and `not_found` as `loadApplication` does.
 */
export async function loadProjectPlace(options: LoadOptions): Promise<{ name: string; directory: string }> {
  const diagnostics = new Diagnostics();
  const opened = await openFiles(options, diagnostics);
  const name = projectName(options, opened, diagnostics);
  if (diagnostics.hasErrors()) throw failure(diagnostics);
  if (name !== undefined) return { name, directory: opened.projectDirectory };
  throw new ShoalError('invalid_file', 'Cannot tell the application: variables of its name have no value', {
    next: 'Give them values, or name the application with -p NAME.',
  });
}

/** The error that carries everything found. */
function failure(diagnostics: Diagnostics): ShoalError {
  const errors = diagnostics.errors();
  const first = errors[0]?.file ?? '';
  const count = errors.length === 1 ? 'one error' : `${errors.length} errors`;
  if (errors.length > 0 && errors.every(({ refused }) => refused)) {
    const places = errors.length === 1 ? 'one place asks' : `${errors.length} places ask`;
    return new ShoalError('not_supported', `Cannot run ${first}: ${places} for what Shoal does not do`, {
      details: [...errors, ...diagnostics.warnings()],
      next: 'Change the places shown; shoal config prints the application all the same.',
    });
  }
  return new ShoalError('invalid_file', `Cannot read ${first === '' ? 'the application' : first}: ${count}`, {
    details: [...errors, ...diagnostics.warnings()],
    next: 'Correct the places shown; shoal config checks a file without changing anything.',
  });
}

/** Those that are asked for; without any, those in the environment. */
function activeProfiles({ profiles = [] }: LoadOptions, environment: ReadonlyMap<string, string>): string[] {
  const named = (environment.get('COMPOSE_PROFILES') ?? '').split(',').map((part) => part.trim());
  return (profiles.length > 0 ? [...profiles] : named).filter((profile) => profile !== '');
}

/**
 * The project's name: as asked, from the environment, from the last file that says it, or from the folder. Undefined when
 * variables in it have no value, which is told by whoever reads the rest of the file.
 */
function projectName(
  options: LoadOptions,
  { sources, environment, projectDirectory }: OpenedFiles,
  diagnostics: Diagnostics,
): string | undefined {
  const fromEnvironment = environment.get('COMPOSE_PROJECT_NAME');
  const asked = options.projectName ?? (fromEnvironment === '' ? undefined : fromEnvironment);
  if (asked !== undefined && isProjectName(asked)) return asked;
  if (asked !== undefined) {
    const where = options.projectName === undefined ? ' (from COMPOSE_PROJECT_NAME)' : '';
    const said = `${JSON.stringify(asked)}${where} is not a project name`;
    diagnostics.error(undefined, [], said, `it must be ${projectNameRule}`);
    return unnamed;
  }
  const said = sources.flatMap(({ trees }) =>
    trees.map((tree) => ({ tree, text: textOf(childOf(tree, 'name')) ?? '' })),
  );
  const last = said.findLast(({ text }) => text !== '');
  if (last === undefined) return folderName(projectDirectory, diagnostics);
  const result = substitute(
    last.text,
    (name) => environment.get(name),
    () => undefined,
  );
  if (!('value' in result)) return undefined;
  const name = normaliseProjectName(result.value);
  if (name !== '') return name;
  diagnostics.error(
    placeOf(last.tree, ['name']),
    ['name'],
    'the project name is empty',
    `it must be ${projectNameRule}`,
  );
  return unnamed;
}

function folderName(projectDirectory: string, diagnostics: Diagnostics): string {
  const name = projectNameOf(projectDirectory);
  if (name === '') {
    diagnostics.error(
      undefined,
      [],
      'the folder gives no project name',
      'add name: NAME at the top of the file',
    );
  }
  return name === '' ? unnamed : name;
}

function warnOfVersion(tree: TreeNode, plain: RawModel, diagnostics: Diagnostics): void {
  if (plain.version === undefined) return;
  diagnostics.warning(
    placeOf(tree, ['version']),
    ['version'],
    'version is obsolete and means nothing',
    'leave it out',
  );
}

/** Reads each file once, however many services name it. */
function cached(fileSystem: FileSystem): FileSystem {
  const contents = new Map<string, Promise<Uint8Array>>();
  return {
    exists: (path) => fileSystem.exists(path),
    readFile: (path, bytesMax) => {
      const key = `${bytesMax} ${path}`;
      const known = contents.get(key) ?? fileSystem.readFile(path, bytesMax);
      contents.set(key, known);
      return known;
    },
  };
}
