import { describe, type Log, type Operation, type Version } from './history.ts';

/** When a version of a key was the current one: from its own revision to the next one's. */
interface Reign {
  from: number;
  /** The first revision at which it is so no more. */
  until: number;
  value: string | undefined;
}

/**
 * Whether a history is linearizable in the order of the store's own revisions. Each operation takes effect at a revision: a swap at its own,
 * what was found or refused at the lowest one that explains it. No operation may take effect before one that had been answered
 * when it was called. Gives what contradicts that, a line each; nothing when all is well.
 */
export function contradictions(history: readonly Operation[], log: Log): string[] {
  const reigns = reignsOf(log);
  const wrong: string[] = [];
  const calls = history.toSorted((one, other) => one.calledAt - other.calledAt);
  const answered: { returnedAt: number; effect: number }[] = [];
  for (const operation of calls) {
    const least = answered
      .filter(({ returnedAt }) => returnedAt < operation.calledAt)
      .reduce((most, { effect }) => Math.max(most, effect), 0);
    const effect = effectOf(operation, reigns.get(operation.key) ?? noReigns, least);
    if (effect === undefined) continue;
    if (effect === 'none') wrong.push(`${describe(operation)}: nothing after revision ${least} explains it`);
    else remember(answered, { returnedAt: operation.returnedAt, effect });
  }
  return wrong;
}

const noReigns: readonly Reign[] = [{ from: 0, until: Infinity, value: undefined }];

function reignsOf(log: Log): Map<string, Reign[]> {
  const reigns = new Map<string, Reign[]>();
  for (const { key, revision, value } of log) {
    const known = reigns.get(key) ?? [{ from: 0, until: Infinity, value: undefined }];
    known.at(-1)!.until = revision;
    known.push({ from: revision, until: Infinity, value });
    reigns.set(key, known);
  }
  return reigns;
}

/** Of those that were answered before another one with as great an effect only that one counts. */
function remember(
  answered: { returnedAt: number; effect: number }[],
  one: { returnedAt: number; effect: number },
): void {
  if (answered.some((each) => each.returnedAt <= one.returnedAt && each.effect >= one.effect)) return;
  const kept = answered.filter((each) => each.returnedAt < one.returnedAt || each.effect > one.effect);
  answered.splice(0, answered.length, ...kept, one);
}

/** The revision at which it takes effect, not below `least`; undefined when it has had none. */
function effectOf(
  { asked, answer }: Operation,
  reigns: readonly Reign[],
  least: number,
): number | 'none' | undefined {
  if (asked.kind === 'read') {
    return answer.kind === 'found' ? during(reignOf(reigns, answer.version), least) : undefined;
  }
  const before = reigns.findIndex(({ value }) => value === asked.expected?.value);
  const own = reigns.findIndex(({ value }) => value === asked.value);
  if (answer.kind === 'refused') {
    if (own !== -1) return 'none';
    const reign = reigns[before];
    // refused for what came before or after the version that it would have replaced
    if (reign === undefined || least < reign.from || least >= reign.until) return least;
    return Number.isFinite(reign.until) ? reign.until : 'none';
  }
  if (own === -1) return answer.kind === 'unknown' ? undefined : 'none';
  const { from } = reigns[own]!;
  const isRight =
    own === before + 1 &&
    (answer.kind === 'unknown' || (answer.kind === 'swapped' && answer.revision === from));
  return isRight && from > least ? from : 'none';
}

function reignOf(reigns: readonly Reign[], version: Version | undefined): Reign | undefined {
  return reigns.find(
    ({ from, value }) => value === version?.value && (version === undefined || version.revision === from),
  );
}

/** The lowest revision of the reign that is not below `least`. */
function during(reign: Reign | undefined, least: number): number | 'none' {
  return reign !== undefined && least < reign.until ? Math.max(reign.from, least) : 'none';
}
