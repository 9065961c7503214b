import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEtcdStore } from '../../manager/store/etcd/etcd.ts';
import { openSqliteStore } from '../../manager/store/sqlite.ts';
import type { Store } from '../../manager/store/store.ts';
import { systemClock } from '../../src/util/clock.ts';
import { EtcdCluster } from '../harness/etcd.ts';
import { measureMoves, movesTable, type MoveRow } from './store-moves.ts';
import { median, renderTable } from './statistics.ts';

/** Writers that wait for their answer before they write again. */
const clientCounts = [1, 100, 1_000];
const measureMs = 4_000;
const warmMs = 1_000;
const valueBytes = 1024;
const keysPerClient = 4;
const members = 3;
const writeMs = 10_000;

export interface StoreResult {
  moves: MoveRow[];
  rows: {
    clients: number;
    backend: string;
    /** Of all rounds the median. */
    writesPerSecond: number;
    p50Ms: number;
    p99Ms: number;
  }[];
}

type Write = (key: string, value: string) => Promise<unknown>;

/** What writes cost, and moves; `only` one of both. */
export async function measureStore(rounds: number, only?: string): Promise<StoreResult> {
  return {
    rows: only === 'moves' ? [] : await measureWrites(rounds),
    moves: only === 'writes' ? [] : await measureMoves(rounds),
  };
}

/** Single writes of 1 KiB: bare etcd of three members, Shoal's store on it, and on SQLite, in turn in each round. */
async function measureWrites(rounds: number): Promise<StoreResult['rows']> {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-bench-store-'));
  const cluster = await EtcdCluster.start(members);
  const leader = await cluster.leader();
  const bare = cluster.member(leader);
  const etcd = await openEtcdStore({
    endpoints: cluster.endpointsFrom(leader),
    tls: cluster.tls,
    clock: systemClock,
    owner: 'bench',
  });
  const sqlite = await openSqliteStore(join(folder, 'store.sqlite'));
  const backends: Record<string, Write> = {
    'etcd alone': (key, value) => {
      const put = { key: Buffer.from(key), value: Buffer.from(value) };
      return bare.call('KV.Txn', { compares: [], success: [{ put }], failure: [] }, writeMs);
    },
    'store on etcd': writeTo(etcd),
    'store on SQLite': writeTo(sqlite),
  };
  try {
    return await measureAll(rounds, backends);
  } finally {
    await etcd.close();
    await sqlite.close();
    bare.close();
    await cluster.down();
    await rm(folder, { recursive: true });
  }
}

function writeTo(store: Store): Write {
  return (key, value) => store.transact({ compares: [], puts: [{ key, value }], deletes: [] });
}

async function measureAll(rounds: number, backends: Record<string, Write>): Promise<StoreResult['rows']> {
  const rows: StoreResult['rows'] = [];
  for (const clients of clientCounts) {
    const taken: Record<string, number[][]> = {};
    for (let round = 0; round < rounds; round++) {
      for (const [backend, write] of Object.entries(backends)) {
        process.stderr.write(`${clients} clients, round ${round + 1} of ${rounds}, ${backend}\n`);
        await load(clients, warmMs, write);
        (taken[backend] ??= []).push(await load(clients, measureMs, write));
      }
    }
    for (const [backend, each] of Object.entries(taken)) {
      const all = each.flat().sort((left, right) => left - right);
      const writesPerSecond = median(each.map((times) => (times.length * 1000) / measureMs));
      const p99Ms = all[Math.floor(all.length * 0.99)]!;
      rows.push({ clients, backend, writesPerSecond, p50Ms: median(all), p99Ms });
    }
  }
  return rows;
}

/** Gives how long each write took that ended in time (ms). */
async function load(clients: number, ms: number, write: Write): Promise<number[]> {
  const value = JSON.stringify('x'.repeat(valueBytes));
  const until = performance.now() + ms;
  const times: number[] = [];
  const client = async (index: number) => {
    for (let count = 0; ; count++) {
      const begin = performance.now();
      await write(`task/${index}-${count % keysPerClient}`, value);
      const end = performance.now();
      if (end > until) return;
      times.push(end - begin);
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, index) => client(index)));
  return times;
}

export function storeTable({ rows, moves }: StoreResult): string {
  const tables = [
    ...(rows.length > 0 ? [writesTable(rows)] : []),
    ...(moves.length > 0 ? [movesTable(moves)] : []),
  ];
  return tables.join('\n\n');
}

function writesTable(rows: StoreResult['rows']): string {
  return renderTable([
    ['clients', 'writes/s', 'p50 ms', 'p99 ms', 'of etcd alone'],
    ...rows.map(({ clients, backend, writesPerSecond, p50Ms, p99Ms }) => {
      const floor = rows.find((row) => row.clients === clients && row.backend === 'etcd alone')!;
      return [
        `${clients}, ${backend}`,
        writesPerSecond.toFixed(0),
        p50Ms.toFixed(1),
        p99Ms.toFixed(1),
        (writesPerSecond / floor.writesPerSecond).toFixed(2),
      ];
    }),
  ]);
}
