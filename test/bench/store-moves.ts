import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClusterStore } from '../../manager/store/cluster-store.ts';
import { openEtcdStore } from '../../manager/store/etcd/etcd.ts';
import { embeddedTarget, etcdTarget, openClusterStore } from '../../manager/store/opening.ts';
import { openSqliteStore } from '../../manager/store/sqlite.ts';
import type { Store } from '../../manager/store/store.ts';
import { systemClock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { silentLogger } from '../../src/util/log.ts';
import { EtcdCluster } from '../harness/etcd.ts';
import { median, renderTable } from './statistics.ts';

const objectCounts = [10_000, 100_000];
const writers = 10;
const valueBytes = 1024;
const fillPiece = 1_000;

export interface MoveRow {
  objects: number;
  way: 'SQLite to etcd' | 'etcd to SQLite';
  /** Of each round: the whole move, how long writes were held, and the longest write meanwhile. */
  totalMs: number[];
  heldMs: number[];
  longestWriteMs: number[];
  /** Writes while it moved that were acknowledged, and of those how many were missing afterwards. */
  writes: number;
  missing: number;
}

/** Moves of a store to an etcd of one member and back, with ten clients that write one after another all the time. */
export async function measureMoves(rounds: number): Promise<MoveRow[]> {
  const rows: MoveRow[] = [];
  for (const objects of objectCounts) {
    const empty = { objects, totalMs: [], heldMs: [], longestWriteMs: [], writes: 0, missing: 0 };
    const there: MoveRow = { ...structuredClone(empty), way: 'SQLite to etcd' };
    const back: MoveRow = { ...structuredClone(empty), way: 'etcd to SQLite' };
    for (let round = 0; round < rounds; round++) {
      process.stderr.write(`${objects} objects, round ${round + 1} of ${rounds}\n`);
      await measureRound(objects, there, back);
    }
    rows.push(there, back);
  }
  return rows;
}

async function measureRound(objects: number, there: MoveRow, back: MoveRow): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-bench-moves-'));
  const cluster = await EtcdCluster.start(1);
  const { endpoints, tls } = cluster;
  const openEtcd = () => openEtcdStore({ endpoints, tls, clock: systemClock, owner: 'bench' });
  const parts = { clock: systemClock, log: silentLogger, openEmbedded: openSqliteStore, openEtcd };
  const store = await openClusterStore(folder, parts);
  try {
    await fill(store, objects);
    const place = { backend: 'etcd', generation: 'bench', endpoints, nodeId: 'member0' } as const;
    await measure(there, store, () => store.moveTo(etcdTarget(folder, place, openEtcd)));
    await measure(back, store, () => store.moveTo(embeddedTarget(folder, openSqliteStore)));
  } finally {
    await store.close();
    await cluster.down();
    await rm(folder, { recursive: true });
  }
}

async function fill(store: Store, objects: number): Promise<void> {
  const value = JSON.stringify('x'.repeat(valueBytes));
  for (let from = 0; from < objects; from += fillPiece) {
    const length = Math.min(fillPiece, objects - from);
    const puts = Array.from({ length }, (_, index) => ({ key: `task/${from + index}`, value }));
    await store.transact({ compares: [], puts, deletes: [] });
  }
}

async function measure(
  row: MoveRow,
  store: ClusterStore,
  move: () => Promise<{ heldMs: number }>,
): Promise<void> {
  const over = new AbortController();
  const counts = Array.from({ length: writers }, () => 0);
  const padding = 'x'.repeat(valueBytes);
  let longestMs = 0;
  const writing = counts.map(async (_, writer) => {
    while (!over.signal.aborted) {
      const begin = performance.now();
      const value = JSON.stringify({ count: counts[writer]! + 1, padding });
      await store.transact({ compares: [], puts: [{ key: `node/${writer}`, value }], deletes: [] });
      counts[writer]!++;
      longestMs = Math.max(longestMs, performance.now() - begin);
    }
  });
  const begin = performance.now();
  const moved = move().finally(() => over.abort());
  const [{ heldMs }] = await Promise.all([moved, ...writing]);
  row.totalMs.push(performance.now() - begin);
  row.heldMs.push(heldMs);
  row.longestWriteMs.push(longestMs);
  const { values } = await store.list('');
  const found = new Map(values.map(({ key, value }) => [key, value]));
  if (found.size !== row.objects + writers) {
    throw new ShoalError('internal', `${found.size} objects after the move, not ${row.objects + writers}`);
  }
  for (const [writer, count] of counts.entries()) {
    const stored = JSON.parse(found.get(`node/${writer}`)!) as { count: number };
    row.writes += count;
    row.missing += count - stored.count;
  }
}

export function movesTable(rows: MoveRow[]): string {
  const atMost = (times: number[]) => `${median(times).toFixed(0)} (${Math.max(...times).toFixed(0)})`;
  return renderTable([
    ['move', 'total ms (max)', 'held ms (max)', 'longest write ms (max)', 'writes', 'missing'],
    ...rows.map((row) => [
      `${row.objects} objects, ${row.way}`,
      atMost(row.totalMs),
      atMost(row.heldMs),
      atMost(row.longestWriteMs),
      String(row.writes),
      String(row.missing),
    ]),
  ]);
}
