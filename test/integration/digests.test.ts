import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tryCommand } from '../../src/util/command.ts';
import { buildImage, buildIndex, type BuiltImage } from '../harness/image.ts';
import { pushImage, startRegistry, type Registry } from '../harness/registry.ts';

/** `shoal config` asks a real registry what tags name. */

const program = join(import.meta.dirname, '../../bin/shoal.mjs');
const node = process.execPath;

let directory: string;
let registry: Registry;
let single: string;
let index: string;

const build = (content: string, architecture: 'amd64' | 'arm64' = 'amd64'): Promise<BuiltImage> =>
  buildImage({ directory, files: { '/a': { content } }, architecture });

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'shoal-digests-'));
  registry = await startRegistry({ directory: join(directory, 'registry') });
  single = await pushImage(registry.name, 'shop/web:1', await build('one'));
  const images = [await build('amd'), await build('arm', 'arm64')];
  index = await pushImage(registry.name, 'shop/db', await buildIndex(directory, images));
});

afterAll(async () => {
  await registry?.stop();
  await rm(directory, { recursive: true });
});

async function config(text: string, ...words: string[]) {
  await writeFile(join(directory, 'compose.yaml'), text);
  const args = [program, 'config', '-p', 'shop', ...words];
  const env = { PATH: process.env['PATH'], HOME: directory };
  return tryCommand(node, args, { cwd: directory, env, timeoutMs: 60_000 });
}

const services = (web: string) => `
services:
  web: { image: "${registry.name}/${web}", user: me }
  db: { image: "${registry.name}/shop/db" }
`;

test('--resolve-image-digests prints the manifest of a tag, of several platforms the index', async () => {
  const { stdout, exitCode } = await config(services('shop/web:1'), '--resolve-image-digests', '--json');
  expect(exitCode).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    services: {
      web: { image: `${registry.name}/shop/web:1@${single}`, user: 'me' },
      db: { image: `${registry.name}/shop/db:latest@${index}` },
    },
  });
});

test('--lock-image-digests prints a file that pins the images until the tag names another', async () => {
  const text = services('shop/web:1');
  const locked = await config(text, '--lock-image-digests', '-o', 'lock.yaml');
  expect(locked).toEqual({ exitCode: 0, stdout: '', stderr: '' });
  await pushImage(registry.name, 'shop/web:1', await build('two'));
  const pinned = await config(text, '-f', 'compose.yaml', '-f', 'lock.yaml', '--resolve-image-digests');
  expect(pinned.stdout).toContain(`/shop/web@${single}`);
  expect(pinned.stdout).toContain('user: me');
  const moved = await config(text, '--resolve-image-digests');
  expect(moved.stdout).toContain(`/shop/web:1@sha256:`);
  expect(moved.stdout).not.toContain(single);
});

test('an image that the registry does not have is told, and nothing is printed', async () => {
  const { stdout, stderr, exitCode } = await config(services('shop/none:1'), '--resolve-image-digests');
  expect([exitCode, stdout]).toEqual([1, '']);
  expect(stderr).toContain(
    `Cannot resolve the digest of ${registry.name}/shop/none:1: the registry does not have it`,
  );
});

test('a registry that is not there is told', async () => {
  const { stderr, exitCode } = await config(
    'services: { a: { image: "127.0.0.1:1/a" } }',
    '--resolve-image-digests',
  );
  expect(exitCode).toBe(3);
  expect(stderr).toContain(
    'Cannot resolve the digest of 127.0.0.1:1/a:latest: the registry 127.0.0.1:1 cannot be reached',
  );
});
