import type { Operation } from './history.ts';

/** Looks further than this are given up: the history of one key is too long, or too many of its calls were at once. */
const looksMax = 2_000_000;

export type Verdict = 'linearizable' | 'contradictory' | 'not known';

/** What of a register an operation needs to see, and what it leaves there. */
interface Step {
  calledAt: number;
  returnedAt: number;
  /** The register afterwards; undefined when it cannot take effect on that value. */
  apply: (value: string | undefined) => { value: string | undefined } | undefined;
}

/**
 * Whether there is an order of one key's operations that explains all answers and keeps to the order in time (Wing and Gong's search, with
 * the memory of Lowe). It looks at no revision. `done`: values that are known to have been written: of the swaps that were not answered
 * the others are left out.
 */
export function orderOf(history: readonly Operation[], done: ReadonlySet<string>): Verdict {
  const steps = history.flatMap((operation) => stepOf(operation, done));
  steps.sort((one, other) => one.calledAt - other.calledAt);
  return search(steps);
}

function stepOf({ asked, answer, calledAt, returnedAt }: Operation, done: ReadonlySet<string>): Step[] {
  const times = { calledAt, returnedAt };
  if (asked.kind === 'read') {
    if (answer.kind !== 'found') return [];
    const found = answer.version?.value;
    return [{ ...times, apply: (value) => (value === found ? { value } : undefined) }];
  }
  const expected = asked.expected?.value;
  if (answer.kind === 'refused')
    return [{ ...times, apply: (value) => (value === expected ? undefined : { value }) }];
  if (answer.kind === 'unknown' && !done.has(asked.value)) return [];
  return [{ ...times, apply: (value) => (value === expected ? { value: asked.value } : undefined) }];
}

/** Which steps have been taken: all below `low`, and these above it. */
class Taken {
  readonly #taken: boolean[] = [];
  #low = 0;

  get low(): number {
    return this.#low;
  }

  has(step: number): boolean {
    return this.#taken[step] === true;
  }

  add(step: number): void {
    this.#taken[step] = true;
    while (this.has(this.#low)) this.#low++;
  }

  remove(step: number): void {
    this.#taken[step] = false;
    this.#low = Math.min(this.#low, step);
  }

  /** The same for the same steps. Of those above `low` there are no more than there are clients, and calls without an answer. */
  toString(): string {
    const above = [...this.#taken.keys()].slice(this.#low).filter((step) => this.has(step));
    return `${this.#low} ${above.join()}`;
  }
}

/** Takes one step after another that was called before any other left has returned, and goes back when none fits. */
function search(steps: readonly Step[]): Verdict {
  const taken = new Taken();
  const seen = new Set<string>();
  const chosen: { step: number; before: string | undefined }[] = [];
  let value: string | undefined;
  let from = 0;
  for (let looks = 0; taken.low < steps.length; looks++) {
    if (looks > looksMax) return 'not known';
    const step = nextStep(steps, taken, from, value);
    if (step !== undefined) {
      const before = value;
      value = steps[step]!.apply(value)!.value;
      taken.add(step);
      const state = `${value} ${taken.toString()}`;
      if (seen.has(state)) {
        taken.remove(step);
        value = before;
        from = step + 1;
      } else {
        seen.add(state);
        chosen.push({ step, before });
        from = 0;
      }
      continue;
    }
    const last = chosen.pop();
    if (last === undefined) return 'contradictory';
    taken.remove(last.step);
    value = last.before;
    from = last.step + 1;
  }
  return 'linearizable';
}

/** The first from `from` on that may come next: nothing that is left has returned before it was called. */
function nextStep(
  steps: readonly Step[],
  taken: Taken,
  from: number,
  value: string | undefined,
): number | undefined {
  let firstReturn = Infinity;
  for (let step = taken.low; step < steps.length; step++) {
    const { calledAt, returnedAt, apply } = steps[step]!;
    if (calledAt > firstReturn) return undefined; // nor may any later one
    if (taken.has(step)) continue;
    firstReturn = Math.min(firstReturn, returnedAt);
    if (step >= from && apply(value) !== undefined) return step;
  }
  return undefined;
}
