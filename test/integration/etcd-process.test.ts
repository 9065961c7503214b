import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createAuthority, type Authority } from '../../manager/ca/authority.ts';
import { createStoreTls } from '../../manager/etcd/certificates.ts';
import { peerUrl } from '../../manager/etcd/flags.ts';
import { startEtcd, type EtcdProcess, type EtcdProcessOptions } from '../../manager/etcd/process.ts';
import { EtcdMember } from '../../manager/store/etcd/client.ts';
import { until } from '../../manager/testing.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { freePort } from '../harness/registry.ts';

const address = '127.0.0.1';
const callMs = 5_000;

let authority: Authority;
let folder: string;
/** What to end after each test, the last first. */
let undo: (() => unknown)[] = [];
beforeAll(async () => {
  authority = await createAuthority('etcd', systemClock.now());
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-etcd-process-'));
});
afterEach(async () => {
  for (const step of undo.reverse()) await step();
  undo = [];
  await rm(folder, { recursive: true, force: true });
});

interface Place {
  name: string;
  ports: { client: number; peer: number };
}

async function place(name: string): Promise<Place> {
  return { name, ports: { client: await freePort(address), peer: await freePort(address) } };
}

function optionsOf({ name, ports }: Place, begin: EtcdProcessOptions['begin']): EtcdProcessOptions {
  const own = { name, address, ports, folder: join(folder, name), authority };
  return { ...own, begin, clock: systemClock, log: silentLogger };
}

async function start(at: Place, begin: EtcdProcessOptions['begin']): Promise<EtcdProcess> {
  const etcd = await startEtcd(optionsOf(at, begin));
  undo.push(() => etcd.stop());
  return etcd;
}

async function memberOf({ endpoint }: { endpoint: string }): Promise<EtcdMember> {
  const tls = await createStoreTls(authority, systemClock.now());
  const member = new EtcdMember(endpoint, { endpoints: [], tls, clock: systemClock });
  undo.push(() => member.close());
  return member;
}

async function write(member: EtcdMember, key: string): Promise<void> {
  const put = { key: Buffer.from(key), value: Buffer.from(key) };
  await member.call('KV.Txn', { compares: [], success: [{ put }], failure: [] }, callMs);
}

async function keys(member: EtcdMember): Promise<string[]> {
  const range = { key: Buffer.from([0]), rangeEnd: Buffer.from([0]) };
  const { kvs } = await member.call('KV.Range', range, callMs);
  return kvs.map(({ key }) => key.toString());
}

/** Asks again while the member is not there yet, or the cluster is not settled. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch {
      await systemClock.sleep(100);
    }
  }
}

test('startEtcd() serves with its own certificates, and goes on from its data after a kill and a stop', async () => {
  const at = await place('a');
  const etcd = await start(at, { state: 'new', token: 'g1' });
  expect(etcd).toMatchObject({
    endpoint: `${address}:${at.ports.client}`,
    version: expect.stringMatching(/^3\./),
  });
  const member = await memberOf(etcd);
  await write(member, 'one');
  const first = etcd.pid!;
  const mayProtect = spawnSync('choom', ['-n', '-900', '--', 'true']).status === 0;
  if (mayProtect) expect(readFileSync(`/proc/${first}/oom_score_adj`, 'utf8').trim()).toBe('-900');
  process.kill(first, 'SIGKILL');
  await until(() => etcd.pid !== undefined && etcd.pid !== first);
  expect(await patiently(() => keys(member))).toEqual(['one']);
  const second = etcd.pid!;
  await etcd.stop();
  expect(existsSync(`/proc/${second}`)).toBe(false);
  const again = await start(at, { state: 'continue' });
  expect(await keys(await memberOf(again))).toEqual(['one']);
});

test('startEtcd() with a new cluster begins without what was there before, and keeps it aside', async () => {
  const at = await place('a');
  const old = await start(at, { state: 'new', token: 'g1' });
  await write(await memberOf(old), 'old');
  await old.stop();
  const fresh = await start(at, { state: 'new', token: 'g2' });
  expect(await keys(await memberOf(fresh))).toEqual([]);
  expect(await readdir(join(folder, 'a', 'aside'))).toContain('member');
});

test('startEtcd() refuses a folder that has lost its data, and one of another address', async () => {
  const at = await place('a');
  const etcd = await start(at, { state: 'new', token: 'g1' });
  await etcd.stop();
  const moved = { ...at, ports: { ...at.ports, peer: await freePort(address) } };
  await expect(startEtcd(optionsOf(moved, { state: 'continue' }))).rejects.toThrow(
    'know this member as a at',
  );
  await rm(join(folder, 'a', 'data'), { recursive: true });
  await expect(startEtcd(optionsOf(at, { state: 'continue' }))).rejects.toThrow('has lost its data');
});

test('startEtcd() names what keeps it from listening, and what uses its folder', async () => {
  const at = await place('a');
  const server = createServer((socket) => socket.destroy()).listen(at.ports.client, address);
  undo.push(() => new Promise((resolve) => server.close(resolve)));
  await expect(startEtcd(optionsOf(at, { state: 'new', token: 'g1' }))).rejects.toMatchObject({
    code: 'port_taken',
    message: expect.stringContaining('address already in use'),
  });
  const other = await place('b');
  await mkdir(join(folder, 'b'));
  const holder = spawn('flock', ['--no-fork', join(folder, 'b', 'lock'), 'sleep', '60']);
  undo.push(() => holder.kill('SIGKILL'));
  await until(() => existsSync(join(folder, 'b', 'lock')));
  await expect(startEtcd(optionsOf(other, { state: 'new', token: 'g1' }))).rejects.toThrow(
    'another process uses',
  );
});

test('startEtcd() tells of data that is damaged, and puts it aside', async () => {
  const at = await place('a');
  const etcd = await start(at, { state: 'new', token: 'g1' });
  await write(await memberOf(etcd), 'one');
  await etcd.stop();
  const wal = join(folder, 'a', 'data', 'member', 'wal');
  const [name] = await readdir(wal);
  const path = join(wal, name!);
  const bytes = readFileSync(path);
  bytes.write('damaged', 120);
  await writeFile(path, bytes);
  await expect(startEtcd(optionsOf(at, { state: 'continue' }))).rejects.toMatchObject({
    details: { reason: 'damaged' },
  });
  expect(await readdir(join(folder, 'a'))).toContain('aside');
});

test('a member that the others have removed ends for good, and its data is kept aside', async () => {
  const [first, second] = [await place('a'), await place('b')];
  const a = await start(first, { state: 'new', token: 'g1' });
  const leader = await memberOf(a);
  const url = peerUrl(address, second.ports.peer);
  const { member } = await leader.call('Cluster.MemberAdd', { peerUrls: [url], isLearner: true }, callMs);
  const members = [
    { name: 'a', peerUrl: peerUrl(address, first.ports.peer) },
    { name: 'b', peerUrl: url },
  ];
  const b = await start(second, { state: 'existing', memberId: member!.id, members });
  await patiently(() => leader.call('Cluster.MemberRemove', { id: member!.id }, callMs));
  expect(await b.ended).toBe('removed');
  expect(b.pid).toBeUndefined();
  await b.stop();
  expect(await readdir(join(folder, 'b'))).toContain('aside');
  await expect(startEtcd(optionsOf(second, { state: 'continue' }))).rejects.toThrow('has lost its data');
});

test('a full disk ends etcd; it goes on with the room of its reserve', async () => {
  const at = await place('a');
  const mount = join(folder, 'a');
  await mkdir(mount);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=400m', 'tmpfs', mount]);
  undo.push(() => execFileSync('umount', ['--lazy', mount]));
  const etcd = await start(at, { state: 'new', token: 'g1' });
  const member = await memberOf(etcd);
  await write(member, 'one');
  expect(existsSync(join(mount, 'reserve'))).toBe(true);
  // the rest of the disk, and writes until etcd needs more
  try {
    execFileSync('dd', ['if=/dev/zero', `of=${join(mount, 'other')}`, 'bs=1M'], { stdio: 'ignore' });
  } catch {
    // it is to fail: the disk is full
  }
  const value = Buffer.alloc(1024 * 1024);
  for (let count = 0; existsSync(join(mount, 'reserve')); count++) {
    const put = { key: Buffer.from(`big/${count}`), value };
    await member
      .call('KV.Txn', { compares: [], success: [{ put }], failure: [] }, callMs)
      .catch(() => undefined); // it ends
  }
  expect(await patiently(() => keys(member))).toContain('one');
  await rm(join(mount, 'other'));
  await write(member, 'two');
  expect(await keys(member)).toContain('two');
});
