import { posix } from 'node:path';
import type { Diagnostics } from './diagnostic.ts';
import { invisibleCharacter } from './invisible.ts';
import { isCdiName } from './cdi-name.ts';
import { cleanPath, parseShortMount } from './mounts.ts';
import { parseShortPort } from './ports.ts';
import { numberText } from './scalar.ts';
import type { ListNode, MapEntry, MapNode, Plain, Scalar, TreeNode, PathSegment } from './tree.ts';
import { childOf, fromPlain, isNull, list, map, markInvalid, scalar, textOf } from './tree.ts';
import {
  formatDuration,
  formatFileMode,
  parseBoolean,
  parseBytes,
  parseDuration,
  parseFileMode,
  parseInteger,
  parseNumber,
  splitWords,
} from './values.ts';

export interface FormContext {
  diagnostics: Diagnostics;
  /** Where the node is, for messages. */
  path: PathSegment[];
  /** Relative paths are relative to this one. */
  baseDirectory: string;
  /** What `~` stands for; undefined when nobody knows. */
  homeDirectory: string | undefined;
  /** Variables are left in place, and so are the values that have any. */
  keepVariables?: boolean;
  /** Paths stay as they are written; those of another directory become relative to this one. */
  keepPathsFrom?: string;
}

/** Gives the canonical form of a node, or the node itself where it cannot: the schema then says what is wrong. */
type Form = (node: TreeNode, context: FormContext) => TreeNode;

export type FormName = keyof typeof forms;

/** The ways to write an attribute, each turned into the canonical one; named by the schema's keyword `form`. */
export const forms = {
  integer: onScalar((value) => (typeof value === 'string' ? parseInteger(value) : undefined)),
  number: onScalar((value) => (typeof value === 'string' ? parseNumber(value) : undefined)),
  boolean: onScalar((value) => (typeof value === 'string' ? parseBoolean(value) : undefined)),
  duration: onScalar(canonicalDuration),
  bytes: onScalar(canonicalBytes),
  fileMode: onScalar(canonicalFileMode),
  numericText: onScalar((value) => (typeof value === 'number' ? numberText(value) : undefined)),
  published: onScalar((value) => (typeof value === 'number' ? numberText(value) : undefined)),
  lowerCase: onScalar((value) => (typeof value === 'string' ? value.toLowerCase() : undefined)),
  asText: (node) => asText(node),
  external,
  cleanPath: onScalar((value) => (typeof value === 'string' && value !== '' ? cleanPath(value) : undefined)),
  projectPath,
  sourcePath,
  texts: (node) => (node.kind === 'scalar' && textOf(node) !== undefined ? list(node.at, [node]) : node),
  filledTexts: (node) => {
    const all = node.kind === 'scalar' && textOf(node) !== undefined ? list(node.at, [node]) : node;
    return all.kind === 'list' ? { ...all, items: all.items.filter((item) => textOf(item) !== '') } : all;
  },
  keyValues: (node, context) => keyValues(node, context, null),
  labels: (node, context) => keyValues(node, context, ''),
  command,
  healthcheckTest,
  ports,
  mounts,
  extraHosts,
  devices,
  microseconds: onScalar(wholeMicroseconds),
  wholeTexts: (node) => (node.kind === 'list' ? { ...node, items: node.items.map(wholeAsText) } : node),
  secrets: (node) => references(node, 'source'),
  configs: (node) => references(node, 'source'),
  envFiles: (node) => references(textOf(node) === undefined ? node : list(node.at, [node]), 'path'),
  dependsOn,
  extends: (node) => (textOf(node) === undefined ? node : map(node.at, { service: node })),
  includes: (node) => (node.kind === 'list' ? { ...node, items: node.items.map(include) } : node),
  serviceNetworks: (node) => namesAsMap(node, () => null),
  textValues: (node) => eachValue(node, asText),
  numberTexts: (node) => eachValue(node, numberAsText),
  logOptions: (node) =>
    eachValue(node, (value) => (isNull(value) ? scalar(value.at, '') : numberAsText(value))),
  textLists: (node) => eachValue(node, textsOf),
  build: (node) => (textOf(node) === undefined ? node : map(node.at, { context: node })),
  buildContext,
  gpus: (node) =>
    textOf(node) === 'all' ? list(node.at, [map(node.at, { count: scalar(node.at, allDevices) })]) : node,
  deviceRequest,
  deviceCount: onScalar((value) => {
    if (typeof value !== 'string') return undefined;
    return value.toLowerCase() === 'all' ? allDevices : parseInteger(value);
  }),
} satisfies Record<string, Form>;

function onScalar(convert: (value: Scalar) => Scalar | undefined): Form {
  return (node) => {
    if (node.kind !== 'scalar') return node;
    const value = convert(node.value);
    return value === undefined || value === node.value ? node : { ...node, value };
  };
}

function canonicalDuration(value: Scalar): Scalar | undefined {
  if (typeof value === 'string' && /^[1-5]?[0-9]s$/u.test(value)) return undefined; // nearly all are canonical
  const nanoseconds = typeof value === 'string' ? parseDuration(value) : undefined;
  return nanoseconds === undefined ? undefined : formatDuration(nanoseconds);
}

function wholeMicroseconds(value: Scalar): Scalar | undefined {
  if (typeof value !== 'string') return undefined;
  const nanoseconds = /[a-z]/u.test(value) ? parseDuration(value) : undefined;
  return nanoseconds === undefined ? parseInteger(value) : Number(nanoseconds / 1000n);
}

function canonicalBytes(value: Scalar): Scalar | undefined {
  const bytes =
    typeof value === 'string' ? parseBytes(value) : Number.isSafeInteger(value) ? Number(value) : undefined;
  return bytes === undefined ? undefined : String(bytes);
}

function canonicalFileMode(value: Scalar): Scalar | undefined {
  const mode = typeof value === 'string' || typeof value === 'number' ? parseFileMode(value) : undefined;
  return mode === undefined ? undefined : formatFileMode(mode);
}

/** The path of a file that belongs to the application. */
function projectPath(node: TreeNode, context: FormContext): TreeNode {
  const path = textOf(node);
  const { baseDirectory, keepPathsFrom } = context;
  if (path === undefined || path === '' || keepPathsFrom === undefined || /^[~/]/u.test(path)) {
    return sourcePath(node, context);
  }
  const way = posix.relative(keepPathsFrom, baseDirectory);
  return way === '' ? node : scalar(node.at, posix.join(way, path));
}

/** The path of a file that is read as a part of the Compose file itself: always absolute. */
function sourcePath(node: TreeNode, context: FormContext): TreeNode {
  const path = textOf(node);
  if (path === undefined || path === '') return node;
  return scalar(node.at, absolutePath(path, context));
}

/** The path as an absolute one: `~` is the home directory, and a relative one is relative to the base directory. */
function absolutePath(path: string, context: FormContext): string {
  if (context.homeDirectory !== undefined && (path === '~' || path.startsWith('~/'))) {
    return posix.join(context.homeDirectory, path.slice(1));
  }
  return posix.resolve(context.baseDirectory, path);
}

function fault(node: TreeNode, context: FormContext, message: string, hint: string): TreeNode {
  context.diagnostics.error(node.at, context.path, message, hint);
  return markInvalid(node);
}

/** `external: { name: NAME }`, the old way, becomes `name: NAME` and `external: true`. */
function external(node: TreeNode, context: FormContext): TreeNode {
  const old = node.kind === 'map' ? node.entries.get('external') : undefined;
  if (node.kind !== 'map' || old?.value.kind !== 'map') return node;
  if ([...old.value.entries.keys()].some((key) => key !== 'name' && !key.startsWith('x-'))) return node;
  const said = old.value.entries.get('name');
  const named = node.entries.get('name');
  const entries = new Map(node.entries);
  entries.set('external', { ...old, value: scalar(old.value.at, true) });
  if (said !== undefined) {
    const path = [...context.path, 'external', 'name'];
    const hint = 'write name and external: true beside each other';
    context.diagnostics.warning(said.keyAt, path, 'external.name is deprecated', hint);
    if (named !== undefined && textOf(named.value) !== textOf(said.value)) {
      context.diagnostics.error(said.keyAt, path, 'name says another name', 'keep name');
    } else entries.set('name', said);
  }
  return { ...node, entries };
}

/** A number, true or false as the text that Go prints for it. */
function asText(node: TreeNode): TreeNode {
  if (node.kind !== 'scalar' || typeof node.value === 'string' || node.value === null) return node;
  return { ...node, value: typeof node.value === 'number' ? numberText(node.value) : String(node.value) };
}

/** A number as text; true and false stay. */
function numberAsText(node: TreeNode): TreeNode {
  return node.kind === 'scalar' && typeof node.value === 'number' ? asText(node) : node;
}

function wholeAsText(node: TreeNode): TreeNode {
  return node.kind === 'scalar' && Number.isInteger(node.value) ? asText(node) : node;
}

function keyValues(node: TreeNode, context: FormContext, absent: '' | null): TreeNode {
  const entries = new Map<string, MapEntry>();
  if (node.kind === 'map') {
    for (const [key, entry] of node.entries) {
      const value = asText(entry.value);
      const isAbsent = value.kind === 'scalar' && value.value === null;
      entries.set(key, { keyAt: entry.keyAt, value: isAbsent ? { ...value, value: absent } : value });
    }
    return { ...node, kind: 'map', entries };
  }
  if (node.kind !== 'list') return node;
  for (const [index, item] of node.items.entries()) {
    const assignment = assignmentOf(item);
    if (assignment === undefined) {
      context.path.push(index);
      fault(item, context, `${describeNode(item)} is not NAME=value`, assignmentHint(item));
      context.path.pop();
      continue;
    }
    const equals = assignment.indexOf('=');
    const key = equals < 0 ? assignment : assignment.slice(0, equals);
    if (absent === null && /\s$/u.test(key)) {
      context.path.push(index);
      fault(item, context, `the name ${JSON.stringify(key)} ends in a space`, 'write NAME=value');
      context.path.pop();
      continue;
    }
    const odd = invisibleCharacter(key);
    if (odd !== undefined) {
      context.path.push(index);
      fault(item, context, `the name has the character ${odd}, which cannot be seen`, 'take it out');
      context.path.pop();
      continue;
    }
    const value = equals < 0 ? absent : assignment.slice(equals + 1);
    entries.set(key, { keyAt: item.at, value: scalar(item.at, value) });
  }
  return { kind: 'map', at: node.at, entries };
}

function assignmentOf(item: TreeNode): string | undefined {
  const text = textOf(item);
  return text === undefined || text === '' || text.startsWith('=') ? undefined : text;
}

function assignmentHint(item: TreeNode): string {
  if (item.kind !== 'map') return 'write NAME=value';
  const [key = 'NAME'] = item.entries.keys();
  return `write - ${key}=value, or leave out the - to make it a map`;
}

/** What a node is, in a few words for a message. */
export function describeNode(node: TreeNode): string {
  if (node.kind === 'map') return 'a map';
  if (node.kind === 'list') return 'a list';
  if (node.value === null) return 'nothing';
  const text = typeof node.value === 'string' ? JSON.stringify(node.value) : numberOrBoolean(node.value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function numberOrBoolean(value: number | boolean): string {
  return typeof value === 'number' ? numberText(value) : String(value);
}

function command(node: TreeNode, context: FormContext): TreeNode {
  const text = textOf(node);
  if (text === undefined) return node;
  const result = splitWords(text);
  if ('fault' in result) {
    return fault(node, context, result.fault, `write ["sh", "-c", "…"] for a shell, or quote it`);
  }
  return list(
    node.at,
    result.words.map((word) => scalar(node.at, word)),
  );
}

function include(node: TreeNode): TreeNode {
  return textOf(node) === undefined ? node : map(node.at, { path: list(node.at, [node]) });
}

function healthcheckTest(node: TreeNode): TreeNode {
  return textOf(node) === undefined ? node : list(node.at, [scalar(node.at, 'CMD-SHELL'), node]);
}

/** Each item by a function that may give several, with the item's place in the path. */
function eachItem(
  node: TreeNode,
  context: FormContext,
  change: (item: TreeNode) => readonly TreeNode[],
): TreeNode {
  if (node.kind !== 'list') return node;
  const items: TreeNode[] = [];
  for (const [index, item] of node.items.entries()) {
    context.path.push(index);
    items.push(...change(item));
    context.path.pop();
  }
  return { ...node, items };
}

/** Ranges never make more ports of a list than this. */
const portsMax = 4096;

function ports(node: TreeNode, context: FormContext): TreeNode {
  let count = 0;
  return eachItem(node, context, (item) => {
    const text = textOf(asText(item));
    if (item.kind !== 'scalar' || text === undefined) return [item];
    if (count > portsMax) return []; // said already
    const result = parseShortPort(text);
    if ('fault' in result) return [fault(item, context, result.fault, result.hint)];
    count += result.ports.length;
    if (count > portsMax) {
      return [fault(item, context, 'the ranges make too many ports', `at most ${portsMax} in all`)];
    }
    return result.ports.map((port) => fromPlain(item.at, { ...port }));
  });
}

function mounts(node: TreeNode, context: FormContext): TreeNode {
  return eachItem(node, context, (item) => {
    const text = textOf(item);
    if (text === undefined) return [withAbsoluteSource(item, context)];
    const result = parseShortMount(text);
    if ('fault' in result) return [fault(item, context, result.fault, result.hint)];
    for (const option of result.ignored) {
      const message = `${JSON.stringify(option)} means nothing to a mount of type ${result.mount.type}, and is left out`;
      context.diagnostics.warning(item.at, context.path, message);
    }
    // Our own plain literal: interfaces have no index signature that Plain could see.
    return [withAbsoluteSource(fromPlain(item.at, result.mount as unknown as Plain), context)];
  });
}

/** The source of a bind mount is a path on a host: absolute, with what was written if that was not. */
function withAbsoluteSource(node: TreeNode, context: FormContext): TreeNode {
  const source = childOf(node, 'source');
  const path = textOf(source);
  if (node.kind !== 'map' || textOf(childOf(node, 'type')) !== 'bind' || path === undefined) return node;
  if (path === '' || /^(?:\/|\\|[a-zA-Z]:[\\/])/u.test(path)) return node;
  const entry = node.entries.get('source')!;
  const absolute: TreeNode = {
    ...scalar(entry.value.at, textOf(projectPath(entry.value, context))!),
    relative: path,
  };
  return { ...node, entries: new Map([...node.entries, ['source', { ...entry, value: absolute }]]) };
}

/** Items that are plain names become maps with that name under `key`. */
function references(node: TreeNode, key: string): TreeNode {
  if (node.kind !== 'list') return node;
  const items = node.items.map((item) => (textOf(item) === undefined ? item : map(item.at, { [key]: item })));
  return { ...node, items } satisfies ListNode;
}

function dependsOn(node: TreeNode): TreeNode {
  return namesAsMap(node, () => ({ condition: 'service_started', required: true }));
}

/** One number stands for both limits. */
function eachValue(node: TreeNode, change: (value: TreeNode) => TreeNode): TreeNode {
  if (node.kind !== 'map') return node;
  const entries = new Map<string, MapEntry>();
  for (const [key, entry] of node.entries) entries.set(key, { ...entry, value: change(entry.value) });
  return { ...node, entries };
}

/** `NAME=ADDRESS`, `NAME:ADDRESS` or a map of name to one or several addresses, with `[…]` around one of version 6. */
function extraHosts(node: TreeNode): TreeNode {
  const line = (at: TreeNode, name: string, address: string) =>
    scalar(at.at, `${name}=${address.trim().replace(/^\[(.*)\]$/u, '$1')}`);
  if (node.kind === 'list') {
    const items = node.items.flatMap((item) => {
      const [, name, addresses] = /^([^=:]+)[=:](.+)$/u.exec(textOf(item) ?? '') ?? [];
      if (name === undefined || addresses === undefined) return [item];
      return addresses.split(',').map((address) => line(item, name.trim(), address));
    });
    return { ...node, items };
  }
  if (node.kind !== 'map') return node;
  const items = [...node.entries].flatMap(([name, { value }]) =>
    (value.kind === 'list' ? value.items : [value]).map((item) => {
      const address = textOf(item);
      return address === undefined ? item : line(item, name, address);
    }),
  );
  return list(node.at, items);
}

/** A text or a list of texts as a list. */
function textsOf(node: TreeNode): TreeNode {
  if (node.kind === 'list') return { ...node, items: node.items.map(asText) };
  return node.kind === 'scalar' && node.value !== null ? list(node.at, [asText(node)]) : node;
}

/** What is no address, image or service is a path. */
function buildContext(node: TreeNode, context: FormContext): TreeNode {
  const isElsewhere = /^(?:[a-z][a-z0-9+.-]*:\/\/|git@|github\.com\/|service:)/u.test(textOf(node) ?? '');
  return isElsewhere ? node : projectPath(node, context);
}

/** How many devices `all` are. */
const allDevices = -1;

/** All devices are meant where neither a number nor their names are given. */
function deviceRequest(node: TreeNode): TreeNode {
  if (node.kind !== 'map' || node.entries.has('count') || node.entries.has('device_ids')) return node;
  const count = { keyAt: node.at, value: scalar(node.at, allDevices) };
  return { ...node, entries: new Map([...node.entries, ['count', count]]) };
}

/** `SOURCE[:TARGET[:PERMISSIONS]]`. */
function devices(node: TreeNode): TreeNode {
  if (node.kind !== 'list') return node;
  const items = node.items.map((item) => {
    const text = textOf(item);
    if (text !== undefined) {
      if (isCdiName(text)) return fromPlain(item.at, { source: text, target: text, permissions: 'rwm' });
      const parts = text.split(':');
      const [source = '', target = '', permissions = 'rwm'] = parts;
      if (parts.length > 3) return item;
      // `SOURCE:r` has no permissions but a path, which is none: a path follows the source.
      return fromPlain(item.at, { source, target: target === '' ? source : target, permissions });
    }
    if (item.kind !== 'map' || item.entries.has('target')) return item;
    const source = item.entries.get('source');
    return source === undefined ? item : { ...item, entries: new Map([...item.entries, ['target', source]]) };
  });
  return { ...node, items };
}

function namesAsMap(node: TreeNode, value: (name: string) => Plain): TreeNode {
  if (node.kind !== 'list') return node;
  const entries = new Map<string, MapEntry>();
  for (const item of node.items) {
    const name = textOf(item);
    if (name === undefined) return node;
    entries.set(name, { keyAt: item.at, value: fromPlain(item.at, value(name)) });
  }
  return { kind: 'map', at: node.at, entries } satisfies MapNode;
}
