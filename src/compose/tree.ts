import { unreachable } from '../util/errors.ts';

/** One step of a path into a tree: a key, or the place in a list. */
export type PathSegment = string | number;

/**
 * The representation between all stages: every node knows the place that said it, also after merging. Nodes are never
 * changed once made; a stage gives new ones.
 */
export type TreeNode = ScalarNode | MapNode | ListNode;

export type Scalar = string | number | boolean | null;

/** `!reset` takes an attribute away from the layers below, `!override` replaces it without merging. */
export type MergeTag = 'reset' | 'override';

interface NodeBase {
  readonly at: Position;
  readonly tag?: MergeTag;
  /** An error about this node has been reported: later stages pass it by. */
  readonly invalid?: boolean;
}

export interface ScalarNode extends NodeBase {
  readonly kind: 'scalar';
  readonly value: Scalar;
  /** The path as it was written, where the value is the absolute one that it was made. */
  readonly relative?: string;
}

export interface MapEntry {
  readonly keyAt: Position;
  readonly value: TreeNode;
}

export interface MapNode extends NodeBase {
  readonly kind: 'map';
  readonly entries: ReadonlyMap<string, MapEntry>;
}

export interface ListNode extends NodeBase {
  readonly kind: 'list';
  readonly items: readonly TreeNode[];
}

export interface Position {
  readonly file: SourceFile;
  /** In UTF-16 units from the start of the file's text. */
  readonly offset: number;
}

export interface SourceFile {
  /** As the person gave it; what diagnostics show. */
  readonly name: string;
  readonly text: string;
  /** Offsets at which lines start; made when first asked for. */
  lineStarts?: number[];
}

/** Line and column of a position, both counted from 1. */
export function lineAndColumn(position: Position): { line: number; column: number } {
  const starts = lineStartsOf(position.file);
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (starts[middle]! <= position.offset) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: position.offset - starts[low]! + 1 };
}

/** The text of the line that holds the position, without its line break. */
export function lineText(position: Position): string {
  const { line } = lineAndColumn(position);
  const starts = lineStartsOf(position.file);
  return position.file.text.slice(starts[line - 1], starts[line]).replace(/\r?\n$/u, '');
}

function lineStartsOf(file: SourceFile): number[] {
  if (file.lineStarts === undefined) {
    file.lineStarts = [0];
    for (let index = file.text.indexOf('\n'); index >= 0; index = file.text.indexOf('\n', index + 1)) {
      file.lineStarts.push(index + 1);
    }
  }
  return file.lineStarts;
}

/** A scalar said at `at`. */
export function scalar(at: Position, value: Scalar): ScalarNode {
  return { kind: 'scalar', at, value };
}

/** A list said at `at`. */
export function list(at: Position, items: readonly TreeNode[]): ListNode {
  return { kind: 'list', at, items };
}

/** A map said at `at`; keys whose value is undefined are left out, and a key's place is its value's. */
export function map(at: Position, values: Record<string, TreeNode | undefined>): MapNode {
  const entries = new Map<string, MapEntry>();
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined) entries.set(key, { keyAt: value.at, value });
  }
  return { kind: 'map', at, entries };
}

/** The same node, with the merge tag of another. */
export function withTagOf<T extends TreeNode>(node: T, source: TreeNode): T {
  return source.tag === undefined || node.tag === source.tag ? node : { ...node, tag: source.tag };
}

/** The same node, marked as reported already. */
export function markInvalid<T extends TreeNode>(node: T): T {
  return { ...node, invalid: true };
}

/** The value of a key, or undefined when the node is no map or has no such key. */
export function childOf(node: TreeNode | undefined, key: string): TreeNode | undefined {
  return node?.kind === 'map' ? node.entries.get(key)?.value : undefined;
}

/** Whether the node is a scalar that is null; a key without a value is. */
export function isNull(node: TreeNode | undefined): boolean {
  return node?.kind === 'scalar' && node.value === null;
}

/** The string of a scalar node, or undefined when it is anything else. */
export function textOf(node: TreeNode | undefined): string | undefined {
  return node?.kind === 'scalar' && typeof node.value === 'string' ? node.value : undefined;
}

/** A copy of a map's entries, to be changed. `new Map(entries)` would make two objects for each of them on the way. */
export function copyOf(entries: ReadonlyMap<string, MapEntry>): Map<string, MapEntry> {
  const copy = new Map<string, MapEntry>();
  entries.forEach((entry, key) => copy.set(key, entry));
  return copy;
}

/** Each value of the map by a function; entries for which it gives undefined are left out. */
export function mapValues(
  node: MapNode,
  change: (value: TreeNode, key: string) => TreeNode | undefined,
): MapNode {
  const entries = new Map<string, MapEntry>();
  node.entries.forEach((entry, key) => {
    const value = change(entry.value, key);
    if (value !== undefined) entries.set(key, value === entry.value ? entry : { keyAt: entry.keyAt, value });
  });
  return { ...node, entries };
}

export type Plain = Scalar | Plain[] | { [key: string]: Plain };

/** Whether the data is a map, and no list or scalar. */
export function isMap(value: Plain | undefined): value is { [key: string]: Plain } {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** A table without entries, for names that people make up. It inherits nothing, so that a key such as `constructor` is only ever what was put in. */
export function newTable<T>(): Record<string, T> {
  return Object.create(null) as Record<string, T>;
}

/** Whether it is a table, and no record. */
export function isTable(plain: object): boolean {
  return Object.getPrototypeOf(plain) === null;
}

const nothing = Object.freeze(newTable());

/**
 * The same for words of the language, of which there are few: with a prototype, if an empty one, it is no hash table, and
 * is listed and copied in a tenth of the time.
 */
export function newRecord<T>(): Record<string, T> {
  return Object.create(nothing) as Record<string, T>;
}

/** The tree as plain data. Maps have no prototype, so a key such as `constructor` is only ever what the file said. */
export function toPlain(node: TreeNode): Plain {
  switch (node.kind) {
    case 'scalar':
      return node.value;
    case 'list':
      return node.items.map(toPlain);
    case 'map': {
      const plain = newTable<Plain>();
      // A walk with for…of makes two objects for each entry, which is most of the garbage of a large file.
      node.entries.forEach((entry, key) => (plain[key] = toPlain(entry.value)));
      return plain;
    }
    default:
      return unreachable(node);
  }
}

/** Plain data as a tree, all of it said at one place. */
export function fromPlain(at: Position, plain: Plain): TreeNode {
  if (plain === null || typeof plain !== 'object') return scalar(at, plain);
  if (Array.isArray(plain)) {
    return list(
      at,
      plain.map((item) => fromPlain(at, item)),
    );
  }
  const entries = new Map<string, MapEntry>();
  for (const key of Object.keys(plain)) entries.set(key, { keyAt: at, value: fromPlain(at, plain[key]!) });
  return { kind: 'map', at, entries };
}

/**
 * The deepest node on a path that exists. `keyAt` is the place of its key when it is the value of one; `invalid` when
 * it or a node above it was reported already.
 */
export function locate(
  root: TreeNode,
  path: readonly PathSegment[],
): { node: TreeNode; keyAt?: Position; invalid: boolean } {
  let found: { node: TreeNode; keyAt?: Position; invalid: boolean } = {
    node: root,
    invalid: root.invalid === true,
  };
  for (const segment of path) {
    const { node, invalid } = found;
    if (node.kind === 'map') {
      const entry = node.entries.get(String(segment));
      if (entry === undefined) break;
      found = { node: entry.value, keyAt: entry.keyAt, invalid: invalid || entry.value.invalid === true };
    } else if (node.kind === 'list') {
      const item = node.items[Number(segment)];
      if (item === undefined) break;
      found = { node: item, invalid: invalid || item.invalid === true };
    } else break;
  }
  return found;
}

/** Where to point for something wrong on a path: at a scalar itself, else at the key that holds it. */
export function placeOf(root: TreeNode, path: readonly PathSegment[]): Position {
  const { node, keyAt } = locate(root, path);
  return node.kind === 'scalar' && node.value !== null ? node.at : (keyAt ?? node.at);
}

/** How many values trees hold, themselves included; each is counted once, however often it is asked for. */
export class TreeSizes {
  readonly #sizes = new Map<TreeNode, number>();

  of(node: TreeNode): number {
    if (node.kind === 'scalar') return 1;
    const known = this.#sizes.get(node);
    if (known !== undefined) return known;
    let size = 1;
    if (node.kind === 'list') for (const item of node.items) size += this.of(item);
    else for (const entry of node.entries.values()) size += this.of(entry.value);
    this.#sizes.set(node, size);
    return size;
  }
}
