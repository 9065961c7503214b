import { posix } from 'node:path';
import type { Diagnostics } from './diagnostic.ts';
import { projectEnvironment } from './environment.ts';
import { resolveExtends } from './extends.ts';
import { readLayer, type LayerContext } from './layer.ts';
import { mergeTrees, withoutTags } from './merge.ts';
import { composeSchema } from './schema.ts';
import { readSources, type Source } from './sources.ts';
import { childOf, mapValues, scalar, textOf, toPlain, type TreeNode } from './tree.ts';

const includeDepthMax = 20;
const includesMax = 500;

/**
 * All files of a project as one canonical tree: each document of each file in turn, over what it includes, with its
 * services' `extends` resolved, over what came before. Undefined when there is no document.
 */
export async function readProject(
  sources: readonly Source[],
  context: LayerContext,
): Promise<TreeNode | undefined> {
  const { diagnostics } = context;
  let project: TreeNode | undefined;
  for (const source of sources) {
    for (const tree of source.trees) {
      const layer = readLayer(tree, context.projectDirectory, context);
      const over = await resolveExtends(await withIncludes(layer, source, context), source, context);
      if (project !== undefined) project = mergeTrees(project, over, composeSchema, diagnostics);
      else project = mayHaveTags(context) ? withoutTags(over) : over;
    }
  }
  return project;
}

/** Whether any file that has been read could have a tag; nearly none has. */
function mayHaveTags({ environments }: LayerContext): boolean {
  for (const { text } of environments.keys()) if (text.includes('!')) return true;
  return false;
}

/**
 * The layer over what it includes, where of several includes each lies over those after it (as compose-go has it). Its
 * services can extend included ones.
 */
async function withIncludes(layer: TreeNode, source: Source, context: LayerContext): Promise<TreeNode> {
  const entries = childOf(layer, 'include');
  if (entries?.kind !== 'list') return layer;
  let all: TreeNode | undefined;
  for (const entry of entries.items) {
    const included = await readInclude(entry, source, context);
    if (included === undefined) continue;
    if (all !== undefined) warnOfConflicts(all, included, context.diagnostics);
    all = all === undefined ? included : mergeTrees(included, all, composeSchema, context.diagnostics);
  }
  return all === undefined ? layer : mergeTrees(all, layer, composeSchema, context.diagnostics, [], true);
}

/** An included project: its own directory, its own environment, and of what it says only the resources. */
async function readInclude(
  entry: TreeNode,
  source: Source,
  context: LayerContext,
): Promise<TreeNode | undefined> {
  const { diagnostics, includedBy, workingDirectory, fileSystem } = context;
  const paths = texts(childOf(entry, 'path'));
  const [first] = paths;
  if (first === undefined) return undefined; // the schema says what is wrong with it
  const stack = [...includedBy, posix.resolve(workingDirectory, source.file.name)];
  const again = paths.find((path) => stack.includes(path));
  context.includes.count += paths.length;
  if (again !== undefined || stack.length > includeDepthMax || context.includes.count > includesMax) {
    const names = [...stack, again ?? ''].map((path) => posix.relative(workingDirectory, path));
    const why =
      again === undefined
        ? 'too many files are included'
        : `the files include each other: ${names.join(' -> ')}`;
    diagnostics.error(entry.at, ['include'], why, 'include each file once');
    return undefined;
  }
  const projectDirectory = textOf(childOf(entry, 'project_directory')) ?? posix.dirname(first);
  const environment = await includedEnvironment(entry, projectDirectory, context);
  const inputs = paths.map((path) => ({ path: posix.relative(workingDirectory, path), at: entry.at }));
  const sources = await readSources(inputs, fileSystem, workingDirectory, diagnostics);
  const project = await readProject(sources, {
    ...context,
    environment,
    projectDirectory,
    includedBy: stack,
  });
  return project === undefined ? undefined : resourcesOf(project, shownDirectory(projectDirectory, context));
}

function texts(node: TreeNode | undefined): string[] {
  if (node?.kind !== 'list') return [];
  return node.items.map(textOf).filter((text) => text !== undefined);
}

/** The parent's environment wins over the include's own files; without any it is `.env` beside the included file. */
async function includedEnvironment(
  entry: TreeNode,
  projectDirectory: string,
  context: LayerContext,
): Promise<ReadonlyMap<string, string>> {
  const said = childOf(entry, 'env_file');
  const named = texts(said).length === 0 ? undefined : said; // an empty list is as none
  const files = texts(named).filter((path) => path !== '/dev/null');
  if (named !== undefined && files.length === 0) return context.environment;
  return projectEnvironment(
    {
      fileSystem: context.fileSystem,
      environment: Object.fromEntries(context.environment),
      envFiles: named === undefined ? [] : files,
      projectDirectory,
      workingDirectory: context.workingDirectory,
      ...(named === undefined ? {} : { at: named.at }),
    },
    context.diagnostics,
  );
}

const resourceKinds = ['services', 'networks', 'volumes', 'secrets', 'configs'];

/**
 * The resources alone, with services that are over their bases already and are built in their own project's directory:
 * what else the included project says is its own affair.
 */
function resourcesOf(project: TreeNode, directory: string): TreeNode {
  if (project.kind !== 'map') return project;
  const included = (service: TreeNode) =>
    service.kind === 'map'
      ? mapValues(service, (value, key) => {
          if (key === 'extends' && isResolved(value)) return undefined;
          return key === 'build' ? withContext(value, directory) : value;
        })
      : service;
  return mapValues(project, (value, kind) => {
    if (!resourceKinds.includes(kind)) return undefined;
    return kind === 'services' && value.kind === 'map' ? mapValues(value, included) : value;
  });
}

/** The directory as paths in it are shown: absolute, or as seen from where they stay as they are written. */
function shownDirectory(directory: string, { keepPathsFrom }: LayerContext): string {
  return keepPathsFrom === undefined ? directory : posix.relative(keepPathsFrom, directory) || '.';
}

function withContext(build: TreeNode, directory: string): TreeNode {
  if (build.kind !== 'map' || build.entries.has('context')) return build;
  const { at } = build;
  const entries = new Map(build.entries).set('context', { keyAt: at, value: scalar(at, directory) });
  return { ...build, entries };
}

/** Whether nothing is wrong with an `extends`, so that nobody needs to see it again. */
function isResolved(node: TreeNode): boolean {
  if (node.kind !== 'map') return false;
  return [...node.entries].every(([key, { value }]) => ['service', 'file'].includes(key) && textOf(value));
}

/** Tells where two includes say different things about one resource. */
function warnOfConflicts(earlier: TreeNode, later: TreeNode, diagnostics: Diagnostics): void {
  for (const kind of resourceKinds) {
    const [before, after] = [childOf(earlier, kind), childOf(later, kind)];
    if (before?.kind !== 'map' || after?.kind !== 'map') continue;
    for (const [key, entry] of after.entries) {
      const other = before.entries.get(key);
      if (
        other === undefined ||
        JSON.stringify(toPlain(other.value)) === JSON.stringify(toPlain(entry.value))
      ) {
        continue;
      }
      diagnostics.warning(
        entry.keyAt,
        [kind, key],
        `${other.keyAt.file.name} is included before and has another ${key} under ${kind}, which lies over this one`,
        'give one of them another name if they are not the same',
      );
    }
  }
}
