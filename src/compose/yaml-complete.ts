import type { Document, Node as YamlNode, Pair, Scalar as YamlScalar, YAMLMap } from 'yaml';
import { Composer, isAlias, isMap, isScalar, isSeq, Parser, Lexer, type CST } from 'yaml';
import type { Diagnostics } from './diagnostic.ts';
import { invisibleCharacter } from './invisible.ts';
import { resolvePlainScalar } from './scalar.ts';
import type {
  MapEntry,
  MapNode,
  MergeTag,
  Position,
  ScalarNode,
  SourceFile,
  TreeNode,
  PathSegment,
} from './tree.ts';
import { TreeSizes } from './tree.ts';
import { repeatedKey, yamlLimits } from './yaml-limits.ts';

const keyCharactersMax = 1024;

/** As `parseYaml` (`parse.ts`), but by the library, with all of YAML understood and every fault found; takes many times as long. */
export function parseCompletely(file: SourceFile, diagnostics: Diagnostics): TreeNode[] {
  const trees: TreeNode[] = [];
  for (const document of composeDocuments(file, diagnostics)) {
    const tree = new Builder(file, diagnostics).document(document);
    if (tree !== undefined) trees.push(tree);
  }
  return trees;
}

function composeDocuments(file: SourceFile, diagnostics: Diagnostics): Document[] {
  const parser = new Parser();
  const tokens: CST.Token[] = [];
  let offset = 0;
  let documentCount = 0;
  for (const lexeme of new Lexer().lex(file.text)) {
    for (const token of parser.next(lexeme)) {
      tokens.push(token);
      if (token.type === 'document') documentCount += 1;
    }
    offset += lexeme.length;
    if (documentCount > yamlLimits.documents) {
      const at = { file, offset };
      diagnostics.error(
        at,
        [],
        'the file has too many documents',
        `at most ${yamlLimits.documents} are read`,
      );
      return [];
    }
    if (parser.stack.length > 2 * yamlLimits.depth) {
      diagnostics.error(
        { file, offset: Math.min(offset, file.text.length) },
        [],
        'lists and maps are nested too deeply',
        `at most ${yamlLimits.depth} levels are read`,
      );
      return [];
    }
  }
  for (const token of parser.end()) tokens.push(token);
  const composer = new Composer({
    schema: 'failsafe',
    resolveKnownTags: false,
    uniqueKeys: false,
    merge: false,
    prettyErrors: false,
    logLevel: 'silent',
    keepSourceTokens: false,
  });
  const documents = [...composer.compose(tokens)];
  return documents.filter((document) => reportYamlErrors(file, document, diagnostics));
}

/** Reports the first of the document's own errors, for the others mostly come of it; false when it has any. */
function reportYamlErrors(file: SourceFile, document: Document, diagnostics: Diagnostics): boolean {
  const [error] = document.errors;
  if (error === undefined) return true;
  const offset = Math.min(error.pos[0], file.text.length);
  const message = `this is not YAML: ${lowerFirst(error.message)}`;
  diagnostics.error({ file, offset }, [], message, hintOf(file.text, offset, error.message));
  return false;
}

function hintOf(text: string, offset: number, message: string): string {
  if (/tab/iu.test(message)) return 'indent with spaces';
  return text.startsWith('${', offset - 1) ? 'inside { } and [ ] a value with ${…} has to be quoted' : '';
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

const standardTag = 'tag:yaml.org,2002:';

/** Turns one YAML document into a tree. */
class Builder {
  private readonly file: SourceFile;
  private readonly diagnostics: Diagnostics;
  private readonly anchors = new Map<string, TreeNode>();
  /** How many nodes a shared node stands for. */
  private readonly sizes = new TreeSizes();
  private aliasedNodes = 0;
  private exhausted = false;
  private readonly path: PathSegment[] = [];

  constructor(file: SourceFile, diagnostics: Diagnostics) {
    this.file = file;
    this.diagnostics = diagnostics;
  }

  document(document: Document): TreeNode | undefined {
    return document.contents === null ? undefined : this.node(document.contents);
  }

  private node(source: YamlNode | null, fallback = 0): TreeNode {
    if (source === null) return { kind: 'scalar', at: this.place(fallback), value: null };
    if (isAlias(source)) return this.alias(source.source, this.positionOf(source));
    const at = this.positionOf(source);
    const tag = this.tagOf(source.tag, at);
    let built: TreeNode;
    if (isScalar(source)) built = this.scalarNode(source, at);
    else if (isMap(source)) built = this.mapNode(source, at);
    else if (isSeq(source)) built = this.listNode(source.items as (YamlNode | null)[], at);
    else built = { kind: 'scalar', at, value: null };
    if (tag !== undefined) built = { ...built, tag };
    const anchor = source.anchor;
    if (anchor !== undefined) this.anchors.set(anchor, built);
    return built;
  }

  private alias(name: string, at: Position): TreeNode {
    const target = this.anchors.get(name);
    if (target === undefined) {
      this.diagnostics.error(
        at,
        this.path,
        `nothing above is anchored as &${name}`,
        'an alias refers to an anchor earlier in the same document',
      );
      return { kind: 'scalar', at, value: null, invalid: true };
    }
    return this.spend(target, at) ? target : { kind: 'scalar', at, value: null, invalid: true };
  }

  /** Counts the nodes that an alias repeats; false once there are too many. */
  private spend(target: TreeNode, at: Position): boolean {
    this.aliasedNodes += this.sizes.of(target);
    if (this.aliasedNodes <= yamlLimits.aliased) return true;
    if (!this.exhausted) {
      this.exhausted = true;
      this.diagnostics.error(
        at,
        this.path,
        `aliases repeat more than ${yamlLimits.aliased} values`,
        'write less by alias',
      );
    }
    return false;
  }

  private tagOf(tag: string | undefined, at: Position): MergeTag | undefined {
    if (tag === undefined || tag === '!' || tag === '!!map' || tag === '!!seq') return undefined;
    if (tag === '!reset' || tag === '!override') return tag === '!reset' ? 'reset' : 'override';
    const known = ['str', 'int', 'float', 'bool', 'null', 'map', 'seq', 'merge'];
    if (known.some((name) => tag === `${standardTag}${name}`)) return undefined;
    this.diagnostics.error(at, this.path, `the tag ${tag} is not known`, 'Compose has !reset and !override');
    return undefined;
  }

  private scalarNode(source: YamlScalar, at: Position): ScalarNode {
    const text = typeof source.value === 'string' ? source.value : '';
    if (text.includes('\u0000')) {
      this.diagnostics.error(at, this.path, 'the value has a NUL character', 'nothing on Linux can hold one');
      return { kind: 'scalar', at, value: text, invalid: true };
    }
    const { tag } = source;
    if (tag === undefined || tag === '!reset' || tag === '!override') {
      return { kind: 'scalar', at, value: source.type === 'PLAIN' ? resolvePlainScalar(text) : text };
    }
    if (tag === `${standardTag}str` || tag === '!') return { kind: 'scalar', at, value: text };
    return { kind: 'scalar', at, value: resolvePlainScalar(text) };
  }

  private listNode(items: (YamlNode | null)[], at: Position): TreeNode {
    const built = items.map((item, index) => {
      this.path.push(index);
      const node = this.node(item, at.offset);
      this.path.pop();
      return node;
    });
    return { kind: 'list', at, items: built };
  }

  private mapNode(source: YAMLMap, at: Position): MapNode {
    const entries = new Map<string, MapEntry>();
    const merges: TreeNode[] = [];
    for (const pair of source.items as Pair<YamlNode | null, YamlNode | null>[]) {
      const keyAt = pair.key === null ? at : this.positionOf(pair.key);
      const key = this.keyOf(pair.key, keyAt);
      if (key === undefined) continue;
      this.path.push(key);
      const value = this.node(pair.value, keyAt.offset);
      if (key === '<<' && isScalar(pair.key) && pair.key.type === 'PLAIN') {
        if (merges.length > 0) {
          const hint = 'write <<: [*one, *other]';
          this.diagnostics.error(keyAt, this.path, 'the key "<<" is given twice', hint);
        }
        merges.push(value);
      } else this.addEntry(entries, key, { keyAt, value });
      this.path.pop();
    }
    for (const merge of merges) this.mergeInto(entries, merge);
    return { kind: 'map', at, entries };
  }

  private addEntry(entries: Map<string, MapEntry>, key: string, entry: MapEntry): void {
    const earlier = entries.get(key);
    if (earlier === undefined) {
      entries.set(key, entry);
      return;
    }
    this.diagnostics.error(entry.keyAt, this.path, ...repeatedKey(key, earlier.keyAt));
  }

  /** `<<: *base` or `<<: [*a, *b]`: keys the map has itself win, then the first of the list. */
  private mergeInto(entries: Map<string, MapEntry>, merge: TreeNode): void {
    for (const base of merge.kind === 'list' ? merge.items : [merge]) {
      if (base.kind === 'map') {
        for (const [key, entry] of base.entries) if (!entries.has(key)) entries.set(key, entry);
      } else if (!base.invalid) {
        this.diagnostics.error(
          base.at,
          [...this.path, '<<'],
          '<< merges maps, and this is none',
          'write <<: *NAME with the anchor of a map',
        );
      }
    }
  }

  private keyOf(key: YamlNode | null, at: Position): string | undefined {
    const node = key === null ? undefined : this.node(key, at.offset);
    if (node?.kind === 'scalar' && node.invalid) return undefined;
    if (node?.kind === 'scalar' && typeof node.value === 'string') return this.checkedKey(node.value, at);
    const shown = node?.kind === 'scalar' ? String(node.value) : `a ${node?.kind ?? 'missing key'}`;
    const where = this.path.length === 0 ? 'at the top level' : '';
    this.diagnostics.error(
      at,
      this.path,
      `the key ${shown} is not a string${where === '' ? '' : ` ${where}`}`,
      node?.kind === 'scalar' ? `write it in quotes: "${shown}"` : 'keys are words',
    );
    return undefined;
  }

  private checkedKey(key: string, at: Position): string | undefined {
    if (key.length > keyCharactersMax) {
      this.diagnostics.error(at, this.path, 'the key is too long', `at most ${keyCharactersMax} characters`);
      return undefined;
    }
    const odd = invisibleCharacter(key);
    if (odd === undefined) return key;
    this.diagnostics.error(
      at,
      this.path,
      `the key has the character ${odd}, which cannot be seen`,
      'take it out',
    );
    return undefined;
  }

  private positionOf(node: YamlNode): Position {
    return this.place(node.range?.[0] ?? 0);
  }

  private place(offset: number): Position {
    return { file: this.file, offset };
  }
}
