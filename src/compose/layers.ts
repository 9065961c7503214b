import { canonicalise } from './canonical.ts';
import type { Diagnostics } from './diagnostic.ts';
import { interpolate } from './interpolate.ts';
import { mergeTrees, withoutTags } from './merge.ts';
import { composeSchema } from './schema.ts';
import type { Source } from './sources.ts';
import type { TreeNode } from './tree.ts';

export interface LayerContext {
  environment: ReadonlyMap<string, string>;
  projectDirectory: string;
  diagnostics: Diagnostics;
}

/** Each document of each file as a layer: interpolated and in canonical form, lowest first. */
export function readLayers(sources: readonly Source[], context: LayerContext): TreeNode[] {
  const { environment, projectDirectory, diagnostics } = context;
  const lookup = (name: string) => environment.get(name);
  const warned = new Set<string>();
  return sources.flatMap(({ trees }) =>
    trees.map((tree) => {
      const interpolated = interpolate(tree, lookup, diagnostics, warned);
      return canonicalise(interpolated, composeSchema, {
        diagnostics,
        path: [],
        baseDirectory: projectDirectory,
        homeDirectory: environment.get('HOME'),
      });
    }),
  );
}

/** The layers laid over one another; undefined when there are none. */
export function mergeLayers(layers: readonly TreeNode[], diagnostics: Diagnostics): TreeNode | undefined {
  const [first, ...rest] = layers;
  if (first === undefined) return undefined;
  return rest.reduce((base, over) => mergeTrees(base, over, composeSchema, diagnostics), withoutTags(first));
}
