import { groupsOf } from '../../src/util/groups.ts';
import {
  watchLineChangesMax,
  watchLineCharactersMax,
  type ApplicationStatus,
  type WatchLine,
  type WatchPut,
} from '../../src/wire/api.ts';

const limits = { charactersMax: watchLineCharactersMax, textsMax: watchLineChangesMax };

/** What one watcher of an application knows of it. */
export class Watched {
  /** By `KIND/ID`, as it was sent. */
  #told = new Map<string, WatchPut>();
  #hasAll = false;

  /**
   * The lines that lead from what the watcher knows to this status; none when nothing has changed. Revision and time alone are no
   * news: they count what happens elsewhere.
   */
  advance(status: ApplicationStatus): string[] {
    const now = new Map<string, WatchPut>();
    const puts: string[] = [];
    for (const put of putsOf(status)) {
      const key = `${put.kind}/${put.value.id}`;
      const before = this.#told.get(key);
      const isSame = before !== undefined && isEqual(before.value, put.value);
      now.set(key, isSame ? before : put);
      if (!isSame) puts.push(JSON.stringify(put));
    }
    const gone = [...this.#told].filter(([key]) => !now.has(key));
    const removals = gone.map(([, { kind, value }]) => JSON.stringify({ kind, id: value.id }));
    if (this.#hasAll && puts.length + removals.length === 0) return [];
    this.#told = now;
    this.#hasAll = true;
    return linesOf(puts, removals, status);
  }
}

function* putsOf({ services, networks, nodes }: ApplicationStatus): Generator<WatchPut> {
  for (const { service, tasks, ...progress } of services) {
    yield { kind: 'service', value: service };
    yield { kind: 'progress', value: { id: service.id, ...progress } };
    for (const value of tasks) yield { kind: 'task', value };
  }
  for (const value of networks) yield { kind: 'network', value };
  for (const value of nodes) yield { kind: 'node', value };
}

/** Stored objects are never modified, so that only what was made for the status has to be looked into. */
function isEqual(left: object, right: object): boolean {
  if (left === right) return true;
  const [leftEntries, rightEntries] = [Object.entries(left), Object.entries(right)];
  const values = new Map<string, unknown>(rightEntries);
  return (
    leftEntries.length === rightEntries.length &&
    leftEntries.every(([key, value]) => values.has(key) && values.get(key) === value)
  );
}

function linesOf(puts: string[], removals: string[], { name, revision, now }: ApplicationStatus): string[] {
  const lines = [
    ...[...groupsOf(puts, limits)].map((group) => ({ put: group.join(','), remove: '' })),
    ...[...groupsOf(removals, limits)].map((group) => ({ put: '', remove: group.join(',') })),
  ];
  if (lines.length === 0) lines.push({ put: '', remove: '' });
  const whole = `,"whole":${JSON.stringify({ name, revision, now } satisfies WatchLine['whole'])}`;
  return lines.map(
    ({ put, remove }, index) =>
      `{"put":[${put}],"remove":[${remove}]${index === lines.length - 1 ? whole : ''}}`,
  );
}
