import { isTerminal, type TaskState } from '../../../src/spec/task.ts';
import type { TaskRow } from '../../../src/cli/tasks.ts';
import type { ApplicationSummary } from '../../../src/wire/api.ts';
import type { Container } from './reality.ts';

/**
 * What `ls`, `ps` and the hosts may not say of each other while things move. A look asks `ps`, then `ls` and the hosts, then `ps` again. A task's
 * state never goes back, so that what was shown before and after was so in between, when the others were asked:
 *
 * - a task that was shown running both times runs on the host that it was shown on. The one difference that may be: its container has
 *   ended, and the manager has not heard of it yet; not for longer than `heardMsMax`;
 * - a container that runs was shown before or after, on its host, with its image, and was not shown ended before;
 * - a task that was shown running both times on a node that is down says that this is not known;
 * - where both times all was shown alike, `ls` counts as serving each replica of which a task runs, and says "running" only when those
 *   are all, and all are of the current version.
 *
 * Of a host that is cut off, or has just come back, the tasks that it has are not compared: neither side can know the other.
 */

/** How long a container that has ended may still be shown as running. */
export const heardMsMax = 2_000;

export interface MidwayLook {
  /** When it was begun (monotonic ms). */
  beganMs: number;
  /** Of `ps --all`. */
  before: TaskRow[];
  /** Of `ls`; absent: it does not list the project. */
  summary?: ApplicationSummary;
  containers: Container[];
  after: TaskRow[];
}

export interface Contradictions {
  /** What may not be at any time. */
  wrong: string[];
  /** Tasks that are shown running and do not run, by id: those may only not have been heard of yet. */
  unheard: Map<string, string>;
}

/** Looks one after another: what is unheard of for too long is wrong as well. */
export class MidwayLooks {
  readonly #away: ReadonlySet<string>;
  /** When what is unheard of was first seen (monotonic ms), by task. */
  #since = new Map<string, number>();
  readonly wrong = new Set<string>();
  /** How many looks there were. */
  count = 0;
  /** How many there were in which a host did not answer. */
  missed = 0;

  constructor(away: ReadonlySet<string>) {
    this.#away = away;
  }

  add(look: MidwayLook): void {
    this.count++;
    const { wrong, unheard } = contradictions(look, this.#away);
    for (const line of wrong) this.wrong.add(line);
    const since = new Map<string, number>();
    for (const [id, line] of unheard) {
      const firstMs = this.#since.get(id) ?? look.beganMs;
      since.set(id, firstMs);
      const shownMs = look.beganMs - firstMs;
      if (shownMs >= heardMsMax) this.wrong.add(`${line}, for over ${heardMsMax} ms`);
    }
    this.#since = since;
  }
}

/** `away`: hosts that are or were cut off. */
export function contradictions(look: MidwayLook, away: ReadonlySet<string>): Contradictions {
  const steady = steadyRows(look);
  return {
    wrong: [
      ...look.containers.flatMap((container) => wrongContainer(container, look, away)),
      ...steady
        .filter(isUnfoundedlyRunning)
        .map(({ name, node }) => `ps shows ${name} running on ${node}, which is down, as if that were known`),
      ...wrongSummary(look),
    ],
    unheard: unheardEnds(steady, look.containers, away),
  };
}

/** Rows that were there before and after, in the same state on the same node. */
function steadyRows({ before, after }: MidwayLook): TaskRow[] {
  const later = new Map(after.map((row) => [row.id, row]));
  return before.filter((row) => {
    const other = later.get(row.id);
    return other?.state === row.state && other.node === row.node && other.nodeState === row.nodeState;
  });
}

function isRunning({ state }: TaskRow): boolean {
  return state === 'running';
}

function isUnfoundedlyRunning(row: TaskRow): boolean {
  return isRunning(row) && row.nodeState === 'down' && !row.message.includes('not known');
}

function unheardEnds(
  steady: readonly TaskRow[],
  containers: readonly Container[],
  away: ReadonlySet<string>,
): Map<string, string> {
  const there = new Map(containers.map(({ id, host }) => [id, host]));
  return new Map(
    steady
      .filter((row) => isRunning(row) && !away.has(row.node) && there.get(row.id) !== row.node)
      .map(({ id, name, node }) => [id, `ps shows ${name} (${id}) running on ${node}, and it does not`]),
  );
}

function wrongContainer(
  { id, host, image, version }: Container,
  { before, after }: MidwayLook,
  away: ReadonlySet<string>,
): string[] {
  if (version === '') return []; // it has ended while its host was asked
  const earlier = before.find((row) => row.id === id);
  // It may have been placed since it was shown first.
  const row = after.find((each) => each.id === id) ?? earlier;
  if (row === undefined) return [`container ${id} runs on ${host}, and ps does not show it`];
  const words = `container ${id} of ${row.name} runs on ${host}`;
  const hasEnded = earlier !== undefined && isTerminal(earlier.state as TaskState);
  return [
    ...(row.node === host ? [] : [`${words}, and ps shows it on ${row.node || 'no node'}`]),
    ...(image === '' || row.image === image ? [] : [`${words} with ${image}, and ps shows ${row.image}`]),
    ...(hasEnded && !away.has(host) ? [`${words}, and ps showed it ${earlier.state} before`] : []),
  ];
}

function wrongSummary({ before, summary, after }: MidwayLook): string[] {
  if (summary === undefined) return ['ls does not show the project'];
  if (keyOf(before) !== keyOf(after)) return [];
  const { serving, updated, desired, state } = summary;
  const serve = before.filter((row) => isRunning(row) && row.desiredState === 'running');
  const replicas = new Set(serve.map(({ name }) => name)).size;
  const areCurrent = serve.every(({ version }) => version !== undefined);
  const isWhole = serving === desired && updated === desired && areCurrent;
  return [
    ...(serving === replicas
      ? []
      : [`ls shows ${serving}/${desired} serving, and ps ${replicas} replicas that run`]),
    ...(state === 'running' && !isWhole
      ? [`ls shows running with ${serving}/${desired} serving, ${updated}/${desired} updated`]
      : []),
  ];
}

function keyOf(rows: readonly TaskRow[]): string {
  return JSON.stringify(
    rows.map(({ id, state, desiredState, version, node }) => [id, state, desiredState, version, node]),
  );
}
