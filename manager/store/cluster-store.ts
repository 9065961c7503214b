import { ShoalError } from '../../src/util/errors.ts';
import type { Store } from './store.ts';

export type Backend = 'embedded' | 'etcd';

export interface MoveTarget {
  backend: Backend;
  /** Opens it. What is in it goes. */
  open: () => Promise<Store>;
  /**
   * Called while writes are held and all is copied: says durably that this one is the store from now on. When it throws, the one of
   * before must be found at the next start; with `internal`, either may be.
   */
  settled: () => Promise<void>;
}

/** The store of this manager, whichever backend it has now. What is switched under it shows as a new lineage. */
export interface ClusterStore extends Store {
  readonly backend: Backend;
  /**
   * Copies everything live to `target`, holds writes for the last of it, and goes on there. Watches end, leaderships end, and
   * what was planned from the old revisions conflicts. Resolves with how long writes were held.
   *
   * When it throws, the store is the one of before, and takes writes.
   */
  moveTo(target: MoveTarget): Promise<{ heldMs: number }>;
}

/** The store of a manager, which may move. */
export function createClusterStore(store: Store, backend: Backend): ClusterStore {
  return {
    backend,
    get lineage() {
      return store.lineage;
    },
    get problem() {
      return store.problem;
    },
    get: (key) => store.get(key),
    list: (prefix, options) => store.list(prefix, options),
    transact: (transaction) => store.transact(transaction),
    watch: (prefix, fromRevision, signal) => store.watch(prefix, fromRevision, signal),
    campaign: (candidate, signal) => store.campaign(candidate, signal),
    watchLeader: (signal) => store.watchLeader(signal),
    close: () => store.close(),
    moveTo: ({ backend: target }) =>
      Promise.reject(new ShoalError('not_supported', `Cannot move the store to ${target} yet`)),
  };
}
