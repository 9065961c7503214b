import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readInRoot } from './accounts.ts';

test('links in an image lead nowhere outside of it', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'shoal-engine-root-'));
  try {
    const root = join(directory, 'root');
    await mkdir(join(root, 'etc/deep'), { recursive: true });
    await writeFile(join(directory, 'secret'), 'outside');
    await writeFile(join(root, 'secret'), 'inside');
    await writeFile(join(root, 'etc/plain'), 'plain');
    await symlink('/secret', join(root, 'etc/absolute'));
    await symlink('../../../../secret', join(root, 'etc/deep/climbing'));
    await symlink('loop', join(root, 'etc/loop'));
    await symlink('/etc', join(root, 'link'));
    const read = (path: string) => readInRoot(root, path);
    expect(await read('/etc/plain')).toBe('plain');
    expect(await read('/link/plain')).toBe('plain');
    expect(await read('/etc/absolute')).toBe('inside');
    expect(await read('/etc/deep/climbing')).toBe('inside');
    expect(await read('/../secret')).toBe('inside');
    expect(await read('/etc/loop')).toBeUndefined();
    expect(await read('/etc/deep')).toBeUndefined();
    expect(await read('/etc/plain/below')).toBeUndefined();
    expect(await read('/nothing')).toBeUndefined();
  } finally {
    await rm(directory, { recursive: true });
  }
});
