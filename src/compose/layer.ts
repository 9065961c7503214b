import { canonicalise } from './canonical.ts';
import { Diagnostics } from './diagnostic.ts';
import type { FileSystem } from './files.ts';
import { interpolate } from './interpolate.ts';
import { composeSchema } from './schema.ts';
import { childOf, mapValues, type SourceFile, type TreeNode } from './tree.ts';

/** The environment that each file was interpolated with: what it names is looked up there too. */
export type EnvironmentOfFiles = Map<SourceFile, ReadonlyMap<string, string>>;

/** What reading the files of one project needs. An included project has a context of its own. */
export interface LayerContext {
  fileSystem: FileSystem;
  environment: ReadonlyMap<string, string>;
  projectDirectory: string;
  workingDirectory: string;
  diagnostics: Diagnostics;
  /** Variables that have been warned of. */
  warned: Set<string>;
  /** Absolute paths of the files that include this one. */
  includedBy: readonly string[];
  /** Counts what all files of the application include, together. */
  includes: { count: number };
  environments: EnvironmentOfFiles;
  /** Variables stay as they are written, but where they name other files. */
  keepVariables?: boolean;
  /** Paths stay as they are written, or become relative to this directory. */
  keepPathsFrom?: string;
}

/** One document as a layer: interpolated and in canonical form, with paths relative to `directory`. */
export function readLayer(tree: TreeNode, directory: string, context: LayerContext): TreeNode {
  const { environment, diagnostics, warned } = context;
  const { keepVariables = false } = context;
  context.environments.set(tree.at.file, environment);
  // Where variables stay it is nobody's fault yet that one has no value.
  const complaints = keepVariables ? new Diagnostics() : diagnostics;
  const interpolated = mayHaveVariables(tree.at.file)
    ? interpolate(tree, (name) => environment.get(name), complaints, warned)
    : tree;
  const layer = keepVariables ? withFilesOf(tree, interpolated) : interpolated;
  return canonicalise(layer, composeSchema, {
    keepVariables,
    diagnostics,
    path: [],
    baseDirectory: directory,
    homeDirectory: environment.get('HOME'),
    ...(context.keepPathsFrom !== undefined && { keepPathsFrom: context.keepPathsFrom }),
  });
}

/** A dollar sign in quotes may also be written as an escape. */
function mayHaveVariables({ text }: SourceFile): boolean {
  return text.includes('$') || text.includes('\\');
}

/** The tree as it is written, with what names other files (`include` and `extends`) as it is interpolated. */
function withFilesOf(tree: TreeNode, interpolated: TreeNode): TreeNode {
  if (tree.kind !== 'map') return tree;
  return mapValues(tree, (value, key) => {
    const other = childOf(interpolated, key);
    if (key === 'include') return other;
    if (key !== 'services' || value.kind !== 'map') return value;
    return mapValues(value, (service, name) =>
      service.kind !== 'map'
        ? service
        : mapValues(service, (one, attribute) =>
            attribute === 'extends' ? childOf(childOf(other, name), attribute) : one,
          ),
    );
  });
}
