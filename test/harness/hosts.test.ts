import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { tryCommand } from '../../src/util/command.ts';
import { createCluster, type Cluster } from './cluster.ts';
import { leftovers, takeDown } from './down.ts';
import { clusterProcesses, killProcess } from './processes.ts';
import { cgroupParent, loadState, paths, rootLinkName } from './state.ts';

/** Hosts that keep a plain `sleep` running instead of the daemon: what the harness itself promises. */
const command = ['/bin/busybox', 'sleep', '3600'];

let cluster: Cluster;

beforeAll(async () => {
  cluster = await createCluster({ hosts: 2, command });
});

afterAll(async () => {
  await cluster.down();
});

test('hosts and the root namespace reach each other, and the registry', async () => {
  const [a, b] = [cluster.host('a'), cluster.host('b')];
  await a.run(['busybox', 'ping', '-c1', '-W2', b.address]);
  expect((await tryCommand('busybox', ['ping', '-c1', '-W2', b.address])).exitCode).toBe(0);
  expect(await a.run(['busybox', 'wget', '-qO-', `http://${cluster.registry}/v2/`])).toBe('{}');
});

test('a host has its own name, processes, links and run folder, and sees the cgroups', async () => {
  const host = cluster.host('a');
  expect(await host.run(['hostname'])).toBe('a\n');
  expect((await host.run(['ls', '/sys/class/net'])).split(/\s+/).filter(Boolean)).toEqual(['eth0', 'lo']);
  expect(await host.run(['ls', '/run'])).not.toContain('systemd');
  expect(await host.run(['cat', '/proc/1/comm'])).toBe('supervisor.sh\n');
  expect(await host.run(['ls', '/sys/fs/cgroup'])).not.toBe('');
  await host.run(['touch', '/run/shoal/here']);
  expect(await readFile(host.outside('/run/shoal/here'), 'utf8')).toBe('');
});

test('a program that dies is started again and orphans are reaped', async () => {
  const host = cluster.host('a');
  const sleeper = async () => (await host.processes()).find(({ name }) => name === 'busybox');
  const before = await sleeper();
  await host.run(['sh', '-c', 'sh -c "sleep 0.01 & exit 0"']);
  killProcess(before!.pid, 'SIGKILL');
  await vi.waitFor(async () => {
    const after = await sleeper();
    expect(after?.state).not.toBe('Z');
    expect(after?.startedAt).toBeGreaterThan(before!.startedAt); // process ids come round again
  }, 5_000);
  await vi.waitFor(async () => {
    expect((await host.processes()).filter(({ state }) => state === 'Z')).toEqual([]);
  }, 5_000);
});

test('a cut host is unreachable until it is healed', async () => {
  const [a, b] = [cluster.host('a'), cluster.host('b')];
  await b.cut();
  expect((await a.exec(['busybox', 'ping', '-c1', '-W1', b.address])).exitCode).not.toBe(0);
  await b.heal();
  await vi.waitFor(() => a.run(['busybox', 'ping', '-c1', '-W1', b.address]), 5_000);
});

test('down removes every trace, cgroups and mounts included, although everything is killed already', async () => {
  const other = await createCluster({ hosts: 1, command });
  const host = other.host('a');
  expect(other.registry).not.toBe(cluster.registry);
  const parent = join('/sys/fs/cgroup/pids', cgroupParent(other.id), 'a', 'task');
  const unified = join('/sys/fs/cgroup', cgroupParent(other.id), 'a', 'task');
  await mkdir(parent, { recursive: true }).catch(() => mkdir(unified, { recursive: true }));
  await mkdir(join(host.stateDirectory, 'mounted'));
  await host.run(['mount', '-t', 'tmpfs', 'tmpfs', join(host.stateDirectory, 'mounted')]);
  await host.run(['sh', '-c', 'setsid sleep 3600 >/dev/null 2>&1 &']);
  for (const { pid } of await clusterProcesses(other.id)) killProcess(pid, 'SIGKILL');
  expect(await other.leftovers()).not.toEqual([]);
  await other.down();
  expect(await other.leftovers()).toEqual([]);
});

test('a cluster goes with the process that made it, however that ends', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'shoal-hosts-'));
  const script = join(directory, 'make.ts');
  const from = JSON.stringify(join(import.meta.dirname, 'cluster.ts'));
  await writeFile(
    script,
    `import { createCluster } from ${from};
     await createCluster({ hosts: 1, directory: ${JSON.stringify(join(directory, 'cluster'))}, command: ${JSON.stringify(command)} });
     process.stdout.write('up');
     process.stdin.resume();`,
  );
  const maker = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(maker.stdout, 'data');
  const { id } = await loadState(join(directory, 'cluster'));
  expect(await clusterProcesses(id)).not.toEqual([]);
  maker.kill('SIGKILL');
  await vi.waitFor(async () => expect(await leftovers(join(directory, 'cluster'), id)).toEqual([]), {
    timeout: 15_000,
    interval: 100,
  });
  await rm(directory, { recursive: true });
});

test('down during up ends whoever makes the hosts and removes what stood', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'shoal-hosts-'));
  const hosts = join(import.meta.dirname, 'hosts.ts');
  const up = spawn(process.execPath, [hosts, 'up', '3', '--dir', directory], { stdio: 'ignore' });
  const ended = once(up, 'exit');
  const state = await vi.waitFor(() => loadState(directory), { timeout: 10_000, interval: 10 });
  expect(await takeDown(directory)).toBe(true);
  await ended;
  expect(await leftovers(directory, state.id)).toEqual([]);
  expect(rootLinkName(state.id).length).toBeLessThanOrEqual(15);
  expect(await takeDown(paths(directory).hosts)).toBe(false);
});
