import { expect, test } from 'vitest';
import type { ContainerSettings } from '../../src/spec/settings.ts';
import { capabilitiesIn, capabilitiesOf } from './capabilities.ts';
import { devicesOf } from './devices.ts';
import type { ContainerCreate } from './engine.ts';
import { isStaticElf } from './init.ts';
import type { SeccompSection } from './seccomp.ts';
import { runtimeSpecification, specificationText } from './specification.ts';
import type { HostFeatures } from './host.ts';
import { resolveUser } from './user.ts';

const config = { entrypoint: [], command: [], environment: [], workingDirectory: '', user: '' };
const container: ContainerCreate = {
  id: 'task1',
  image: {
    reference: 'web:1',
    digest: 'sha256:0',
    config: { ...config, exposedPorts: [], volumes: [], labels: {} },
  },
  args: ['serve'],
  environment: [],
  workingDirectory: '',
  user: '',
  hostname: 'web-1',
  labels: {},
  mounts: [],
  limits: {},
  reservations: {},
  tty: false,
  group: 'g',
};
const host: HostFeatures = {
  cgroupVersion: 2,
  swapLimit: true,
  seccomp: true,
  architecture: 'x64',
  kernel: '6.18.0',
  openFilesMax: 1_000_000,
  capabilities: capabilitiesIn('1ffffffffff'),
};
const deny = { allow: false, access: 'rwm' };

function specify(settings: ContainerSettings, changed: Partial<HostFeatures> = {}) {
  return runtimeSpecification(
    { ...container, settings },
    {
      user: { uid: 0, gid: 0, additionalGids: [] },
      host: { ...host, ...changed },
      cgroupParent: '/shoal',
      devices: { nodes: [], rules: [deny] },
    },
  );
}

test('nothing changes for a container without settings', () => {
  const { settings: _, ...bare } = { ...container, settings: {} };
  const options = { user: { uid: 0, gid: 0, additionalGids: [] }, host, cgroupParent: '/shoal' };
  expect(specify({})).toEqual(
    runtimeSpecification(bare, { ...options, devices: { nodes: [], rules: [deny] } }),
  );
});

test('capabilities are added and dropped as Docker does', () => {
  const given = (capabilitiesAdd: string[], capabilitiesDrop: string[] = []) =>
    capabilitiesOf({ capabilitiesAdd, capabilitiesDrop }, host.capabilities);
  expect(given([])).toHaveLength(14);
  expect(given(['NET_ADMIN'])).toHaveLength(15);
  expect(given(['cap_net_admin'])).toContain('CAP_NET_ADMIN');
  expect(given([], ['KILL', 'CAP_CHOWN'])).toHaveLength(12);
  expect(given(['KILL'], ['ALL'])).toEqual(['CAP_KILL']);
  expect(given([], ['ALL'])).toEqual([]);
  expect(given(['ALL'])).toHaveLength(41);
  expect(given(['ALL'], ['SYS_ADMIN'])).not.toContain('CAP_SYS_ADMIN');
  expect(capabilitiesOf({ capabilitiesAdd: ['ALL'] }, capabilitiesIn('3f'))).toHaveLength(6);
  expect(capabilitiesOf({ privileged: true, capabilitiesDrop: ['ALL'] }, host.capabilities)).toHaveLength(41);
});

test('what a capability is for is not forbidden to it another way', () => {
  const allowed = (settings: ContainerSettings) =>
    (specify(settings).linux.seccomp as SeccompSection).syscalls[0]!.names;
  const administration = ['mount', 'clone3', 'setns', 'bpf'];
  expect(administration.filter((call) => allowed({}).includes(call))).toEqual([]);
  expect(allowed({ capabilitiesAdd: ['SYS_ADMIN'] })).toEqual(expect.arrayContaining(administration));
  expect(allowed({ capabilitiesAdd: ['SYS_ADMIN'] })).not.toContain('init_module');
  expect(allowed({ capabilitiesAdd: ['SYS_TIME'] })).toContain('settimeofday');
});

test('a privileged container is not shut off', () => {
  const { process, linux, mounts } = specify({ privileged: true });
  expect(process.capabilities.effective).toHaveLength(41);
  expect(linux).toMatchObject({ maskedPaths: [], readonlyPaths: [] });
  expect(linux.seccomp).toBeUndefined();
  for (const path of ['/sys', '/sys/fs/cgroup']) {
    expect(mounts.find(({ destination }) => destination === path)?.options).toContain('rw');
  }
});

test('each part of the shutting off can be taken away alone', () => {
  expect(specify({ seccomp: 'unconfined' }).linux.seccomp).toBeUndefined();
  expect(specify({ systemPaths: 'unconfined' }).linux).toMatchObject({ maskedPaths: [], readonlyPaths: [] });
  expect(specify({ noNewPrivileges: true }).process.noNewPrivileges).toBe(true);
  expect(specify({ readOnly: true }).root.readonly).toBe(true);
});

test('namespaces of the host are shared when asked for', () => {
  const types = (settings: ContainerSettings, changed: Partial<HostFeatures> = {}) =>
    specify(settings, changed).linux.namespaces.map(({ type }) => type);
  expect(types({ pid: 'host', ipc: 'host', uts: 'host', cgroup: 'host' })).toEqual(['mount', 'network']);
  expect(types({ cgroup: 'private' }, { cgroupVersion: 1 })).toContain('cgroup');
  expect(types({ network: 'host' })).not.toContain('network');
  expect(specify({ network: 'host' }).linux.sysctl).toEqual({});
  expect(specify({ uts: 'host' })).not.toHaveProperty('hostname');
  const shared = specify({ ipc: 'host' }).mounts.find(({ destination }) => destination === '/dev/shm');
  expect(shared).toMatchObject({ type: 'bind', source: '/dev/shm' });
});

test('limits of the process, kernel settings and shared memory are passed on', () => {
  const { process, linux, mounts, annotations } = specify({
    ulimits: { nofile: { soft: 10, hard: 20 }, memlock: { soft: -1, hard: -1 } },
    oomScoreAdjust: 500,
    sysctls: { 'net.core.somaxconn': '99', 'net.ipv4.ip_unprivileged_port_start': '1024' },
    domainName: 'example.org',
    sharedMemoryBytes: 4096,
    annotations: { a: 'b', 'io.containerd.runc.v2.group': 'mine' },
  });
  expect(process.rlimits).toEqual([
    { type: 'RLIMIT_NOFILE', soft: 10, hard: 20 },
    { type: 'RLIMIT_MEMLOCK', soft: -1, hard: -1 },
  ]);
  expect(process.oomScoreAdj).toBe(500);
  expect(linux.sysctl).toEqual({
    'kernel.domainname': 'example.org',
    'net.core.somaxconn': '99',
    'net.ipv4.ip_unprivileged_port_start': '1024',
    'net.ipv4.ping_group_range': '0 2147483647',
  });
  expect(mounts.find(({ destination }) => destination === '/dev/shm')?.options).toContain('size=4096');
  expect(annotations).toEqual({ a: 'b', 'io.containerd.runc.v2.group': 'g' });
});

test('a limit that is none is written as the kernel has it, and survives being read again', () => {
  const specification = specify({ ulimits: { core: { soft: -1, hard: -1 } } });
  const text = specificationText(specification);
  expect(text).toContain('"soft":18446744073709551615,"hard":18446744073709551615');
  expect(specificationText(JSON.parse(text) as typeof specification)).toBe(text);
  const said = specificationText({ ...specification.process, args: ['"soft":-1'] });
  expect((JSON.parse(said) as { args: string[] }).args).toEqual(['"soft":-1']);
});

test('control group settings are passed on', () => {
  const { linux } = specify({
    cpu: {
      set: '0-1',
      shares: 512,
      quotaUs: 5000,
      periodUs: 10_000,
      realtimeRuntimeUs: 1,
      realtimePeriodUs: 2,
    },
    memory: { withSwapBytes: -1, swappiness: 10, disableOomKill: true },
    cgroupParent: 'mine',
  });
  expect(linux.resources).toEqual({
    devices: [deny],
    cpu: { cpus: '0-1', shares: 512, quota: 5000, period: 10_000, realtimeRuntime: 1, realtimePeriod: 2 },
    memory: { swap: -1, swappiness: 10, disableOOMKiller: true },
  });
  expect(linux.cgroupsPath).toBe('/shoal/mine/task1');
  expect(specify({ cgroupParent: '/own' }).linux.cgroupsPath).toBe('/own/task1');
  expect(specify({ cgroupParent: '../../..' }).linux.cgroupsPath).toBe('/task1');
});

test('an init process is put before the command', () => {
  const specification = runtimeSpecification(
    { ...container, settings: { init: true } },
    {
      user: { uid: 0, gid: 0, additionalGids: [] },
      host,
      cgroupParent: '/shoal',
      devices: { nodes: [], rules: [deny] },
      initPath: '/usr/bin/tini-static',
    },
  );
  expect(specification.process.args).toEqual(['/sbin/docker-init', '--', 'serve']);
  expect(specification.mounts.at(-1)).toEqual({
    destination: '/sbin/docker-init',
    type: 'bind',
    source: '/usr/bin/tini-static',
    options: ['rbind', 'ro', 'rprivate'],
  });
});

test('only a program that needs no interpreter counts as static', () => {
  const header = Buffer.alloc(64 + 2 * 56);
  header.writeUInt32BE(0x7f454c46, 0);
  header.set([2, 1], 4);
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(2, 56);
  header.writeUInt32LE(1, 64);
  expect(isStaticElf(header)).toBe(true);
  header.writeUInt32LE(3, 64 + 56);
  expect(isStaticElf(header)).toBe(false);
  expect(isStaticElf(header.subarray(0, 100))).toBe(false);
  expect(isStaticElf(Buffer.from('#!/bin/sh\n'))).toBe(false);
});

test('devices of the host are given with the rights asked for, and no others', async () => {
  const devices = [{ source: '/dev/null', target: '/dev/nothing', permissions: 'r' }];
  expect(await devicesOf({ devices, deviceRules: ['c 10:* rm'] })).toEqual({
    nodes: [
      expect.objectContaining({ path: '/dev/nothing', type: 'c', major: 1, minor: 3, fileMode: 0o666 }),
    ],
    rules: [
      deny,
      { allow: true, access: 'r', type: 'c', major: 1, minor: 3 },
      { allow: true, access: 'rm', type: 'c', major: 10 },
    ],
  });
  expect(await devicesOf({})).toEqual({ nodes: [], rules: [deny] });
  const all = await devicesOf({ privileged: true });
  expect(all.rules).toEqual([{ allow: true, access: 'rwm' }]);
  expect(all.nodes.map(({ path }) => path)).toContain('/dev/zero');
  const gone = [{ source: '/dev/no-such-device', target: '/dev/x', permissions: 'r' }];
  await expect(devicesOf({ devices: gone })).rejects.toThrow(/this host has none/);
  const file = [{ source: '/proc/self/status', target: '/dev/x', permissions: 'r' }];
  await expect(devicesOf({ devices: file })).rejects.toThrow(/it is no device/);
  await expect(devicesOf({ deviceRules: ['c 1 r'] })).rejects.toThrow(/Cannot use the device rule/);
});

test('other groups are names of the image or numbers', () => {
  const accounts = { passwd: 'web:x:5:6::/:\n', group: 'logs:x:70:web\nvideo:x:44:\n' };
  expect(resolveUser('web', accounts, ['video', '900', 'logs'])).toEqual({
    uid: 5,
    gid: 6,
    additionalGids: [70, 44, 900],
  });
  expect(() => resolveUser('web', accounts, ['nobody'])).toThrow(/the image has no such group/);
});
