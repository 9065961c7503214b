import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { systemRandom } from '../../src/util/random.ts';
import type { Backend } from './cluster-store.ts';
import { openClusterStore } from './opening.ts';
import { openSqliteStore } from './sqlite.ts';

/** Rounds in which the process is killed at any moment, besides one at each step. */
const rounds = 10;
const objects = 3_000;
const writers = 4;

/** Where it is killed: as the target is opened, or was; at a piece of the copy; with writes held; before and after it is written down. */
const steps = ['open', 'opened', 'copy', 'held', 'unsettled', 'settled', 'moved'] as const;
type Step = (typeof steps)[number];

/**
 * Moves the store of a folder to the other backend with writers at work, which raise counters under two keys each and say so once
 * it is acknowledged. What stands for etcd is another file: which store is true after a kill is not its affair.
 */
const mover = `
  import { writeSync } from 'node:fs';
  import { join } from 'node:path';
  const [folder, step, root] = process.argv.slice(1);
  const { openClusterStore, embeddedTarget, etcdTarget, etcdFolder } = await import(root + 'opening.ts');
  const { openSqliteStore } = await import(root + 'sqlite.ts');
  const { systemClock } = await import(root + '../../src/util/clock.ts');
  const at = (name) => name === step && process.kill(process.pid, 'SIGKILL');
  const openEtcd = () => openSqliteStore(join(folder, etcdFolder, 'store.sqlite'));
  const log = { info() {}, warn() {}, error() {}, debug() {}, with: () => log };
  const parts = { clock: systemClock, log, openEmbedded: openSqliteStore, openEtcd };
  const store = await openClusterStore(folder, parts);
  const place = { backend: 'etcd', generation: 'g', endpoints: ['127.0.0.1:1'], nodeId: 'n' };
  const target = store.backend === 'embedded'
    ? etcdTarget(folder, place, openEtcd)
    : embeddedTarget(folder, openSqliteStore);
  const raise = async (name) => {
    for (;;) {
      const { lineage } = store;
      const stored = await store.get('left/' + name).catch(() => 'closed');
      if (stored === 'closed') continue;
      const count = Number(stored?.value ?? 0) + 1;
      const compares = [{ key: 'left/' + name, revision: stored?.revision ?? 0 }];
      const puts = ['left/', 'right/'].map((side) => ({ key: side + name, value: String(count) }));
      const { committed } = await store.transact({ compares, puts, deletes: [], lineage });
      if (committed) writeSync(1, name + ' ' + count + '\\n');
    }
  };
  const names = Array.from({ length: ${writers} }, (_, index) => String(index));
  for (const name of names) raise(name).catch((error) => { console.error(error); process.exit(1); });
  await systemClock.sleep(20);
  let pieces = 0;
  const opened = async () => {
    at('open');
    const next = await target.open();
    at('opened');
    const transact = next.transact.bind(next);
    next.transact = (transaction) => {
      if (++pieces === 2) at('copy');
      return transact(transaction);
    };
    return next;
  };
  const settled = async () => {
    at('unsettled');
    await target.settled();
    at('settled');
  };
  if (step === 'held') systemClock.after = ((after) => (ms, call) => { if (ms === 5000) at('held'); return after(ms, call); })(systemClock.after);
  await store.moveTo({ backend: target.backend, open: opened, settled });
  await systemClock.sleep(20);
  at('moved');
  writeSync(1, 'moved\\n');
`;

const newFolder = () => mkdtempSync(join(tmpdir(), 'shoal-state-move-'));

function open(folder: string) {
  const openEtcd = () => openSqliteStore(join(folder, 'etcd', 'store.sqlite'));
  return openClusterStore(folder, {
    clock: systemClock,
    log: silentLogger,
    openEmbedded: (path) => openSqliteStore(path),
    openEtcd,
  });
}

async function fill(folder: string): Promise<void> {
  const store = await open(folder);
  const value = 'x'.repeat(500);
  const fillers = Array.from({ length: objects }, (_, index) => ({ key: `node/${index}`, value }));
  await Promise.all(fillers.map((filler) => store.transact({ compares: [], puts: [filler], deletes: [] })));
  await store.close();
}

/** Runs it until it is killed, at the step or so long after its first words; gives the last count that each writer was told. */
async function moveAndDie(folder: string, step: Step | undefined): Promise<Map<string, number>> {
  const root = new URL('./', import.meta.url).href;
  const args = ['--input-type=module', '-e', mover, folder, step ?? 'none', root];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  let timer: Promise<void> | undefined;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    const afterMs = systemRandom.next() * 200;
    if (step === undefined) timer ??= systemClock.sleep(afterMs).then(() => void child.kill('SIGKILL'));
  });
  const signal = await new Promise((resolve) => child.on('close', (_, by) => resolve(by)));
  await timer;
  expect(signal, `killed at ${step}`).toBe('SIGKILL');
  const words = said.split('\n').slice(0, -1);
  return new Map(words.map((line) => [line.split(' ')[0]!, Number(line.split(' ')[1])]));
}

/** Nothing that was acknowledged is missing, nothing stands there in part, and nothing was done twice. */
async function check(folder: string, told: Map<string, number>): Promise<Backend> {
  const store = await open(folder);
  const { values } = await store.list('');
  const found = new Map(values.map(({ key, value }) => [key, value]));
  expect([...found.keys()].filter((key) => key.startsWith('node/'))).toHaveLength(objects);
  for (const [name, count] of told) {
    if (name === 'moved') continue;
    const left = Number(found.get(`left/${name}`));
    // The last one may have been done without a word.
    expect([count, count + 1]).toContain(left);
    expect(found.get(`right/${name}`)).toBe(String(left));
  }
  const { backend } = store;
  await store.close();
  const leftOver = backend === 'embedded' ? 'etcd' : 'store.sqlite';
  expect(existsSync(join(folder, leftOver)), `${leftOver} beside ${backend}`).toBe(false);
  return backend;
}

const isAfter = (step: Step) => ['settled', 'moved'].includes(step);

test.each(['embedded', 'etcd'] as const)(
  'a process that is killed at any step of the way from %s finds the true store, whole',
  async (from) => {
    const to = from === 'embedded' ? 'etcd' : 'embedded';
    const folder = newFolder();
    await fill(folder);
    if (from === 'etcd') expect(await check(folder, await moveAndDie(folder, 'moved'))).toBe(from);
    for (const step of steps.filter((each) => !isAfter(each))) {
      expect(await check(folder, await moveAndDie(folder, step)), step).toBe(from);
    }
    expect(await check(folder, await moveAndDie(folder, 'settled'))).toBe(to);
    expect(await check(folder, await moveAndDie(folder, 'moved'))).toBe(from);
    rmSync(folder, { recursive: true });
  },
  120_000,
);

test('a process that is killed at any moment of moves there and back loses nothing', async () => {
  const folder = newFolder();
  await fill(folder);
  for (let round = 0; round < rounds; round++) await check(folder, await moveAndDie(folder, undefined));
  rmSync(folder, { recursive: true });
}, 120_000);
