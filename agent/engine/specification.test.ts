import { expect, test } from 'vitest';
import type { ContainerCreate } from './engine.ts';
import { execProcess, runtimeSpecification } from './specification.ts';
import type { HostFeatures } from './host.ts';

const container: ContainerCreate = {
  id: 'task1',
  image: {
    reference: 'web:1',
    digest: 'sha256:0',
    config: {
      entrypoint: [],
      command: [],
      environment: [],
      workingDirectory: '',
      user: '',
      exposedPorts: [],
      volumes: [],
      labels: {},
    },
  },
  args: ['serve', '--port', '80'],
  environment: ['A=1', 'PATH=/own'],
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
const root = { uid: 0, gid: 0, additionalGids: [] };
const host: HostFeatures = {
  cgroupVersion: 2,
  swapLimit: true,
  seccomp: true,
  architecture: 'x64',
  kernel: '6.18.0',
  openFilesMax: 1_000_000,
  capabilities: [],
};
const devices = { nodes: [], rules: [{ allow: false, access: 'rwm' }] };
const specify = (change: Partial<ContainerCreate> = {}, changedHost: Partial<HostFeatures> = {}) =>
  runtimeSpecification(
    { ...container, ...change },
    { user: root, host: { ...host, ...changedHost }, cgroupParent: '/shoal', devices },
  );

test('runtimeSpecification() starts what was asked for in the place it was asked for', () => {
  const specification = specify();
  expect(specification.process).toMatchObject({
    args: ['serve', '--port', '80'],
    env: ['PATH=/own', 'HOSTNAME=web-1', 'A=1'],
    cwd: '/',
    terminal: false,
    noNewPrivileges: false,
    rlimits: [{ type: 'RLIMIT_NOFILE', soft: 1024, hard: 524_288 }],
  });
  expect(specification.hostname).toBe('web-1');
  expect(specification.annotations).toEqual({ 'io.containerd.runc.v2.group': 'g' });
  expect(specification.linux.cgroupsPath).toBe('/shoal/task1');
  expect(specify({ tty: true }).process.env).toContain('TERM=xterm');
});

test('runtimeSpecification() refuses a container without a command', () => {
  expect(() => specify({ args: [] })).toThrow('Cannot run web:1: there is no command');
  expect(() => specify({ args: [''] })).toThrow('there is no command');
});

test('runtimeSpecification() gives 14 capabilities to root and only a bound to others', () => {
  expect(specify().process.capabilities.effective).toHaveLength(14);
  const options = { user: { ...root, uid: 5 }, host, cgroupParent: '/shoal', devices };
  const { capabilities } = runtimeSpecification(container, options).process;
  expect(capabilities).toMatchObject({ effective: [], permitted: [] });
  expect(capabilities.bounding).toHaveLength(14);
});

test('runtimeSpecification() follows what the machine has', () => {
  const types = (version: 1 | 2) =>
    specify({}, { cgroupVersion: version }).linux.namespaces.map(({ type }) => type);
  expect(types(2)).toEqual(['pid', 'ipc', 'uts', 'mount', 'network', 'cgroup']);
  expect(types(1)).not.toContain('cgroup');
  expect(specify({}, { seccomp: false }).linux.seccomp).toBeUndefined();
  expect(specify({}, { openFilesMax: 500 }).process.rlimits).toEqual([
    { type: 'RLIMIT_NOFILE', soft: 500, hard: 500 },
  ]);
});

test('runtimeSpecification() joins the network namespace that was prepared', () => {
  const networkOf = (change: Partial<ContainerCreate>) =>
    specify(change).linux.namespaces.find(({ type }) => type === 'network');
  expect(networkOf({ networkNamespace: '/run/netns/x' })).toEqual({
    type: 'network',
    path: '/run/netns/x',
  });
  expect(networkOf({})).toEqual({ type: 'network' });
});

test('runtimeSpecification() mounts what was asked for after the defaults, outer before inner, and in place of them', () => {
  const bind = (target: string, options: string[] = []) => ({
    source: '/host',
    target,
    type: 'bind' as const,
    options,
  });
  const { mounts } = specify({
    mounts: [bind('/a/b/c'), bind('/dev/shm', ['ro']), bind('/a/', ['rshared'])],
  });
  expect(mounts.filter(({ destination }) => destination === '/dev/shm')).toEqual([
    { destination: '/dev/shm', type: 'bind', source: '/host', options: ['rbind', 'ro', 'rprivate'] },
  ]);
  expect(mounts.slice(-3).map(({ destination }) => destination)).toEqual(['/a', '/dev/shm', '/a/b/c']);
  expect(mounts.at(-3)!.options).toEqual(['rbind', 'rshared']);
});

test('runtimeSpecification() turns limits and reservations into control group settings', () => {
  const change = {
    limits: { nanoCpus: 1_500_000_000, memoryBytes: 1000, pids: 20 },
    reservations: { nanoCpus: 500_000_000, memoryBytes: 500 },
  };
  expect(specify(change).linux.resources).toEqual({
    devices: [{ allow: false, access: 'rwm' }],
    cpu: { quota: 150_000, period: 100_000, shares: 512 },
    memory: { limit: 1000, swap: 2000, reservation: 500 },
    pids: { limit: 20 },
  });
  expect(specify().linux.resources).toEqual({ devices: [{ allow: false, access: 'rwm' }] });
});

test('runtimeSpecification() limits memory with swap to twice the memory unless told otherwise or the kernel cannot', () => {
  const memoryOf = (settings: ContainerCreate['settings'], swapLimit = true) =>
    specify({ limits: { memoryBytes: 1000 }, settings: settings ?? {} }, { swapLimit }).linux.resources[
      'memory'
    ];
  expect(memoryOf({})).toEqual({ limit: 1000, swap: 2000 });
  expect(memoryOf({ memory: { withSwapBytes: 1500 } })).toEqual({ limit: 1000, swap: 1500 });
  expect(memoryOf({ memory: { withSwapBytes: -1 } })).toEqual({ limit: 1000, swap: -1 });
  expect(memoryOf({}, false)).toEqual({ limit: 1000 });
});

test('runtimeSpecification() always says what a container is worth when memory runs out', () => {
  expect(specify().process.oomScoreAdj).toBe(0);
  expect(specify({ settings: { oomScoreAdjust: -10 } }).process.oomScoreAdj).toBe(-10);
});

test('an exec is like the container but for what it asks', () => {
  const { process: base } = specify();
  const request = {
    command: ['sh'],
    environment: ['A=2', 'B=3'],
    tty: true,
    size: { columns: 80, rows: 24 },
  };
  const process = execProcess(base, request, { uid: 5, gid: 6, additionalGids: [7] });
  expect(process).toMatchObject({
    args: ['sh'],
    env: ['PATH=/own', 'HOSTNAME=web-1', 'A=2', 'TERM=xterm', 'B=3'],
    user: { uid: 5, gid: 6, additionalGids: [7] },
    terminal: true,
    consoleSize: { width: 80, height: 24 },
    cwd: '/',
  });
  expect(process.capabilities.effective).toEqual([]);
  expect(execProcess(base, { command: ['a'], environment: [], tty: false }, undefined).user).toEqual(
    base.user,
  );
});

test('namespaces of other containers are joined by their paths, and their network is left as it is', () => {
  const namespaces = { network: '/proc/1/fd/5', ipc: '/proc/1/fd/6', pid: '/proc/1/fd/7' };
  const specification = runtimeSpecification(
    { ...container, join: { network: 'a', ipc: 'b', pid: 'c' } },
    { user: root, host, cgroupParent: '/shoal', devices, namespaces },
  );
  expect(specification.linux.namespaces).toEqual([
    { type: 'pid', path: '/proc/1/fd/7' },
    { type: 'ipc', path: '/proc/1/fd/6' },
    { type: 'uts' },
    { type: 'mount' },
    { type: 'network', path: '/proc/1/fd/5' },
    { type: 'cgroup' },
  ]);
  expect(specification.linux.sysctl).toEqual({});
});
