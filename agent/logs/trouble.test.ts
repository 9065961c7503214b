import { appendFile, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { systemClock, type Clock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import type { TaskLogs } from '../worker/parts.ts';
import type { LogLine } from '../../src/wire/session.ts';
import { fileLogs } from './files.ts';
import { fileBytesMax } from './format.ts';

let directory: string;
let logs: TaskLogs;
let now = 1_700_000_000_000;
const clock: Clock = { ...systemClock, now: () => now };
const troubles: unknown[] = [];
const { signal } = new AbortController();

beforeEach(async () => {
  troubles.length = 0;
  directory = await mkdtemp(join(tmpdir(), 'shoal-logs-'));
  await mkdir(join(directory, 'task'));
  logs = newProcess();
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

function newProcess(): TaskLogs {
  return fileLogs({ directory, clock, log: silentLogger, onTrouble: (error) => troubles.push(error) });
}

async function write(text: string): Promise<void> {
  const sink = logs.sink('task');
  await sink.write('stdout', Buffer.from(text));
  await sink.end();
}

async function read(after?: string): Promise<LogLine[]> {
  const query = { follow: false, signal, ...(after === undefined ? {} : { after }) };
  return await Array.fromAsync(logs.read('task', query));
}

const texts = async (after?: string) => (await read(after)).map(({ text }) => text);

test('lines that a full disk refuses are counted in the log itself once it takes something again', async () => {
  const sink = logs.sink('task');
  await symlink('/dev/full', join(directory, 'task/log'));
  await sink.write('stdout', Buffer.from('lost one\nlost two\nbegun'));
  await sink.write('stderr', Buffer.from('lost too\n'));
  await vi.waitFor(() => expect(troubles[0]).toMatchObject({ code: 'ENOSPC' }));
  await systemClock.sleep(50); // both streams have been tried
  await rm(join(directory, 'task/log'));
  await sink.write('stdout', Buffer.from(' here\nwhole\n'));
  await sink.end();
  expect((await read()).map(({ stream, text, warning }) => [stream, text, warning ?? false])).toEqual([
    ['stdout', expect.stringMatching(/^shoal: 2 lines \(.* B\) could not be kept here/), true],
    ['stderr', expect.stringMatching(/^shoal: 1 line \(/), true],
    ['stdout', ' here', false],
    ['stdout', 'whole', false],
  ]);
});

test('what a killed process has torn swallows nothing of what comes after it', async () => {
  await write('one\n');
  await appendFile(join(directory, 'task/log'), '2023-11-14T22:13');
  logs = newProcess();
  await write('two\n');
  expect(await texts()).toEqual(['one', 'two']);
});

test('reading goes on after a position, with nothing twice and nothing lost, although the clock was set back', async () => {
  await write('one\ntwo\n');
  const [, two] = await read();
  now -= 3_600_000;
  logs = newProcess(); // whose time stamps are below those of before
  await write('three\n');
  expect(await texts(two!.position)).toEqual(['three']);
  expect(await texts('nonsense')).toEqual(['one', 'two', 'three']);
});

test('a position stands across rotations, and when its file is gone all that is left comes', async () => {
  const sink = logs.sink('task');
  const filler = `${'x'.repeat(1000)}\n`.repeat(60);
  const fillFile = async () => {
    for (let bytes = 0; bytes < fileBytesMax + filler.length; bytes += filler.length) {
      await sink.write('stdout', Buffer.from(filler));
    }
  };
  await sink.write('stdout', Buffer.from('mark\n'));
  await fillFile();
  const { position } = (await read())[0]!;
  const count = (await read()).length;
  expect(await read(position)).toHaveLength(count - 1);
  await fillFile();
  await fillFile();
  await sink.end();
  const left = await texts();
  expect(left).not.toContain('mark');
  expect(await read(position)).toHaveLength(left.length);
});

test('a line whose pieces lie around the position comes whole', async () => {
  const sink = logs.sink('task');
  await sink.write('stdout', Buffer.from('hal'));
  await systemClock.sleep(20); // so that each piece is a record of its own
  await sink.write('stderr', Buffer.from('between\n'));
  await systemClock.sleep(20);
  await sink.write('stdout', Buffer.from('f\n'));
  await sink.end();
  const [between] = await read();
  expect(between!.text).toBe('between');
  expect(await texts(between!.position)).toEqual(['half']);
});

test('many follow one log, and each has every line as soon as it is written', async () => {
  const followers = 60;
  const controller = new AbortController();
  const seen = Array.from({ length: followers }, () => [] as string[]);
  const following = seen.map(async (lines) => {
    const query = { follow: true, signal: controller.signal };
    for await (const { text } of logs.read('task', query)) lines.push(text);
  });
  const sink = logs.sink('task');
  for (let line = 0; line < 20; line++) {
    await sink.write('stdout', Buffer.from(`${line}\n`));
    await systemClock.sleep(10);
  }
  const all = Array.from({ length: 20 }, (_, line) => String(line));
  // well before the files would be looked at without a word
  await vi.waitFor(() => expect(seen.every((lines) => lines.length === 20)).toBe(true), { timeout: 3_000 });
  controller.abort();
  await Promise.all(following);
  await sink.end();
  expect(seen).toEqual(Array.from({ length: followers }, () => all));
});
