import type { Diagnostics } from './diagnostic.ts';
import { substitute, type Lookup } from './template.ts';
import type { MapEntry, TreeNode, PathSegment } from './tree.ts';
import { copyOf, markInvalid } from './tree.ts';

/**
 * The tree with the variables in its string values replaced; keys are left alone. Faults, and variables that are not
 * set, are reported with the place of the value, each unset variable once.
 */
export function interpolate(
  root: TreeNode,
  lookup: Lookup,
  diagnostics: Diagnostics,
  warned: Set<string>,
  at: readonly PathSegment[] = [],
): TreeNode {
  const path: PathSegment[] = [...at];
  const visit = (node: TreeNode): TreeNode => {
    if (node.kind === 'list') return visitList(node);
    if (node.kind === 'map') return visitMap(node);
    if (typeof node.value !== 'string' || !node.value.includes('$')) return node;
    const result = substitute(node.value, lookup, (name) => {
      if (warned.has(name)) return;
      warned.add(name);
      diagnostics.warning(
        node.at,
        path,
        `the variable ${name} is not set, so it stands for nothing`,
        `set it, or write \${${name}:-} if that is meant`,
      );
    });
    if ('value' in result) return { ...node, value: result.value };
    diagnostics.error(node.at, path, result.fault, result.hint);
    return markInvalid(node);
  };
  const visitList = (node: TreeNode & { kind: 'list' }): TreeNode => {
    let changed = false;
    const items = node.items.map((item, index) => {
      path.push(index);
      const next = visit(item);
      path.pop();
      changed ||= next !== item;
      return next;
    });
    return changed ? { ...node, items } : node;
  };
  const visitMap = (node: TreeNode & { kind: 'map' }): TreeNode => {
    let entries: Map<string, MapEntry> | undefined;
    node.entries.forEach((entry, key) => {
      path.push(key);
      const value = visit(entry.value);
      path.pop();
      if (value === entry.value) return;
      entries ??= copyOf(node.entries);
      entries.set(key, { keyAt: entry.keyAt, value });
    });
    return entries === undefined ? node : { ...node, entries };
  };
  return visit(root);
}
