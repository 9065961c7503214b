import { contradictions } from './revisions.ts';
import type { Log, Operation } from './history.ts';
import { orderOf } from './order.ts';

/**
 * What is wrong with a history, a line each: once by the store's own revisions and once, key by key, without them. Nothing when the
 * store did as one machine would that does one thing after another.
 */
export function whatIsWrong(history: readonly Operation[], log: Log): string[] {
  const done = new Set(log.map(({ value }) => value));
  const byKey = Map.groupBy(history, ({ key }) => key);
  const keys = [...byKey].flatMap(([key, operations]) => {
    const verdict = orderOf(operations, done);
    return verdict === 'linearizable'
      ? []
      : [`${key}: ${verdict}: no order of its ${operations.length} operations was found`];
  });
  return [...contradictions(history, log), ...keys];
}
