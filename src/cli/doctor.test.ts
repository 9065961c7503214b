import { expect, test } from 'vitest';
import { examine, managerFinding, managersFinding, type Machine } from './doctor.ts';

const present = new Set([
  '/sys/module/vxlan',
  '/proc/sys/net/bridge',
  ...['cpu', 'memory', 'pids', 'devices', 'freezer'].map((name) => `/sys/fs/cgroup/${name}`),
]);

function machine(changes: Partial<Machine> = {}): Machine {
  return {
    userId: 0,
    nodeVersion: '24.1.0',
    run: (file) =>
      Promise.resolve(
        ['modprobe', 'systemctl'].includes(file)
          ? { exitCode: 1, output: '' }
          : { exitCode: 0, output: `${file} 1.0` },
      ),
    read: (path) => Promise.resolve(path === '/proc/filesystems' ? 'nodev\toverlay\n' : undefined),
    exists: (path) => Promise.resolve(present.has(path)),
    ...changes,
  };
}

test('a machine that has everything is fine', async () => {
  expect((await examine(machine())).filter(({ state }) => state !== 'ok')).toEqual([]);
});

test('every missing program is named with the package that has it', async () => {
  const findings = await examine(machine({ run: () => Promise.resolve({ exitCode: 127, output: '' }) }));
  const missing = findings.filter(({ state }) => state === 'missing');
  expect(missing.map(({ name, next }) => `${name}: ${next}`)).toEqual([
    'containerd: apt-get install containerd',
    'runc: apt-get install runc',
    'nft: apt-get install nftables',
    'ip: apt-get install iproute2',
  ]);
});

test("etcd's own service, which its package starts, is told", async () => {
  const run = (file: string) => Promise.resolve({ exitCode: 0, output: `${file} 1.0` });
  const finding = (await examine(machine({ run }))).find(({ name }) => name === 'etcd');
  expect(finding).toMatchObject({
    state: 'warning',
    detail: "etcd 1.0; its own service runs here and may hold the ports of a manager's (2379, 2380)",
  });
});

test('a kernel without a feature is told apart from one with a module for it', async () => {
  const bare = machine({ exists: () => Promise.resolve(false) });
  const loadable = {
    ...bare,
    run: (file: string) => Promise.resolve({ exitCode: 0, output: `${file} 1.0` }),
  };
  const stateOf = async (each: Machine) => (await examine(each)).find(({ name }) => name === 'VXLAN')?.state;
  expect(await stateOf(bare)).toBe('missing');
  expect(await stateOf(loadable)).toBe('ok');
});

test('control groups version 2 without a controller is a warning', async () => {
  const read = (path: string) =>
    Promise.resolve(path.endsWith('cgroup.controllers') ? 'cpu io memory\n' : 'overlay');
  const finding = (await examine(machine({ read }))).find(({ name }) => name === 'control groups');
  expect(finding).toMatchObject({
    state: 'warning',
    detail: 'version 2 without pids: these limits will not hold',
  });
});

test("Docker's dropping of forwarded packets, an old Node and a plain user are told", async () => {
  const run = (file: string) =>
    Promise.resolve({
      exitCode: Number(file === 'systemctl'),
      output: file === 'iptables' ? '-P FORWARD DROP' : file,
    });
  const findings = await examine(machine({ run, nodeVersion: '20.1.0', userId: 1000 }));
  expect(findings.filter(({ state }) => state !== 'ok').map(({ name }) => name)).toEqual([
    'Node',
    'root',
    'forwarding',
  ]);
});

test('a manager that was started again, or does not answer, is told of', () => {
  const now = 100 * 3_600_000;
  const ended = { at: now - 120_000, reason: 'it ended' };
  const details = [
    managerFinding({ state: 'running' }, now),
    managerFinding({ state: 'running', lastEnd: ended }, now),
    managerFinding({ state: 'running', lastEnd: { ...ended, at: 0 } }, now),
    managerFinding({ state: 'starting', opening: 'waits for its place among the managers' }, now),
    managerFinding({ state: 'silent', silentMs: 20_000, excuse: 'it waits for a disk' }, now),
  ].map(({ state, detail }) => `${state}: ${detail}`);
  expect(details).toEqual([
    'ok: runs',
    'warning: runs; started again 2m ago: it ended',
    'ok: runs',
    'warning: is starting: waits for its place among the managers',
    'warning: has not answered its daemon for 20s: it waits for a disk',
  ]);
});

test('managers that a host does not reach are named with why', () => {
  const there = { address: '192.0.2.1:2377' };
  const away = { address: '192.0.2.2:2377', problem: 'connect ECONNREFUSED' };
  expect(managersFinding([there, there])).toMatchObject({
    state: 'ok',
    detail: '2 of 2 can be reached from here',
  });
  expect(managersFinding([there, away])).toMatchObject({
    state: 'warning',
    detail: '1 of 2 can be reached from here; 192.0.2.2:2377: connect ECONNREFUSED',
  });
});
