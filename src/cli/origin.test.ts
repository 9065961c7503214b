import { mkdir, mkdtemp, realpath, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { memoryFiles } from '../compose/fixtures.ts';
import { originOf } from './origin.ts';

const at = (folder: string, files: Record<string, string>) =>
  originOf(
    folder,
    { environment: {}, workingDirectory: folder },
    { fileSystem: memoryFiles(files), machine: 'desk' },
  );

const config =
  '[core]\n\tbare = false\n[remote "fork"]\n\turl = https://host/fork.git\n[remote "origin"]\n\turl = "git@host:org/shop.git" # ours\n';

test('a folder outside of any repository is told with its machine', async () => {
  expect(await at('/home/ann/shop', {})).toEqual({ machine: 'desk', folder: '/home/ann/shop' });
});

test("of the machine's id is told what cannot be turned back into it", async () => {
  const { machineId } = await at('/a', { '/etc/machine-id': '0123456789abcdef0123456789abcdef\n' });
  expect(machineId).toMatch(/^[0-9a-f]{16}$/);
  expect('0123456789abcdef0123456789abcdef').not.toContain(machineId);
});

test('a folder of a repository is told with the remote origin and its path within', async () => {
  const { repository } = await at('/src/shop/deploy/eu', { '/src/shop/.git/config': config });
  expect(repository).toEqual({ remote: 'host/org/shop', path: 'deploy/eu' });
});

test('without a remote called origin the first one counts, and without any none', async () => {
  const first = await at('/src', {
    '/src/.git/config': '[remote "up"]\nurl = https://host/a\n[remote "b"]\nurl = https://host/b\n',
  });
  expect(first.repository).toEqual({ remote: 'host/a', path: '' });
  expect(
    (await at('/src', { '/src/.git/config': '[branch "main"]\nurl = https://host/a\n' })).repository,
  ).toBeUndefined();
});

test('a second working tree, and a submodule, are of their repository', async () => {
  const tree = await at('/trees/fix', {
    '/trees/fix/.git': 'gitdir: /src/.git/worktrees/fix\n',
    '/src/.git/worktrees/fix/commondir': '../..\n',
    '/src/.git/config': config,
  });
  expect(tree.repository).toEqual({ remote: 'host/org/shop', path: '' });
  const submodule = await at('/src/sub', {
    '/src/sub/.git': 'gitdir: ../.git/modules/sub\n',
    '/src/.git/modules/sub/config': '[remote "origin"]\nurl = https://host/sub\n',
    '/src/.git/config': config,
  });
  expect(submodule.repository).toEqual({ remote: 'host/sub', path: '' });
});

test('a folder that the shell reached by a link is told by the link', async () => {
  const top = await realpath(await mkdtemp(join(tmpdir(), 'shoal-origin-')));
  onTestFinished(() => rm(top, { recursive: true }));
  const release = join(top, 'releases/7');
  await mkdir(release, { recursive: true });
  const current = join(top, 'current');
  await symlink(release, current);
  const from = async (environment: Record<string, string>, folder = release) =>
    (await originOf(folder, { environment, workingDirectory: release }, { fileSystem: memoryFiles({}) }))
      .folder;
  expect(await from({ PWD: current })).toBe(current);
  expect(await from({ PWD: current }, join(release, 'deploy'))).toBe(join(current, 'deploy'));
  expect(await from({ PWD: current }, '/srv/other')).toBe('/srv/other');
  expect(await from({ PWD: '/gone' })).toBe(release);
});
