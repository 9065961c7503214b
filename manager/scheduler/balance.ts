import { parseSpread, spreadValue, type Spread } from '../../src/spec/spread.ts';
import type { NodeUse } from './node-use.ts';

/**
 * How the tasks of a service are divided among the values of the labels over which it is to be spread: first among the values of
 * the first label, and among nodes of one value by the second, and so on (SwarmKit's rule).
 */
export class Balance {
  readonly #spreads: Spread[];
  /** Tasks by the values of the first label, of the first two, and so on. */
  readonly #tasks = new Map<string, number>();
  readonly #groups = new Map<string, string[]>();

  /**
   * Counts the service's tasks on these nodes, without those that are `leaving` them. Throws `invalid_argument` for a preference
   * that cannot be read.
   */
  constructor(
    serviceId: string,
    preferences: readonly string[],
    uses: Iterable<NodeUse>,
    leaving: ReadonlyMap<string, number>,
  ) {
    this.#spreads = preferences.map(parseSpread);
    if (preferences.length === 0) return;
    for (const use of uses) this.add(use, use.tasksOf(serviceId) - (leaving.get(use.node.id) ?? 0));
  }

  /** Tasks of the service that came to a node. */
  add(use: NodeUse, tasks: number): void {
    for (const group of this.#groupsOf(use)) this.#tasks.set(group, (this.#tasks.get(group) ?? 0) + tasks);
  }

  /** Below zero when a task goes rather to `left`, above when rather to `right`. */
  compare(left: NodeUse, right: NodeUse): number {
    const others = this.#groupsOf(right);
    for (const [level, group] of this.#groupsOf(left).entries()) {
      const other = others[level]!;
      const difference = group === other ? 0 : (this.#tasks.get(group) ?? 0) - (this.#tasks.get(other) ?? 0);
      if (difference !== 0) return difference;
    }
    return 0;
  }

  #groupsOf({ node }: NodeUse): string[] {
    const known = this.#groups.get(node.id);
    if (known !== undefined) return known;
    const values = this.#spreads.map((spread) => spreadValue(node, spread));
    const groups = values.map((_, level) => JSON.stringify(values.slice(0, level + 1)));
    this.#groups.set(node.id, groups);
    return groups;
  }
}
