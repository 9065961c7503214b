import { formatBytes } from '../util/text.ts';
import type {
  FileReference,
  Mount,
  NetworkReference,
  PublishedPort,
  Dependency,
  ServiceSpec,
} from './service.ts';

/** Longer values are told to have changed, and not from what to what. */
const valueCharactersMax = 60;
const noValue = '(none)';
/** A service of which more has changed is told by these many, and how many others. */
const differencesMax = 12;

/** Parts of a spec by the names that they have in a Compose file, the longest prefix first; `undefined` is not told. */
const composeNames: readonly (readonly [prefix: string, compose: string | undefined])[] = [
  ['task.container.settings', ''],
  ['task.container.names', ''],
  ['task.container.logs', 'logging'],
  ['task.container.mounts', 'volumes'],
  ['task.container', ''],
  ['task.limits', 'deploy.resources.limits'],
  ['task.reservations', 'deploy.resources.reservations'],
  ['task.restart', 'deploy.restart_policy'],
  ['task.placement', 'deploy.placement'],
  ['task.networks', 'networks'],
  ['task.hostPorts', 'ports'],
  ['task.forceUpdate', undefined],
  ['task', ''],
  ['mode.replicas', 'deploy.replicas'],
  ['mode.kind', 'deploy.mode'],
  ['update', 'deploy.update_config'],
  ['rollback', 'deploy.rollback_config'],
  ['labels', 'deploy.labels'],
  ['endpointMode', 'deploy.endpoint_mode'],
];

/** Of maps whose values may be secret the names are told only. */
const namesOnly = /^task\.container\.environment\./;

/** What the items of lists are called; the list has changed in those that only one side has. */
const itemWords: Record<string, (item: never) => string> = {
  ports: portWords,
  'task.hostPorts': portWords,
  'task.networks': ({ name }: NetworkReference) => name,
  'task.container.mounts': mountWords,
  'task.container.secrets': fileWords,
  'task.container.configs': fileWords,
  dependsOn: ({ service }: Dependency) => service,
};

/**
 * What changes from one spec of a service to another, a line each, by the names of a Compose file: `image: app:1 → app:2`,
 * `deploy.replicas: 6 → 3`, `environment.KEY changed`, `ports: - 80:80/tcp + 8080:80/tcp`. None for equal specs.
 */
export function specDifferences(from: ServiceSpec, to: ServiceSpec): string[] {
  const lines = differencesOf('', from, to);
  if (lines.length <= differencesMax) return lines;
  return [...lines.slice(0, differencesMax), `and ${lines.length - differencesMax} more`];
}

function differencesOf(path: string, from: unknown, to: unknown): string[] {
  if (JSON.stringify(from) === JSON.stringify(to)) return [];
  const words = itemWords[path];
  if (words !== undefined) return [listDifference(path, from, to, words as (item: unknown) => string)];
  if (!isMap(from) && !isMap(to)) return valueDifference(path, from, to);
  const [left, right] = [isMap(from) ? from : {}, isMap(to) ? to : {}];
  const keys = [...new Set([...Object.keys(left), ...Object.keys(right)])];
  return keys.flatMap((key) => differencesOf(path === '' ? key : `${path}.${key}`, left[key], right[key]));
}

function valueDifference(path: string, from: unknown, to: unknown): string[] {
  const name = composeName(path);
  if (name === undefined) return [];
  if (namesOnly.test(path)) {
    return [`${name} ${from === undefined ? 'added' : to === undefined ? 'removed' : 'changed'}`];
  }
  const [before, after] = [valueWords(path, from), valueWords(path, to)];
  const isLong = before.length + after.length > valueCharactersMax;
  return [isLong ? `${name} changed` : `${name}: ${before} → ${after}`];
}

function listDifference(path: string, from: unknown, to: unknown, words: (item: unknown) => string): string {
  const items = (list: unknown) => ((list ?? []) as unknown[]).map(words);
  const [before, after] = [items(from), items(to)];
  const gone = before.filter((item) => !after.includes(item)).map((item) => `- ${item}`);
  const come = after.filter((item) => !before.includes(item)).map((item) => `+ ${item}`);
  const name = composeName(path)!;
  return gone.length + come.length === 0 ? `${name} changed` : `${name}: ${[...gone, ...come].join(' ')}`;
}

function composeName(path: string): string | undefined {
  const [prefix, compose] = composeNames.find(([each]) => path === each || path.startsWith(`${each}.`)) ?? [
    '',
    '',
  ];
  if (compose === undefined) return undefined;
  const rest = path.slice(prefix.length).replace(/^\./, '');
  // Keys of maps are a person's own; what comes before them is ours.
  const [own = '', ...keys] = /^(?:environment|labels|driverOptions|options)\./.test(rest)
    ? rest.split('.')
    : [rest];
  const ours = own
    .replace('nanoCpus', 'cpus')
    .replace(/(?:Ms|Bytes)$/, '')
    .replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return [compose, ours, ...keys].filter((part) => part !== '').join('.');
}

function valueWords(path: string, value: unknown): string {
  if (value === undefined) return noValue;
  if (typeof value === 'number') {
    if (path.endsWith('nanoCpus')) return String(value / 1e9);
    if (path.endsWith('Bytes')) return formatBytes(value);
    if (path.endsWith('Ms')) return value % 1_000 === 0 ? `${value / 1_000}s` : `${value}ms`;
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function portWords({ published, target, protocol, address }: PublishedPort): string {
  const range = typeof published === 'object' ? `${published.first}-${published.last}` : (published ?? '');
  return `${address === undefined ? '' : `${address}:`}${range}:${target}/${protocol}`;
}

function mountWords(mount: Mount): string {
  const source = 'source' in mount && mount.source !== undefined ? `${mount.source}:` : '';
  return `${source}${mount.target}${'readOnly' in mount && mount.readOnly ? ':ro' : ''}`;
}

function fileWords({ name, target }: FileReference): string {
  return `${name}:${target}`;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
