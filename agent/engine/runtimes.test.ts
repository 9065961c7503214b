import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { installedRuntimes, runtimeOf } from './runtimes.ts';

test('a name is a program like runc, a shim by its short name, or a full name', () => {
  const plain = { name: 'io.containerd.runc.v2', sharesShim: true };
  expect(runtimeOf()).toEqual(plain);
  expect(runtimeOf('runc')).toEqual(plain);
  expect(runtimeOf('io.containerd.runc.v2')).toEqual(plain);
  const { options, ...rest } = runtimeOf('crun');
  expect(rest).toEqual(plain);
  // field 6 is the name of the program (containerd's runc options)
  expect(Buffer.from(options!.value)).toEqual(Buffer.from('\x32\x04crun', 'latin1'));
  expect(runtimeOf('kata', ['io.containerd.kata.v2', 'io.containerd.kata.v10'])).toEqual({
    name: 'io.containerd.kata.v10',
    sharesShim: false,
  });
  expect(runtimeOf('io.containerd.runsc.v1')).toMatchObject({ name: 'io.containerd.runsc.v1' });
});

test('a host has what is in its path and can be run', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-runtimes-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const names = ['runc', 'containerd-shim-runc-v2', 'containerd-shim-kata-v2', 'other', 'containerd-shim'];
  for (const name of names) await writeFile(join(folder, name), '', { mode: 0o755 });
  await writeFile(join(folder, 'crun'), '', { mode: 0o644 });
  expect(await installedRuntimes(`/no/such/folder:${folder}`)).toEqual([
    'io.containerd.kata.v2',
    'io.containerd.runc.v2',
    'kata',
    'runc',
  ]);
});
