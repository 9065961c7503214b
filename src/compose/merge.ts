import type { Attribute } from './attribute.ts';
import { attributeOf } from './canonical.ts';
import type { Diagnostics } from './diagnostic.ts';
import { joinLists, keyOf } from './merge-lists.ts';
import type { ListNode, MapEntry, MergeTag, TreeNode, PathSegment } from './tree.ts';
import { childOf, copyOf, isNull, textOf } from './tree.ts';

/**
 * One canonical tree laid over another (Compose specification, "Merge"; details as compose-go does them): maps merge by
 * key, lists are joined without identical entries, scalars and command lines are replaced, and entries that have a key of
 * their own (ports, volumes, secrets, …) replace the one below that has the same. `!reset` takes away what is below,
 * `!override` replaces it whole. Places stay with the values, so each still says which file said it.
 */
export function mergeTrees(
  base: TreeNode,
  over: TreeNode,
  attribute: Attribute,
  diagnostics: Diagnostics,
  path: readonly PathSegment[] = [],
  keepTags = false,
): TreeNode {
  return new Merger(diagnostics, [...path], keepTags).merge(base, over, attribute);
}

/** The tree without what `!reset` takes away, and without tags: what a single layer comes to. */
export function withoutTags(node: TreeNode): TreeNode {
  if (node.kind === 'scalar') return node.tag === undefined ? node : bareNode(node);
  if (node.kind === 'list') {
    const { items } = node;
    const isBare = node.tag === undefined && items.every((item) => withoutTags(item) === item);
    return isBare ? node : { ...bareNode(node), items: items.map(withoutTags) };
  }
  let entries: Map<string, MapEntry> | undefined;
  node.entries.forEach((entry, key) => {
    const value = entry.value.tag === 'reset' ? undefined : withoutTags(entry.value);
    if (value === entry.value) return;
    entries ??= copyOf(node.entries);
    if (value === undefined) entries.delete(key);
    else entries.set(key, { keyAt: entry.keyAt, value });
  });
  const bare = node.tag === undefined ? node : bareNode(node);
  return entries === undefined ? bare : { ...bare, entries };
}

function bareNode<T extends TreeNode>(node: T): T {
  const bare: T & { tag?: MergeTag } = { ...node };
  delete bare.tag;
  return bare;
}

class Merger {
  private readonly diagnostics: Diagnostics;
  private readonly path: PathSegment[];

  /** Tags stay in the result: it will itself be laid over something. */
  private readonly keepTags: boolean;

  constructor(diagnostics: Diagnostics, path: PathSegment[], keepTags: boolean) {
    this.diagnostics = diagnostics;
    this.path = path;
    this.keepTags = keepTags;
  }

  private bare(node: TreeNode): TreeNode {
    return this.keepTags ? node : withoutTags(node);
  }

  merge(base: TreeNode, over: TreeNode, attribute: Attribute | undefined): TreeNode {
    if (over.tag === 'override') return this.bare(over);
    const rule = attribute?.merge;
    if (rule === 'replace') return this.bare(over);
    if (isNull(over)) return base;
    if (isNull(base)) return this.bare(over);
    if (base.kind === 'scalar') return this.bare(over);
    if (base.kind === 'map' && over.kind === 'map') return this.mergeMaps(base, over, attribute);
    if (base.kind === 'list' && over.kind === 'list') {
      if (typeof rule === 'object' && rule.by === 'subnet') return this.mergeSubnets(base, over);
      return joinLists(base, { ...over, items: over.items.map(withoutTags) }, rule);
    }
    const names = { scalar: 'a plain value', map: 'a map', list: 'a list' };
    this.diagnostics.error(
      over.at,
      this.path,
      `${names[over.kind]} cannot override ${names[base.kind]}`,
      `make it ${names[base.kind]}, or tag it with !override`,
    );
    return base;
  }

  /** The later list, each of its entries over the earlier one of the same subnet. */
  private mergeSubnets(base: ListNode, over: ListNode): TreeNode {
    const below = new Map(base.items.map((item) => [keyOf(item, 'subnet'), item]));
    const items = over.items.map((item) => {
      const same = below.get(keyOf(item, 'subnet'));
      return same === undefined ? this.bare(item) : this.merge(same, item, undefined);
    });
    return { ...over, items };
  }

  private mergeMaps(
    base: TreeNode & { kind: 'map' },
    over: TreeNode & { kind: 'map' },
    attribute: Attribute | undefined,
  ): TreeNode {
    if (attribute?.merge === 'driver' && driversDiffer(base, over)) return this.bare(over);
    const entries = copyOf(base.entries);
    for (const [key, entry] of over.entries) {
      const below = entries.get(key);
      if (entry.value.tag === 'reset') {
        if (this.keepTags) entries.set(key, entry);
        else entries.delete(key);
        continue;
      }
      this.path.push(key);
      const value =
        below === undefined
          ? this.bare(entry.value)
          : this.merge(below.value, entry.value, attribute && attributeOf(attribute, key));
      this.path.pop();
      entries.set(key, { keyAt: value === below?.value ? below.keyAt : entry.keyAt, value });
    }
    return { ...base, entries };
  }
}

function driversDiffer(base: TreeNode, over: TreeNode): boolean {
  const [below, above] = [textOf(childOf(base, 'driver')), textOf(childOf(over, 'driver'))];
  return below !== undefined && above !== undefined && below !== above;
}
