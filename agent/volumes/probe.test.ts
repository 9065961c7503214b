import { expect, test } from 'vitest';
import { PathProbe } from './probe.ts';

test('a path is there or not, and a fault is told as it is', async () => {
  const probe = new PathProbe();
  expect(await probe.exists('/')).toBe(true);
  expect(await probe.exists('/no-such-path')).toBe(false);
  await expect(probe.exists('/etc/hostname/below')).rejects.toMatchObject({ code: 'ENOTDIR' });
});

test('a file system that hangs is named, and takes one thread for each path, however many ask', async () => {
  const looks: string[] = [];
  const answer = Promise.withResolvers<void>();
  const look = (path: string) => {
    looks.push(path);
    return path.startsWith('/nfs') ? answer.promise : Promise.resolve();
  };
  const probe = new PathProbe({ look, limitMs: 30 });
  const asked = ['/nfs/a', '/nfs/a', '/nfs/b', '/nfs/c'].map((path) => probe.exists(path));
  for (const result of await Promise.allSettled(asked)) {
    expect(result).toMatchObject({ status: 'rejected', reason: { code: 'deadline_exceeded' } });
  }
  await expect(probe.exists('/nfs/a')).rejects.toThrow('Cannot use /nfs/a: its file system has not answered');
  expect(looks).toEqual(['/nfs/a', '/nfs/b', '/nfs/c']);
  await expect(probe.exists('/nfs/d')).rejects.toMatchObject({
    code: 'resource_exhausted',
    message: 'Cannot use /nfs/d: others do not answer: /nfs/a, /nfs/b, /nfs/c',
  });
  answer.resolve();
  expect(await probe.exists('/nfs/a')).toBe(true);
  expect(await probe.exists('/home')).toBe(true);
});
