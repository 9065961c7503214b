import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readPlace, writePlace, type Place } from './place.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shoal-state-place-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const etcd: Place = { backend: 'etcd', generation: 'g1', endpoints: ['10.0.0.1:2379'], nodeId: 'n1' };

test('a folder that says nothing has the embedded store', async () => {
  expect(await readPlace(folder)).toEqual({ backend: 'embedded' });
});

test('what was written last is read, and nothing else is left', async () => {
  await writePlace(folder, etcd);
  expect(await readPlace(folder)).toEqual(etcd);
  await writePlace(folder, { backend: 'embedded' });
  expect(await readPlace(folder)).toEqual({ backend: 'embedded' });
  expect(readdirSync(folder)).toEqual(['store.json']);
  expect(statSync(join(folder, 'store.json')).mode & 0o777).toBe(0o600);
});

test('a damaged file is never taken for the embedded store', async () => {
  const damaged = ['', '{', 'null', '{}', '{"backend":"etcd"}', JSON.stringify({ ...etcd, endpoints: [] })];
  for (const text of damaged) {
    writeFileSync(join(folder, 'store.json'), text);
    await expect(readPlace(folder), text).rejects.toMatchObject({ code: 'failed_precondition' });
  }
});

test('a place that cannot be written leaves what was said before', async () => {
  mkdirSync(join(folder, 'store.json', 'in-the-way'), { recursive: true });
  await expect(writePlace(folder, etcd)).rejects.toMatchObject({ code: 'unavailable' });
  expect(readdirSync(folder)).toEqual(['store.json']);
});
