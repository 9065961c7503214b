import { ShoalError } from '../../src/util/errors.ts';
import type { Compare, StoreEvent, Transaction, TransactionResult } from './store.ts';

/** Puts and deletes in one transaction. */
export const transactionChangesMax = 1_024;
/** Bytes of keys and values in one transaction. */
export const transactionBytesMax = 8 * 1024 * 1024;

/**
 * Throws `resource_exhausted` when the transaction is larger than the contract allows, and `invalid_argument` when it changes
 * one key twice (etcd refuses that as well).
 */
export function checkTransaction(transaction: Transaction): void {
  const { puts, deletes } = transaction;
  const changes = puts.length + deletes.length;
  if (changes > transactionChangesMax) {
    throw new ShoalError(
      'resource_exhausted',
      `Cannot write ${changes} changes in one transaction: at most ${transactionChangesMax}`,
    );
  }
  const bytes = puts.reduce(
    (sum, { key, value }) => sum + Buffer.byteLength(key) + Buffer.byteLength(value),
    0,
  );
  if (bytes > transactionBytesMax) {
    throw new ShoalError(
      'resource_exhausted',
      `Cannot write ${bytes} bytes in one transaction: at most ${transactionBytesMax}`,
    );
  }
  const keys = new Set([...puts.map(({ key }) => key), ...deletes]);
  if (keys.size !== changes) {
    throw new ShoalError('invalid_argument', 'Cannot change one key twice in one transaction');
  }
}

/** Whether the revisions that it compares are those of another store's history. */
export function isForeign({ lineage }: Transaction, store: { lineage: string }): boolean {
  return lineage !== undefined && lineage !== store.lineage;
}

/** What becomes of it then: nothing that it was planned from is so. */
export function foreignResult({ compares }: Transaction): TransactionResult {
  return { committed: false, conflicts: compares.map(({ key }) => key) };
}

/** Keys of the compares that do not hold. `revisionOf` gives a key's revision, 0 when it does not exist. */
export function conflictsOf(compares: Compare[], revisionOf: (key: string) => number): string[] {
  return compares.filter(({ key, revision }) => revisionOf(key) !== revision).map(({ key }) => key);
}

/** What watchers will hear. Deleting what does not exist is no event; without events there is no new revision. */
export function eventsOf(transaction: Transaction, revisionOf: (key: string) => number): StoreEvent[] {
  const puts = transaction.puts.map(({ key, value }): StoreEvent => ({ type: 'put', key, value }));
  const deletes = transaction.deletes
    .filter((key) => revisionOf(key) !== 0)
    .map((key): StoreEvent => ({ type: 'delete', key }));
  return [...puts, ...deletes];
}
