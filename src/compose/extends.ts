import { posix } from 'node:path';
import { chainText } from './diagnostic.ts';
import { readLayer, type LayerContext } from './layer.ts';
import { mergeTrees, withoutTags } from './merge.ts';
import { composeSchema } from './schema.ts';
import { service as serviceAttribute } from './schema-service.ts';
import { readSources, type Source } from './sources.ts';
import { childOf, map, mapValues, textOf, type TreeNode } from './tree.ts';

const chainMax = 50;

/** The services of one file, in which an `extends` without a file looks for its base. */
interface Scope {
  /** Absolute path, or the name of standard input. */
  file: string;
  services: TreeNode | undefined;
}

/**
 * The layer with each service that extends another laid over that one (Compose specification, "extends"). Bases are what
 * their file says, without its includes and networks; their paths are relative to that file.
 */
export async function resolveExtends(
  layer: TreeNode,
  source: Source,
  context: LayerContext,
): Promise<TreeNode> {
  const services = childOf(layer, 'services');
  if (layer.kind !== 'map' || services?.kind !== 'map') return layer;
  const scope: Scope = { file: posix.resolve(context.workingDirectory, source.file.name), services };
  const resolver = new Resolver(context);
  const resolved = new Map<string, TreeNode>();
  const extending: [string, TreeNode][] = [];
  services.entries.forEach(({ value }, key) => {
    if (childOf(value, 'extends') !== undefined) extending.push([key, value]);
  });
  for (const [key, value] of extending) resolved.set(key, await resolver.resolve(key, value, scope, []));
  if (resolved.size === 0) return layer;
  const next = mapValues(services, (value, key) => resolved.get(key) ?? value);
  return mapValues(layer, (value, key) => (key === 'services' ? next : value));
}

class Resolver {
  private readonly context: LayerContext;
  private readonly scopes = new Map<string, Promise<Scope>>();
  /** Services that are over their bases already, by file and key; in a circle, as they are written. */
  private readonly resolved = new Map<string, TreeNode>();

  constructor(context: LayerContext) {
    this.context = context;
  }

  /** The service over its base, and that over its own, and so on; `chain` are the services that led here. */
  async resolve(key: string, service: TreeNode, scope: Scope, chain: readonly string[]): Promise<TreeNode> {
    const here = `${scope.file}:${key}`;
    const known = this.resolved.get(here);
    if (known !== undefined) return known;
    const resolved = await this.overBase(key, service, scope, [...chain, here]);
    this.resolved.set(here, resolved);
    return resolved;
  }

  /** `chain` ends with the service itself. */
  private async overBase(
    key: string,
    service: TreeNode,
    scope: Scope,
    chain: readonly string[],
  ): Promise<TreeNode> {
    const extended = childOf(service, 'extends');
    const baseKey = textOf(childOf(extended, 'service'));
    if (extended === undefined || baseKey === undefined) return service;
    const path = ['services', key, 'extends'];
    const { diagnostics, workingDirectory } = this.context;
    if (diagnostics.isFull()) return service;
    const names = () => chainText(chain.map((one) => posix.relative(workingDirectory, one)));
    if (chain.indexOf(chain.at(-1)!) < chain.length - 1) {
      const message = `the services extend each other: ${names()}`;
      diagnostics.error(extended.at, path, message, 'take one of them out');
      return service;
    }
    if (chain.length > chainMax) {
      const message = `too many services extend one another: ${names()}`;
      diagnostics.error(extended.at, path, message, `at most ${chainMax} in a row`);
      return service;
    }
    const file = textOf(childOf(extended, 'file'));
    const baseScope = file === undefined ? scope : await this.scopeOf(file, extended);
    const base = childOf(baseScope.services, baseKey);
    if (base === undefined) {
      if (baseScope.services !== undefined || file === undefined) {
        const where = file === undefined ? 'this file' : posix.relative(workingDirectory, file);
        diagnostics.error(
          extended.at,
          path,
          `${where} has no service called ${baseKey}`,
          'name one that it has',
        );
      }
      return service;
    }
    const whole = await this.resolve(baseKey, base, baseScope, chain);
    return mergeTrees(whole, service, serviceAttribute, diagnostics, ['services', key], true);
  }

  private scopeOf(file: string, at: TreeNode): Promise<Scope> {
    const known = this.scopes.get(file) ?? this.readScope(file, at);
    this.scopes.set(file, known);
    return known;
  }

  private async readScope(file: string, node: TreeNode): Promise<Scope> {
    const { context } = this;
    const { fileSystem, workingDirectory, diagnostics } = context;
    const input = { path: posix.relative(workingDirectory, file), at: node.at };
    const [source] = await readSources([input], fileSystem, workingDirectory, diagnostics);
    const [first, ...rest] = (source?.trees ?? []).map((tree) =>
      readLayer(tree, posix.dirname(file), context),
    );
    if (first === undefined) return { file, services: undefined };
    const tree = rest.reduce(
      (base, over) => mergeTrees(base, over, composeSchema, diagnostics),
      withoutTags(first),
    );
    return { file, services: childOf(tree, 'services') ?? map(tree.at, {}) };
  }
}
