import type { Attribute } from './attribute.ts';
import { forms, type FormContext } from './forms.ts';
import { withoutRepeats } from './merge-lists.ts';
import type { ListNode, MapEntry, Plain, TreeNode } from './tree.ts';
import { copyOf, newRecord, newTable, withTagOf } from './tree.ts';

/**
 * The tree in canonical form: short ways of writing become long ones and values their own type, as far as they can be
 * read. What cannot be read stays as it is, for the schema to complain about, or is reported and marked invalid. Layers
 * are made canonical before they are merged, so that merging knows one form only.
 */
export function canonicalise(node: TreeNode, attribute: Attribute, context: FormContext): TreeNode {
  if (node.invalid) return node;
  // A form reads values, but for this one, which only moves them.
  const reads = attribute.form !== undefined && attribute.form !== 'external';
  if (context.keepVariables === true && reads && hasVariable(node)) return node;
  const formed = attribute.form === undefined ? node : withTagOf(forms[attribute.form](node, context), node);
  if (formed.kind === 'map') return canonicalMap(formed, attribute, context);
  if (formed.kind === 'list' && attribute.items !== undefined) {
    return withoutRepeats(canonicalList(formed, attribute.items, context), attribute.merge);
  }
  return formed;
}

function canonicalMap(
  node: TreeNode & { kind: 'map' },
  attribute: Attribute,
  context: FormContext,
): TreeNode {
  let entries: Map<string, MapEntry> | undefined;
  node.entries.forEach((entry, key) => {
    const child = attributeOf(attribute, key);
    if (child === undefined || (child.form === undefined && entry.value.kind === 'scalar')) return;
    context.path.push(key);
    const value = canonicalise(entry.value, child, context);
    context.path.pop();
    if (value === entry.value) return;
    entries ??= copyOf(node.entries);
    entries.set(key, { keyAt: entry.keyAt, value });
  });
  return entries === undefined ? node : { ...node, entries };
}

function canonicalList(node: ListNode, items: Attribute, context: FormContext): ListNode {
  let changed = false;
  const next = node.items.map((item, index) => {
    context.path.push(index);
    const value = canonicalise(item, items, context);
    context.path.pop();
    changed ||= value !== item;
    return value;
  });
  return changed ? { ...node, items: next } : node;
}

function hasVariable(node: TreeNode): boolean {
  if (node.kind === 'scalar') return typeof node.value === 'string' && node.value.includes('$');
  const children = node.kind === 'list' ? node.items : [...node.entries.values()].map(({ value }) => value);
  return children.some(hasVariable);
}

/** A canonical tree as plain data. */
export function plainOf(node: TreeNode, attribute: Attribute | undefined): Plain {
  if (node.kind === 'scalar') return node.value;
  if (node.kind === 'list') return node.items.map((item) => plainOf(item, attribute?.items));
  const plain = attribute?.properties === undefined ? newTable<Plain>() : newRecord<Plain>();
  node.entries.forEach((entry, key) => {
    plain[key] = plainOf(entry.value, attribute && attributeOf(attribute, key));
  });
  return plain;
}

/** The attribute under a key; undefined for extensions and keys that are not known. */
export function attributeOf(attribute: Attribute, key: string): Attribute | undefined {
  if (attribute.properties !== undefined && Object.hasOwn(attribute.properties, key)) {
    return attribute.properties[key];
  }
  return typeof attribute.additionalProperties === 'object' ? attribute.additionalProperties : undefined;
}
