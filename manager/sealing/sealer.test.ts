import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { silentLogger } from '../../src/util/log.ts';
import { openSealer, readSealingKeys, writeSealingKeys } from './key-file.ts';
import { createSealingKeys, isSealed, openUnsealed, Sealer } from './sealer.ts';

const keys = createSealingKeys();
const sealer = new Sealer(keys);
const value = '{"id":"a","data":"aHVudGVyMg=="}';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-keys-'));
});
afterAll(() => rm(folder, { recursive: true }));

test('a sealed value is JSON that shows nothing of it, another each time, and opens as it was', () => {
  const sealed = sealer.seal(value, 'secret/a');
  expect(Object.keys(JSON.parse(sealed) as object)).toEqual(['sealed']);
  expect(sealed).not.toContain('aHVudGVyMg');
  expect(sealer.seal(value, 'secret/a')).not.toBe(sealed);
  expect(sealer.open(sealed, 'secret/a')).toBe(value);
  expect(sealer.open(value, 'secret/a')).toBe(value);
  expect([isSealed(sealed), isSealed(value)]).toEqual([true, false]);
});

test('a value that was changed, cut, or put into another place does not open', () => {
  const sealed = sealer.seal(value, 'secret/a');
  const other = sealed.at(-6) === 'A' ? 'B' : 'A';
  const [head = '', text = ''] = sealed.split('.');
  const wrong = [
    `${sealed.slice(0, -6)}${other}${sealed.slice(-5)}`,
    `${head}.${text.slice(8)}`,
    `${head}."}`,
  ];
  for (const each of wrong) {
    expect(() => sealer.open(each, 'secret/a')).toThrow('Cannot open secret/a: its seal is broken');
  }
  expect(() => sealer.open(sealed, 'secret/b')).toThrow('its seal is broken');
});

test('older keys open, the newest seals, and who has no key is told which', () => {
  const newer = createSealingKeys();
  const both = new Sealer({ current: newer.current, keys: { ...keys.keys, ...newer.keys } });
  const old = sealer.seal(value, 'secret/a');
  expect(both.open(old, 'secret/a')).toBe(value);
  expect([both.isCurrent(old), both.isCurrent(both.seal(value, 'secret/a')), both.isCurrent(value)]).toEqual([
    false,
    true,
    false,
  ]);
  const missing = `Cannot open secret/a: the key ${keys.current} is not on this manager`;
  expect(() => new Sealer(newer).open(old, 'secret/a')).toThrow(missing);
  expect(() => openUnsealed(old, 'secret/a')).toThrow(missing);
  expect(openUnsealed(value, 'secret/a')).toBe(value);
});

test('keys stay in a file of their own that nobody else reads; one that is damaged is told of', async () => {
  expect(await readSealingKeys(folder)).toBeUndefined();
  await writeSealingKeys(folder, keys);
  expect(await readSealingKeys(folder)).toEqual(keys);
  const path = join(folder, 'keys.json');
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  for (const text of ['', '{}', JSON.stringify({ current: 'x', keys: { x: 'AAAA' } })]) {
    await writeFile(path, text);
    await expect(readSealingKeys(folder)).rejects.toThrow(`${path} is damaged`);
  }
});

test('a store without keys gets some once, and only where it may', async () => {
  const fresh = await mkdtemp(join(folder, 'fresh-'));
  const log = silentLogger;
  await expect(openSealer(fresh, { mayCreate: false, log })).rejects.toThrow(
    `there is no ${fresh}/keys.json`,
  );
  const sealed = (await openSealer(fresh, { mayCreate: true, log }))!.seal(value, 'secret/a');
  expect((await openSealer(fresh, { mayCreate: false, log }))!.open(sealed, 'secret/a')).toBe(value);
  // As on a disk that takes nothing: what is read stays readable.
  expect(await openSealer(join(folder, 'nowhere'), { mayCreate: true, log })).toBeUndefined();
});
