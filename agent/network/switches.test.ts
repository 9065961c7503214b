import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { HostSwitches } from './switches.ts';

let folder: string;
let kernel: string;
const make = () => new HostSwitches(join(folder, 'before'), kernel);
const value = async () => (await readFile(kernel, 'utf8')).trim();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-switches-'));
  kernel = join(folder, 'ip_forward');
});
afterEach(() => rm(folder, { recursive: true }));

test('forwarding that was off is switched on, and off again when the host leaves, over a restart', async () => {
  await writeFile(kernel, '0\n');
  await make().forward();
  await make().forward();
  expect(await value()).toBe('1');
  await make().restore();
  expect(await value()).toBe('0');
});

test('forwarding that was on stays on', async () => {
  await writeFile(kernel, '1\n');
  await make().forward();
  await make().restore();
  expect(await value()).toBe('1');
});

test('what was there before the machine started again is forgotten', async () => {
  await writeFile(kernel, '1\n');
  await writeFile(join(folder, 'before'), '00000000-0000-0000-0000-000000000000 0\n');
  await make().restore();
  expect(await value()).toBe('1');
});

test('what somebody has set since is left alone', async () => {
  await writeFile(kernel, '0\n');
  await make().forward();
  await writeFile(kernel, '2\n');
  await make().restore();
  expect(await value()).toBe('2');
});
