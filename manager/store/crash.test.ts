import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { systemRandom } from '../../src/util/random.ts';
import { openSqliteStore } from './sqlite.ts';

const rounds = 20;
const folder = mkdtempSync(join(tmpdir(), 'shoal-state-crash-'));
const path = join(folder, 'store.db');
afterAll(() => rmSync(folder, { recursive: true }));

/**
 * Ten writers raise a counter each, under two keys in one transaction, and say so once it is acknowledged. The keys are never
 * the same twice in a row, so that a lost write shows.
 */
const writer = `
  import { writeSync } from 'node:fs';
  const { openSqliteStore } = await import(process.argv[1]);
  const store = await openSqliteStore(process.argv[2]);
  const raise = async (name) => {
    let count = Number((await store.get('left/' + name))?.value ?? 0);
    for (;;) {
      const value = String(++count);
      const puts = ['left/', 'right/'].map((side) => ({ key: side + name, value }));
      const { revision } = await store.transact({ compares: [], puts, deletes: [] });
      writeSync(1, JSON.stringify({ name, count, revision }) + '\\n');
    }
  };
  await Promise.all(Array.from({ length: 10 }, (_, index) => raise(String(index))));
`;

interface Acknowledged {
  name: string;
  count: number;
  revision: number;
}

/** Lets the writer work, kills it some milliseconds after its first words, and gives what it said was written. */
async function writeAndDie(afterMs: number): Promise<Acknowledged[]> {
  const moduleUrl = new URL('./sqlite.ts', import.meta.url).href;
  const child = spawn(process.execPath, ['--input-type=module', '-e', writer, moduleUrl, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  let timer: Promise<void> | undefined;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    timer ??= systemClock.sleep(afterMs).then(() => void child.kill('SIGKILL'));
  });
  await new Promise((resolve) => child.on('close', resolve));
  await timer;
  return said.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Acknowledged]));
}

test('nothing acknowledged is lost when the process is killed at any moment, and the file always opens again', async () => {
  let total = 0;
  for (let round = 0; round < rounds; round++) {
    const acknowledged = await writeAndDie(systemRandom.next() * 60);
    total += acknowledged.length;
    const store = await openSqliteStore(path);
    const { revision } = await store.list('');
    for (const { name, count, revision: written } of acknowledged) {
      const [left, right] = await Promise.all([store.get(`left/${name}`), store.get(`right/${name}`)]);
      expect(Number(left?.value)).toBeGreaterThanOrEqual(count);
      expect(right).toEqual({ ...left, key: `right/${name}` });
      expect(revision).toBeGreaterThanOrEqual(written);
    }
    await store.close();
  }
  expect(total).toBeGreaterThanOrEqual(rounds);
}, 60_000);
