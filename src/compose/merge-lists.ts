import { posix } from 'node:path';
import { unreachable } from '../util/errors.ts';
import type { MergeKey, MergeRule } from './attribute.ts';
import { childOf, toPlain, type ListNode, type TreeNode } from './tree.ts';

/** A list behind another: entries with a key of their own replace those that have the same, others are added if they are new. */
export function joinLists(base: ListNode, over: ListNode, rule: MergeRule | undefined): ListNode {
  if (typeof rule === 'object') return { ...base, items: replace(base.items, over.items, rule.by) };
  const known = new Set(base.items.map(identity));
  return { ...base, items: [...base.items, ...over.items.filter((item) => !known.has(identity(item)))] };
}

/**
 * What one file says without repeating itself: of entries that are the same one is kept, and of ports and files that
 * have the same key the last. Others that meet are left for whoever checks them.
 */
export function withoutRepeats(node: ListNode, rule: MergeRule | undefined): ListNode {
  if (node.items.length < 2 || rule === 'replace' || rule === 'append') return node;
  // Entries that are the same have the same key, which takes less to make than all of them as text.
  if (typeof rule === 'object' && areDistinct(node.items, rule.by)) return node;
  const items =
    typeof rule === 'object' && (rule.by === 'port' || rule.by === 'path')
      ? replace([], node.items, rule.by)
      : distinct(node.items);
  return items.length === node.items.length ? node : { ...node, items };
}

function areDistinct(items: readonly TreeNode[], by: MergeKey): boolean {
  const keys = new Set<string>();
  for (const item of items) keys.add(keyOf(item, by));
  return keys.size === items.length;
}

/** The items with each of the others in the place of the one that has the same key, or at the end. */
function replace(base: readonly TreeNode[], over: readonly TreeNode[], by: MergeKey): TreeNode[] {
  const items = [...base];
  const places = new Map(base.map((item, index) => [keyOf(item, by), index]));
  for (const item of over) {
    const key = keyOf(item, by);
    const place = places.get(key) ?? items.length;
    if (place === items.length) places.set(key, place);
    items[place] = item;
  }
  return items;
}

function distinct(items: readonly TreeNode[]): TreeNode[] {
  const known = new Set<string>();
  return items.filter((item) => {
    const key = identity(item);
    if (known.has(key)) return false;
    known.add(key);
    return true;
  });
}

function identity(item: TreeNode): string {
  return item.kind === 'scalar' ? JSON.stringify(item.value) : JSON.stringify(toPlain(item));
}

/** What makes an entry of a list the same one as another. */
export function keyOf(item: TreeNode, by: MergeKey): string {
  const field = (name: string, fallback = ''): string => {
    const child = childOf(item, name);
    return child?.kind === 'scalar' && child.value !== null ? String(child.value) : fallback;
  };
  if (by === 'assignment') return identity(item).split('=', 1)[0]!;
  if (item.kind !== 'map') return identity(item);
  switch (by) {
    case 'port':
      return `${field('host_ip', '0.0.0.0')}|${field('published')}|${field('target')}/${field('protocol', 'tcp')}`;
    case 'target':
      return field('target', field('source'));
    case 'config':
      return posix.resolve('/', field('target', field('source')));
    case 'secret':
      return posix.resolve('/run/secrets', field('target', field('source')));
    case 'path':
    case 'subnet':
      return field(by);
    default:
      return unreachable(by);
  }
}
