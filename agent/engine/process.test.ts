import { expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { openFilesMax } from './host.ts';
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
