import fc from 'fast-check';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock, type Clock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { Limiter } from '../../src/util/queue.ts';
import type { LogLine } from '../../src/wire/session.ts';
import {
  encodeRecord,
  fileBytesMax,
  lineBytesMax,
  Stamper,
  type LogRecord,
  type OutputStream,
} from './format.ts';
import { readLogs, type ReadOptions } from './reader.ts';
import { LogWriter, removeLogs, type LogWriterOptions } from './writer.ts';

let directory: string;
let now = 1_700_000_000_000;
const limiter = new Limiter(1);
/** Waits until all that was given to a writer is in its file. */
const settled = async () => {
  await systemClock.sleep(0);
  await limiter.run(() => Promise.resolve());
};
const clock: Clock = { ...systemClock, now: () => now };

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'shoal-engine-logs-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

const writer = (more: Partial<LogWriterOptions> = {}) =>
  new LogWriter({ directory, taskId: 'task', clock, log: silentLogger, limiter, ...more });
const read = async (options: ReadOptions = {}) => {
  await settled();
  return await Array.fromAsync(readLogs(directory, 'task', options));
};
const texts = async (options: ReadOptions = {}) => (await read(options)).map(({ text }) => text);

test('LogWriter and readLogs() give back what was written, line by line, with stream and growing times', async () => {
  const log = writer();
  await log.write('stdout', Buffer.from('one\ntw'));
  await log.write('stderr', Buffer.from('error\n'));
  await log.write('stdout', Buffer.from('o\n\nrest'));
  await log.end();
  const lines = await read();
  expect(lines.map(({ stream, text }) => [stream, text])).toEqual([
    ['stdout', 'one'],
    ['stderr', 'error'],
    ['stdout', 'two'],
    ['stdout', ''],
    ['stdout', 'rest'],
  ]);
  expect(lines[0]!.at).toBe('2023-11-14T22:13:20.000000000Z');
  expect(lines.every(({ taskId }) => taskId === 'task')).toBe(true);
});

test('LogWriter and readLogs() lose nothing that was written when the writer never ends', async () => {
  await writer().write('stdout', Buffer.from('whole\nhal'));
  expect(await texts()).toEqual(['whole', 'hal']);
  // what may go on is no place to go on after
  const positions = (await read()).map(({ position }) => position);
  expect(positions).toEqual([expect.any(String), undefined]);
  const next = writer();
  await next.write('stdout', Buffer.from('f\nmore\n'));
  expect(await texts()).toEqual(['whole', 'half', 'more']);
});

test('LogWriter and readLogs() agree for any output in any pieces', async () => {
  const piece = fc.oneof(
    fc.string(),
    fc.constantFrom('\n', 'a\nb', '\n\n', '€', 'x'.repeat(lineBytesMax + 7)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 20 }), fc.nat(30), async (pieces, tail) => {
      await removeLogs(directory, 'task');
      const log = writer();
      for (const each of pieces) await log.write('stdout', Buffer.from(each));
      await log.end();
      const written = Buffer.from(pieces.join(''));
      const expected = cut(written);
      expect(await texts()).toEqual(expected);
      expect(await texts({ tail })).toEqual(tail === 0 ? [] : expected.slice(-tail));
    }),
    { numRuns: 60 },
  );
});

test('LogWriter and readLogs() leave a torn character whole when its bytes come apart', async () => {
  const log = writer();
  const bytes = Buffer.from('50 €\n');
  await log.write('stdout', bytes.subarray(0, 4));
  await log.write('stdout', bytes.subarray(4));
  expect(await texts()).toEqual(['50 €']);
});

test('LogWriter and readLogs() keep three files and read across them', async () => {
  const log = writer();
  const text = 'x'.repeat(1000);
  const count = Math.ceil((fileBytesMax * 3.5) / 1040);
  for (let index = 0; index < count; index += 50) {
    const chunk = Array.from({ length: 50 }, (_, offset) => `${index + offset} ${text}\n`).join('');
    await log.write('stdout', Buffer.from(chunk));
  }
  await log.end();
  expect((await readdir(join(directory, 'task'))).sort()).toEqual(['log', 'log.1', 'log.2']);
  expect((await stat(join(directory, 'task', 'log.1'))).size).toBeLessThan(fileBytesMax * 1.01);
  const numbers = (await texts()).map((line) => Number.parseInt(line, 10));
  expect(numbers.length).toBeGreaterThan(count / 2);
  expect(numbers).toEqual(numbers.map((_, index) => numbers[0]! + index));
  const tail = numbers.length - 10;
  expect((await texts({ tail })).map((line) => Number.parseInt(line, 10))).toEqual(numbers.slice(-tail));
});

test('LogWriter and readLogs() give only what came since', async () => {
  const log = writer();
  await log.write('stdout', Buffer.from('early\n'));
  now += 5000;
  await log.write('stdout', Buffer.from('late\n'));
  expect(await texts({ since: now })).toEqual(['late']);
  expect(await texts({ since: now + 1 })).toEqual([]);
});

test('LogWriter and readLogs() of a task without output, and of none, are empty', async () => {
  expect(await texts()).toEqual([]);
  expect(await texts({ tail: 5 })).toEqual([]);
  await removeLogs(directory, 'task');
  await expect(removeLogs(directory, '../x')).rejects.toMatchObject({ code: 'invalid_argument' });
});

test('LogWriter and readLogs() follow a log from before it exists and across rotation until the signal', async () => {
  const controller = new AbortController();
  const seen: LogLine[] = [];
  const count = 30_000;
  const following = (async () => {
    for await (const line of readLogs(directory, 'task', { follow: true, signal: controller.signal })) {
      seen.push(line);
      if (seen.length === count) controller.abort();
    }
  })();
  const log = writer();
  const text = 'y'.repeat(1000);
  for (let index = 0; index < count; index += 1000) {
    const chunk = Array.from({ length: 1000 }, (_, offset) => `${index + offset} ${text}\n`).join('');
    await log.write('stdout', Buffer.from(chunk));
    // the reader keeps up: more than three files at a time would be gone
    while (seen.length < index) await systemClock.sleep(5);
  }
  await following;
  const numbers = seen.map((line) => Number.parseInt(line.text, 10));
  expect(numbers).toEqual(numbers.map((_, index) => index));
});

test('LogWriter and readLogs() pass over what is no record', async () => {
  const log = writer();
  await log.write('stdout', Buffer.from('good\n'));
  await log.end();
  const { appendFile } = await import('node:fs/promises');
  await appendFile(join(directory, 'task', 'log'), Buffer.concat([Buffer.alloc(3000), Buffer.from('\n')]));
  await writer().write('stdout', Buffer.from('after\n'));
  expect(await texts()).toEqual(['good', 'after']);
});

test('after each line one can go on, also where a word of ours ended one that was begun before others', async () => {
  const record = (at: number, stream: OutputStream, text: string, more: Partial<LogRecord> = {}) =>
    encodeRecord({
      at: `2026-01-01T00:00:00.00000000${at}Z`,
      stream,
      full: true,
      text: Buffer.from(text),
      ...more,
    });
  await mkdir(join(directory, 'task'));
  await writeFile(
    join(directory, 'task', 'log'),
    Buffer.concat([
      record(1, 'stdout', 'begun', { full: false }),
      record(2, 'stderr', 'between'),
      record(3, 'stdout', '3 lines are missing', { warning: true }),
      record(4, 'stdout', 'after'),
    ]),
  );
  const lines = await read();
  const all = ['between', 'begun', '3 lines are missing', 'after'];
  expect(lines.map(({ text }) => text)).toEqual(all);
  for (const [index, { position }] of lines.entries()) {
    expect(await texts({ after: position! })).toEqual(all.slice(index + 1));
  }
});

test('times grow even when the clock stands still or goes back', () => {
  const stamper = new Stamper();
  const stamps = [stamper.next(2000), stamper.next(2000), stamper.next(1000), stamper.next(2001)];
  expect(stamps).toEqual([
    '1970-01-01T00:00:02.000000000Z',
    '1970-01-01T00:00:02.000000001Z',
    '1970-01-01T00:00:02.000000002Z',
    '1970-01-01T00:00:02.001000000Z',
  ]);
});

/** The lines of these bytes, long ones cut. */
function cut(bytes: Buffer): string[] {
  const lines: Buffer[] = [];
  let start = 0;
  while (start < bytes.length) {
    const feed = bytes.indexOf(10, start);
    const end = feed < 0 ? bytes.length : feed;
    const stop = Math.min(end, start + lineBytesMax);
    lines.push(bytes.subarray(start, stop));
    start = stop === end ? end + 1 : stop;
  }
  return lines.map((line) => line.toString());
}
