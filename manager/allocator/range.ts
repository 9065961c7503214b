import { subnetSize, type Subnet } from '../../src/spec/address.ts';

/** Whole numbers from `first` to `last`, both included: addresses, ports, VNIs. */
export interface Range {
  first: number;
  last: number;
}

/**
 * The number given out last, by what is given out (`cursorName`). What was given back is not given out again until the whole
 * range has been passed: somewhere a stale neighbour entry, connection or DNS answer may still point at it.
 */
export type Cursors = Map<string, number>;

export const cursorName = {
  vni: 'vni',
  /** Counts the subnets of the cluster's pool. */
  subnet: 'subnet',
  port: 'port',
  tasks: (networkId: string) => `tasks/${networkId}`,
  virtual: (networkId: string) => `virtual/${networkId}`,
} as const;

/** The first free number after `cursor`, going upwards and around; undefined when all are used. */
export function nextFree(
  { first, last }: Range,
  cursor: number | undefined,
  isUsed: (candidate: number) => boolean,
): number | undefined {
  const size = last - first + 1;
  const start = cursor === undefined || cursor < first || cursor >= last ? first : cursor + 1;
  for (let step = 0; step < size; step++) {
    const candidate = first + ((start - first + step) % size);
    if (!isUsed(candidate)) return candidate;
  }
  return undefined;
}

/** The addresses of a subnet that an interface can have: all but the network's own and the broadcast address. */
export function usableAddresses(subnet: Subnet): Range {
  return { first: subnet.base + 1, last: subnet.base + subnetSize(subnet) - 2 };
}

/** Older objects are served first; the id decides between those of one millisecond. */
export function byAge(
  left: { createdAt: number; id: string },
  right: { createdAt: number; id: string },
): number {
  return left.createdAt - right.createdAt || (left.id < right.id ? -1 : 1);
}

/** Computes at the first call and remembers: many plans never need what is costly. */
export function once<T>(compute: () => T): () => T {
  let result: { value: T } | undefined;
  return () => (result ??= { value: compute() }).value;
}

/**
 * Serves each item in turn, and those that failed once more at the end: only then is it known what the others took, and
 * the reason given earlier might be another one at the next plan.
 */
export function serveInTurn<Item, Result extends { failed: boolean }>(
  items: Item[],
  serve: (item: Item) => Result,
): { item: Item; result: Result }[] {
  return items
    .map((item) => ({ item, result: serve(item) }))
    .map((served) => (served.result.failed ? { item: served.item, result: serve(served.item) } : served));
}
