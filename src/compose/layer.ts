import { canonicalise } from './canonical.ts';
import type { Diagnostics } from './diagnostic.ts';
import type { FileSystem } from './files.ts';
import { interpolate } from './interpolate.ts';
import { composeSchema } from './schema.ts';
import type { TreeNode } from './tree.ts';

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
}

/** One document as a layer: interpolated and in canonical form, with paths relative to `directory`. */
export function readLayer(tree: TreeNode, directory: string, context: LayerContext): TreeNode {
  const { environment, diagnostics, warned } = context;
  const interpolated = interpolate(tree, (name) => environment.get(name), diagnostics, warned);
  return canonicalise(interpolated, composeSchema, {
    diagnostics,
    path: [],
    baseDirectory: directory,
    homeDirectory: environment.get('HOME'),
  });
}
