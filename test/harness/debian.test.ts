import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { runCommand } from '../../src/util/command.ts';
import { debianLayers, whyNoDebian } from './debian.ts';

const noDebian = await whyNoDebian();
let cache: string;

beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), 'shoal-debian-'));
});

beforeEach(({ skip }) => {
  skip(noDebian !== undefined, noDebian);
  vi.stubEnv('XDG_CACHE_HOME', cache);
});

afterEach(() => void vi.unstubAllEnvs());

afterAll(async () => {
  await rm(cache, { recursive: true });
});

const filesOf = async (path: string) => (await runCommand('tar', ['-tf', path])).split('\n');

test('a set of packages becomes a base and a layer of what it has more, with its links in place', async () => {
  const { web } = await debianLayers({ web: { packages: ['nginx-light'], without: ['usr/share/nginx'] } });
  const [base, own] = await Promise.all(web.map(({ blob }) => filesOf(blob.path)));
  expect(base).toEqual(expect.arrayContaining(['./bin', './usr/bin/dash', './usr/bin/sh']));
  expect(own).toEqual(expect.arrayContaining(['./bin', './usr/sbin/nginx']));
  expect(own).not.toContain('./usr/bin/dash');
  expect(own!.filter((path) => /share\/(nginx|doc)\/|\/perl/.test(path))).toEqual([]);
});

test('layers that are in the cache are not made again', async () => {
  const sets = { web: { packages: ['nginx-light'], without: ['usr/share/nginx'] } };
  const kept = async () => (await readdir(join(cache, 'shoal-test/layers'))).sort();
  const first = await debianLayers(sets);
  const before = await kept();
  expect(await debianLayers(sets)).toEqual(first);
  expect(await kept()).toEqual(before);
});
