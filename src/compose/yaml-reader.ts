import { invisibleCharacter } from './invisible.ts';
import { resolvePlainScalar } from './scalar.ts';
import type { MapEntry, MergeTag, PathSegment, Scalar, SourceFile, TreeNode } from './tree.ts';
import { TreeSizes } from './tree.ts';
import { isSpaceOrEnd, Stopped, type Stop } from './yaml-cursor.ts';
import { yamlLimits } from './yaml-limits.ts';
import { indicators, ScalarReader, trimmedEnd } from './yaml-scalars.ts';

/** A key that a map has already. */
export interface Repeat {
  path: readonly PathSegment[];
  offset: number;
  firstOffset: number;
}

/** `repeats`: nothing is wrong but these, the first of them; `rest` is what the documents are without them. */
export type QuickDocuments = { trees: TreeNode[] } | { repeats: Repeat[]; rest: TreeNode[] } | { stop: Stop };

/** More would not be told. */
const repeatsMax = 200;

/**
 * Reads YAML as people write it, in one pass and straight into trees: block and flow collections, all kinds of scalars,
 * anchors, aliases, `<<` and Compose's tags. Of what can be wrong it only knows keys that are given twice: at anything
 * else, and at anything rare, it stops, and a complete reader must say what it is (`parse.ts`). What it accepts it reads as
 * that one does.
 */
export function readQuickly(file: SourceFile): QuickDocuments {
  const reader = new Reader(file);
  try {
    const trees = reader.documents();
    const { repeats } = reader;
    return repeats.length === 0 ? { trees } : { repeats, rest: trees };
  } catch (error) {
    if (error instanceof Stopped) return { stop: error.stop };
    throw error;
  }
}

interface Properties {
  anchor?: string;
  tag?: MergeTag;
  isText?: boolean;
}

const none: Properties = {};
const implicitKeyCharactersMax = 1000;

class Reader extends ScalarReader {
  readonly repeats: Repeat[] = [];
  private depth = 0;
  /** Where the reader is: as many of these as it is deep. */
  private readonly path: PathSegment[] = [];
  private anchors = new Map<string, TreeNode>();
  private sizes = new TreeSizes();
  private aliased = 0;

  documents(): TreeNode[] {
    const strange = Math.max(this.text.indexOf('\0'), this.text.indexOf('\r'));
    if (strange >= 0) this.stop('there is a character that YAML text cannot have', strange);
    const trees: TreeNode[] = [];
    for (let count = 1; ; count += 1) {
      const column = this.next();
      if (column >= 0) trees.push(this.root(column));
      else if (count > 1) trees.push(this.leaf(this.position, null)); // nothing below a marker
      if (this.position >= this.text.length) return trees;
      if (count > yamlLimits.documents) {
        this.refuse('the file has too many documents', `at most ${yamlLimits.documents} are read`);
      }
      if (!this.text.startsWith('---', this.position)) this.stop('a document ends here');
      this.position += 3;
      this.restOfLine();
      this.anchors = new Map();
      this.sizes = new TreeSizes();
      this.aliased = 0;
    }
  }

  private root(column: number): TreeNode {
    const node = this.block(column, -1);
    if (this.next() >= 0) this.stop('this does not belong to what is above');
    return node;
  }

  private leaf(offset: number, value: Scalar): TreeNode {
    return { kind: 'scalar', at: { file: this.file, offset }, value };
  }

  private enter(): void {
    this.depth += 1;
    if (this.depth > yamlLimits.depth) {
      this.refuse('lists and maps are nested too deeply', `at most ${yamlLimits.depth} levels are read`);
    }
  }

  private counted(count: number): void {
    if (count <= yamlLimits.entries) return;
    this.refuse('a list or map is too long', `at most ${yamlLimits.entries} entries are read`);
  }

  /** A node that begins at this column; what it goes on with is deeper than `parent`. */
  private block(column: number, parent: number): TreeNode {
    if (this.isDash()) return this.sequence(column);
    const key = this.key();
    if (key !== undefined) return this.mapping(column, key);
    return this.inline(parent, false);
  }

  private isDash(): boolean {
    const { text, position } = this;
    return text.charCodeAt(position) === 45 && isSpaceOrEnd(text.charCodeAt(position + 1));
  }

  private sequence(column: number): TreeNode {
    this.enter();
    const at = this.at(this.position);
    const items: TreeNode[] = [];
    do {
      this.path[this.depth - 1] = items.length;
      const dash = this.position;
      this.position += 1;
      this.skipSpaces();
      const offset = this.position;
      const text = this.commonPlain(column);
      if (text !== undefined) items.push(this.leaf(offset, resolvePlainScalar(text)));
      else if (this.isLineEnd()) {
        const below = this.next();
        items.push(below > column ? this.block(below, column) : this.leaf(dash, null));
      } else items.push(this.block(offset - this.lineStart, column));
      this.counted(items.length);
      const after = this.next();
      if (after > column) this.stop('this is indented more than what it belongs to');
      if (after < column) break;
    } while (this.isDash());
    this.depth -= 1;
    return { kind: 'list', at, items };
  }

  /** The key that begins here, with the position set behind its colon; undefined when there is no key. */
  private key(): { name: string; isPlain: boolean; offset: number } | undefined {
    const { text, position } = this;
    const common = this.commonName();
    if (common !== undefined) {
      if (typeof resolvePlainScalar(common) !== 'string') this.stop(`the key ${common} is not a string`);
      this.position += 1;
      return { name: common, isPlain: true, offset: position };
    }
    const first = text.charAt(position);
    if (first === '"' || first === "'") return this.quotedKey(first);
    if (indicators.has(first)) return undefined;
    const line = text.slice(position, this.lineEnd()); // searching beyond it would take forever in long lists
    let colon = line.indexOf(':');
    while (colon >= 0 && !isSpaceOrEnd(line.charCodeAt(colon + 1))) colon = line.indexOf(':', colon + 1);
    if (colon < 0) return undefined;
    const name = trimmedEnd(line.slice(0, colon));
    if (name.includes(' #') || name.includes('\t')) return undefined;
    if (name.length > implicitKeyCharactersMax) this.stop('the key is too long');
    if (typeof resolvePlainScalar(name) !== 'string') this.stop(`the key ${name} is not a string`);
    this.checkKey(name);
    this.position = position + colon + 1;
    return { name, isPlain: true, offset: position };
  }

  /** A key as nearly all are, with the position at its colon; undefined for any other. */
  private commonName(): string | undefined {
    const { text, position } = this;
    commonKey.lastIndex = position;
    if (!commonKey.test(text)) return undefined;
    this.position = commonKey.lastIndex;
    return text.slice(position, this.position);
  }

  private quotedKey(quote: string): { name: string; isPlain: boolean; offset: number } | undefined {
    const offset = this.position;
    const name = this.quoted(quote, -1, true);
    if (name === undefined) {
      this.position = offset;
      return undefined;
    }
    this.skipSpaces();
    if (this.text.charAt(this.position) !== ':' || !isSpaceOrEnd(this.text.charCodeAt(this.position + 1))) {
      this.position = offset;
      return undefined;
    }
    this.checkKey(name);
    this.position += 1;
    return { name, isPlain: false, offset };
  }

  private checkKey(name: string): void {
    if (name.length > implicitKeyCharactersMax) this.stop('the key is too long');
    if (invisibleCharacter(name) !== undefined) this.stop('the key has a character that cannot be seen');
  }

  private mapping(column: number, first: { name: string; isPlain: boolean; offset: number }): TreeNode {
    this.enter();
    const at = this.at(first.offset);
    const entries = new Map<string, MapEntry>();
    const merges: TreeNode[] = [];
    let key: typeof first | undefined = first;
    while (key !== undefined) {
      this.path[this.depth - 1] = key.name;
      const value = this.valueUnder(key.offset, column);
      this.addEntry(entries, merges, key, value);
      const after = this.next();
      if (after > column) this.stop('this is indented more than what it belongs to');
      if (after < column) break;
      key = this.key();
      if (key === undefined) this.stop('this is no key: a colon and a space are missing');
    }
    for (const merge of merges) this.mergeInto(entries, merge);
    this.depth -= 1;
    return { kind: 'map', at, entries };
  }

  private addEntry(
    entries: Map<string, MapEntry>,
    merges: TreeNode[],
    key: { name: string; isPlain: boolean; offset: number },
    value: TreeNode,
  ): void {
    if (key.isPlain && key.name === '<<') {
      if (merges.length > 0) this.stop('the key << is given twice', key.offset);
      merges.push(value);
    } else if (entries.has(key.name)) this.repeated(key.offset, entries.get(key.name)!.keyAt.offset);
    else entries.set(key.name, { keyAt: this.at(key.offset), value });
    this.counted(entries.size + merges.length);
  }

  private repeated(offset: number, firstOffset: number): void {
    if (this.repeats.length >= repeatsMax) return;
    this.repeats.push({ path: this.path.slice(0, this.depth), offset, firstOffset });
  }

  private mergeInto(entries: Map<string, MapEntry>, merge: TreeNode): void {
    for (const base of merge.kind === 'list' ? merge.items : [merge]) {
      if (base.kind === 'map') {
        for (const [key, entry] of base.entries) if (!entries.has(key)) entries.set(key, entry);
      } else this.stop('<< merges maps', merge.at.offset);
    }
  }

  /** What follows a key's colon: something on the line, or something deeper below, or nothing. */
  private valueUnder(keyOffset: number, column: number): TreeNode {
    const afterColon = this.position;
    this.skipSpaces();
    const offset = this.position;
    const text = offset === afterColon ? undefined : this.commonPlain(column);
    if (text !== undefined) return this.leaf(offset, resolvePlainScalar(text));
    if (!this.isLineEnd()) return this.inline(column, true);
    if (this.text.charCodeAt(this.position) === 35 && this.position === afterColon) this.stop('no space');
    return this.below(column) ?? this.leaf(keyOffset, null);
  }

  /** The node on the lines below that belongs to a key in this column. */
  private below(column: number): TreeNode | undefined {
    const under = this.next();
    if (under > column) return this.block(under, column);
    return under === column && this.isDash() ? this.sequence(column) : undefined;
  }

  /** A node that is no block collection on its first line. `isValue`: it follows a key on that line. */
  private inline(parent: number, isValue: boolean): TreeNode {
    const properties = this.properties();
    if (properties === none) return this.bare(parent, none);
    const { anchor, tag } = properties;
    let node: TreeNode;
    if (this.isLineEnd()) {
      const line = this.lineStart;
      const found = isValue
        ? this.below(parent)
        : this.next() > parent && this.block(this.position - this.lineStart, parent);
      if (!found || line === this.lineStart) this.stop('nothing follows the tag or anchor');
      if (properties.isText === true || found.kind === 'scalar') this.stop('a tag is too far from its value');
      node = found;
    } else node = this.bare(parent, properties);
    if (tag !== undefined) node = { ...node, tag };
    if (anchor !== undefined) this.anchors.set(anchor, node);
    return node;
  }

  private properties(): Properties {
    let found = none;
    for (;;) {
      const first = this.text.charAt(this.position);
      if (first !== '&' && first !== '!') return found;
      const word = this.word();
      if (first === '&' && found.anchor === undefined && word.length > 1)
        found = { ...found, anchor: word.slice(1) };
      else if (found.tag !== undefined || found.isText === true) this.stop('there are two tags');
      else if (word === '!reset' || word === '!override') {
        found = { ...found, tag: word === '!reset' ? 'reset' : 'override' };
      } else if (word === '!!str') found = { ...found, isText: true };
      else this.stop('the tag is not known');
      if (!isSpaceOrEnd(this.text.charCodeAt(this.position))) this.stop('a space is missing');
      this.skipSpaces();
    }
  }

  private word(): string {
    wordPattern.lastIndex = this.position;
    const word = wordPattern.exec(this.text)?.[0] ?? '';
    this.position += word.length;
    return word;
  }

  /** The node at the position, without properties, up to the end of its last line. */
  private bare(parent: number, properties: Properties): TreeNode {
    const offset = this.position;
    const first = this.text.charAt(offset);
    switch (first) {
      case '"':
      case "'": {
        const value = this.quoted(first, parent, false)!;
        this.restOfLine();
        return this.leaf(offset, value);
      }
      case '[':
      case '{': {
        if (properties.isText === true) this.stop('a collection is no string');
        const node = this.flow(parent);
        this.restOfLine();
        return node;
      }
      case '|':
      case '>':
        return this.leaf(offset, this.blockScalar(parent, first === '>'));
      case '*': {
        const node = this.alias(properties);
        this.restOfLine();
        return node;
      }
      default: {
        const text = this.plain(parent);
        return this.leaf(offset, properties.isText === true ? text : resolvePlainScalar(text));
      }
    }
  }

  private alias(properties: Properties): TreeNode {
    if (properties !== none) this.stop('an alias has no tag or anchor');
    const name = this.word().slice(1);
    const node = this.anchors.get(name);
    if (node === undefined || name.includes(':')) this.stop(`nothing above is anchored as &${name}`);
    this.aliased += this.sizes.of(node);
    if (this.aliased > yamlLimits.aliased) {
      this.refuse(`aliases repeat more than ${yamlLimits.aliased} values`, 'write less by alias');
    }
    return node;
  }

  /** A flow collection, with the position behind its closing bracket. Its lines are indented more than `parent`. */
  private flow(parent: number): TreeNode {
    this.enter();
    const at = this.at(this.position);
    const isMap = this.text.charAt(this.position) === '{';
    this.position += 1;
    const node: TreeNode = isMap
      ? { kind: 'map', at, entries: this.flowEntries(parent) }
      : { kind: 'list', at, items: this.flowItems(parent) };
    this.position += 1;
    this.depth -= 1;
    return node;
  }

  private flowItems(parent: number): TreeNode[] {
    const items: TreeNode[] = [];
    while (this.flowNext(parent) !== ']') {
      this.path[this.depth - 1] = items.length;
      items.push(this.flowNode(parent));
      this.counted(items.length);
      if (this.flowEnds(parent, ']')) break;
    }
    return items;
  }

  private flowEntries(parent: number): Map<string, MapEntry> {
    const entries = new Map<string, MapEntry>();
    const merges: TreeNode[] = [];
    while (this.flowNext(parent) !== '}') {
      this.flowPair(parent, entries, merges);
      if (this.flowEnds(parent, '}')) break;
    }
    for (const merge of merges) this.mergeInto(entries, merge);
    return entries;
  }

  /** Whether the bracket is closed here; if not, the position is behind the comma. */
  private flowEnds(parent: number, close: string): boolean {
    let after = this.text.charAt(this.position);
    if (after !== ',' && after !== close) after = this.flowNext(parent);
    if (after === close) return true;
    if (after !== ',') this.stop(`a comma or ${close} is missing`);
    this.position += 1;
    return false;
  }

  /** The next character that means something within brackets. */
  private flowNext(parent: number): string {
    const { lineStart } = this;
    const column = this.next();
    if (column < 0) this.stop('a bracket is never closed');
    if (this.lineStart !== lineStart && column <= parent) this.stop('a line in brackets is not indented');
    return this.text.charAt(this.position);
  }

  private flowPair(parent: number, entries: Map<string, MapEntry>, merges: TreeNode[]): void {
    const offset = this.position;
    const first = this.text.charAt(offset);
    const isQuoted = first === '"' || first === "'";
    const name = isQuoted ? this.quoted(first, -1, true) : (this.commonName() ?? this.flowPlain());
    if (name === undefined) this.stop('a key has two lines');
    if (!isQuoted && typeof resolvePlainScalar(name) !== 'string')
      this.stop(`the key ${name} is not a string`);
    this.checkKey(name);
    this.path[this.depth - 1] = name;
    const { lineStart } = this;
    let value: TreeNode | undefined;
    if (this.flowNext(parent) === ':') {
      if (this.lineStart !== lineStart) this.stop('a colon is on another line than its key');
      const next = this.text.charCodeAt(this.position + 1);
      if (!isQuoted && !isSpaceOrEnd(next) && !isFlowIndicator(next)) this.stop('a space is missing');
      this.position += 1;
      const after = this.flowNext(parent);
      if (after !== ',' && after !== '}') value = this.flowNode(parent);
    }
    value ??= this.leaf(offset, null);
    this.addEntry(entries, merges, { name, isPlain: !isQuoted, offset }, value);
  }

  private flowNode(parent: number): TreeNode {
    const common = this.commonFlow();
    if (common !== undefined) return this.leaf(this.position - common.length, resolvePlainScalar(common));
    const properties = this.properties();
    if (properties !== none && this.isLineEnd()) this.stop('nothing follows the tag or anchor');
    const offset = this.position;
    const first = this.text.charAt(offset);
    let node: TreeNode;
    if (first === '[' || first === '{') {
      if (properties.isText === true) this.stop('a collection is no string');
      node = this.flow(parent);
    } else if (first === '"' || first === "'") node = this.leaf(offset, this.quoted(first, parent, false)!);
    else if (first === '*') return this.alias(properties);
    else {
      const text = this.flowPlain();
      node = this.leaf(offset, properties.isText === true ? text : resolvePlainScalar(text));
    }
    if (properties.tag !== undefined) node = { ...node, tag: properties.tag };
    if (properties.anchor !== undefined) this.anchors.set(properties.anchor, node);
    return node;
  }
}

/** A word without anything that needs a closer look. */
const commonKey = /[a-zA-Z_][\w.-]{0,99}(?=:(?:[ \n]|$))/uy;

/** Up to white space, a comma or a bracket: what anchors, aliases and tags are made of. */
const wordPattern = /[^\s,[\]{}]+/uy;

function isFlowIndicator(code: number): boolean {
  return code === 44 || code === 91 || code === 93 || code === 123 || code === 125;
}
