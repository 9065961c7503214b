import type { AssignmentKind, AssignmentPut, AssignmentRemove } from '../../src/wire/session.ts';

/** One assignment, with its text on the wire: made once, however many nodes are sent it. */
export class Fragment {
  readonly put: AssignmentPut;
  #text: string | undefined;

  constructor(put: AssignmentPut) {
    this.put = put;
  }

  get text(): string {
    return (this.#text ??= JSON.stringify(this.put));
  }

  /** `KIND/ID` */
  get key(): string {
    return `${this.put.kind}/${this.put.value.id}`;
  }
}

/** What is to be told first: a task comes after all that it needs, and goes before it. */
const order: Record<AssignmentKind, number> = {
  template: 0,
  network: 1,
  peer: 2,
  service: 3,
  endpoint: 4,
  secret: 5,
  config: 6,
  task: 7,
};

/** What one node is to be told so that it has what it shall have: each key is put or removed, once. */
export class Increment {
  readonly #entries = new Map<string, Fragment | AssignmentRemove>();

  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  put(fragment: Fragment): void {
    this.#entries.set(fragment.key, fragment);
  }

  /** What is put as well was only replaced: it stays. */
  remove(kind: AssignmentKind, id: string): void {
    const key = `${kind}/${id}`;
    if (!this.#entries.has(key)) this.#entries.set(key, { kind, id });
  }

  get puts(): Fragment[] {
    const puts = [...this.#entries.values()].filter((entry) => entry instanceof Fragment);
    return puts.sort((left, right) => order[left.put.kind] - order[right.put.kind]);
  }

  get removals(): AssignmentRemove[] {
    const entries = [...this.#entries.values()];
    const removals = entries.flatMap((entry) => (entry instanceof Fragment ? [] : [entry]));
    return removals.sort((left, right) => order[right.kind] - order[left.kind]);
  }

  /** Ids of tasks that must not get connections any more. */
  get removedEndpoints(): string[] {
    return this.removals.filter(({ kind }) => kind === 'endpoint').map(({ id }) => id);
  }
}

/** The increments of many nodes. */
export class Increments {
  readonly #byNode = new Map<string, Increment>();

  of(nodeId: string): Increment {
    const known = this.#byNode.get(nodeId);
    if (known !== undefined) return known;
    const increment = new Increment();
    this.#byNode.set(nodeId, increment);
    return increment;
  }

  get(nodeId: string): Increment | undefined {
    return this.#byNode.get(nodeId);
  }

  /** Leads from one fragment to another; undefined: nothing of the kind. */
  change(nodeId: string, before: Fragment | undefined, after: Fragment | undefined): void {
    if (before === after || (before !== undefined && before.text === after?.text)) return;
    const increment = this.of(nodeId);
    if (before !== undefined && before.key !== after?.key)
      increment.remove(before.put.kind, before.put.value.id);
    if (after !== undefined) increment.put(after);
  }
}
