import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { canLimitSwap, openFilesMax } from './host.ts';
import { containerdConfiguration, ensureContainerd } from './process.ts';

const options = {
  address: '/run/x.sock',
  stateDirectory: '/var/lib/"odd',
  runDirectory: '/run/x',
  clock: systemClock,
  log: silentLogger,
};

test('our own containerd has no Kubernetes interface and keeps to its folders', () => {
  const text = containerdConfiguration(options);
  expect(text).toContain('root = "/var/lib/\\"odd/containerd"');
  expect(text).toContain('state = "/run/x/containerd"');
  expect(text).toContain('"io.containerd.grpc.v1.cri"');
  expect(text).not.toContain('tcp_address');
});

test('a socket path that the kernel would not take is refused in words', async () => {
  const address = `/run/${'x'.repeat(100)}.sock`;
  await expect(ensureContainerd({ ...options, address })).rejects.toMatchObject({
    code: 'invalid_argument',
    message: expect.stringContaining('101 is the limit'),
  });
});

test('without containerd the reader is told how to get it', async () => {
  const missing = { ...options, address: '/nonexistent/c.sock', binary: '/nonexistent/containerd' };
  await expect(ensureContainerd(missing)).rejects.toMatchObject({
    code: 'unavailable',
    next: expect.stringContaining('apt-get install containerd'),
  });
});

test('the limit of open files is read from what the kernel prints', () => {
  expect(openFilesMax('Max open files            1024                 20000                files')).toBe(
    20_000,
  );
  expect(openFilesMax('Max open files            1024                 unlimited            files')).toBe(
    Number.MAX_SAFE_INTEGER,
  );
});

test('swap can be limited where the kernel has a file for it', async () => {
  const root = await mkdtemp('/tmp/shoal-cgroup-');
  try {
    await mkdir(join(root, 'memory'));
    await mkdir(join(root, 'some.slice'));
    expect([canLimitSwap(root, 1), canLimitSwap(root, 2)]).toEqual([false, false]);
    await writeFile(join(root, 'memory/memory.memsw.limit_in_bytes'), '');
    expect([canLimitSwap(root, 1), canLimitSwap(root, 2)]).toEqual([true, false]);
    await writeFile(join(root, 'some.slice/memory.swap.max'), '');
    expect(canLimitSwap(root, 2)).toBe(true);
  } finally {
    await rm(root, { recursive: true });
  }
});
