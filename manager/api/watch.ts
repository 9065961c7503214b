import { groupsOf } from '../../src/util/groups.ts';
import {
  watchLineChangesMax,
  watchLineCharactersMax,
  type ApplicationStatus,
  type WatchedKind,
  type WatchedKinds,
  type WatchLine,
} from '../../src/wire/api.ts';

const limits = { charactersMax: watchLineCharactersMax, textsMax: watchLineChangesMax };

type ValuesOf = { [Kind in WatchedKind]: (status: ApplicationStatus) => WatchedKinds[Kind][] };

const valuesOf: ValuesOf = {
  service: ({ services }) => services.map(({ service }) => service),
  progress: ({ services }) =>
    services.map(({ service, tasks: _told, ...progress }) => ({ id: service.id, ...progress })),
  task: ({ services }) => services.flatMap(({ tasks }) => tasks),
  network: ({ networks }) => networks,
  node: ({ nodes }) => nodes,
};
const kinds = Object.keys(valuesOf) as WatchedKind[];

/** What one watcher of an application knows of it. */
export class Watched {
  /** As it was sent, by id. */
  readonly #told = new Map(kinds.map((kind) => [kind, new Map<string, { id: string }>()]));
  #hasAll = false;

  /**
   * The lines that lead from what the watcher knows to this status; none when nothing has changed. Revision and time alone are no
   * news: they count what happens elsewhere.
   */
  advance(status: ApplicationStatus): string[] {
    const puts: string[] = [];
    const removals: string[] = [];
    for (const kind of kinds) this.#advance(kind, valuesOf[kind](status), puts, removals);
    if (this.#hasAll && puts.length + removals.length === 0) return [];
    this.#hasAll = true;
    return linesOf(puts, removals, status);
  }

  #advance(kind: WatchedKind, values: { id: string }[], puts: string[], removals: string[]): void {
    const told = this.#told.get(kind)!;
    for (const value of values) {
      const before = told.get(value.id);
      if (before !== undefined && isEqual(before, value)) continue;
      told.set(value.id, value);
      puts.push(JSON.stringify({ kind, value }));
    }
    if (told.size === values.length) return;
    const there = new Set(values.map(({ id }) => id));
    for (const id of told.keys()) {
      if (there.has(id)) continue;
      told.delete(id);
      removals.push(JSON.stringify({ kind, id }));
    }
  }
}

/** Stored objects are never modified, so that only what was made for the status has to be looked into. */
function isEqual(left: object, right: object): boolean {
  if (left === right) return true;
  const [entries, others] = [Object.entries(left), new Map<string, unknown>(Object.entries(right))];
  return (
    entries.length === others.size &&
    entries.every(([key, value]) => others.has(key) && others.get(key) === value)
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
