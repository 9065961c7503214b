import type { NodeCondition, NodeConditionType } from '../../src/spec/node.ts';
import type { Logger } from '../../src/util/log.ts';

/** Longer words are cut: they are stored in the cluster's state. */
export const conditionMessageMax = 1_000;

/** What a part of the agent needs to say that something is wrong with this host. */
export interface ConditionReporter {
  /** It is wrong, in these words, as `source` sees it. Repeating it costs nothing. */
  set(type: NodeConditionType, source: string, message: string): void;
  /** `source` sees nothing wrong of this type any more. */
  clear(type: NodeConditionType, source: string): void;
}

export type ReportedCondition = Pick<NodeCondition, 'type' | 'message'>;

/** What is wrong with this host now, each type with the words of all parts that say so. */
export class HostConditions implements ConditionReporter {
  readonly #log: Logger;
  readonly #held = new Map<NodeConditionType, Map<string, string>>();
  readonly #callbacks = new Set<() => void>();

  constructor(log: Logger) {
    this.#log = log;
  }

  set(type: NodeConditionType, source: string, message: string): void {
    const sources = this.#held.get(type) ?? new Map<string, string>();
    if (sources.get(source) === message) return;
    if (!sources.has(source)) this.#log.warn('a condition holds on this host', { type, source, message });
    this.#held.set(type, sources.set(source, message));
    this.#changed();
  }

  clear(type: NodeConditionType, source: string): void {
    const sources = this.#held.get(type);
    if (!sources?.delete(source)) return;
    if (sources.size === 0) this.#held.delete(type);
    this.#log.info('a condition is over on this host', { type, source });
    this.#changed();
  }

  /** All that hold, one for each type, by type. */
  list(): ReportedCondition[] {
    return [...this.#held]
      .map(([type, sources]) => ({ type, message: cut([...sources.values()].join('; ')) }))
      .sort((left, right) => (left.type < right.type ? -1 : 1));
  }

  /** Calls back after every change. Returns how to stop that. */
  onChange(callback: () => void): () => void {
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  }

  #changed(): void {
    for (const callback of this.#callbacks) callback();
  }
}

function cut(text: string): string {
  return text.length > conditionMessageMax ? `${text.slice(0, conditionMessageMax)}…` : text;
}
