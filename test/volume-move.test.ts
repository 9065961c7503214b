import { existsSync } from 'node:fs';
import {
  appendFile,
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { StreamServer, type StreamParts } from '../agent/session/streams.ts';
import { createVolumes, type Volumes } from '../agent/volumes/volumes.ts';
import { FakeEngine } from '../agent/worker/fake-engine.ts';
import { createMover } from '../manager/mover/mover.ts';
import { startTestManager, until, type TestManager } from '../manager/testing.ts';
import type { Volume } from '../src/spec/resource.ts';
import { systemClock } from '../src/util/clock.ts';
import { silentLogger } from '../src/util/log.ts';
import { KeyedQueue } from '../src/util/queue.ts';
import { systemRandom } from '../src/util/random.ts';
import type { StreamRequest } from '../src/wire/session.ts';
import { sampleContainer, sampleService, sampleTask, sampleTemplate } from './samples.ts';

/** The moving of a volume from one host to another, by a real manager and the real streams of both hosts. */

interface Host {
  nodeId: string;
  volumes: Volumes;
  data: string;
  /** Called before each stream is served; what it throws breaks the stream. */
  onRequest: (request: StreamRequest) => void | Promise<void>;
}

const mount = { type: 'volume', source: 'data', target: '/d', readOnly: false } as const;

async function host(manager: TestManager, hostname: string): Promise<Host> {
  const stateDirectory = await mkdtemp(join(tmpdir(), 'shoal-volume-move-'));
  onTestFinished(() => rm(stateDirectory, { recursive: true }));
  const volumes = createVolumes({ stateDirectory, copyImageContent: () => Promise.resolve() });
  const agent = await manager.agent(await manager.join('worker', hostname));
  await agent.greet();
  const server = new StreamServer({
    clock: systemClock,
    log: silentLogger,
    listVolumes: (name) => volumes.copies(name),
    removeVolume: (name, id) => volumes.removeNamed(name, id),
    sendVolume: (...all) => volumes.send(...all),
    takeVolume: (...all) => volumes.take(...all),
    settleVolume: (which) => volumes.settle(which),
  } as StreamParts);
  const data = join(stateDirectory, 'volumes/data/data');
  const made: Host = { nodeId: agent.nodeId, volumes, data, onRequest: () => undefined };
  const ended = new AbortController();
  const serve = async () => {
    for (let served = 0; !ended.signal.aborted;) {
      const asked = agent.messages.filter((message) => message.type === 'stream')[served];
      if (asked === undefined) {
        await systemClock.sleep(2);
        continue;
      }
      served++;
      void (async () => {
        await made.onRequest(asked.request);
        await server.serve(asked.request, () => agent.dial(asked.streamId));
      })().catch(() => undefined);
    }
  };
  void serve();
  onTestFinished(() => {
    ended.abort();
    server.close();
  });
  return made;
}

/** The loop of the manager that carries out moves. */
function startMover(manager: TestManager) {
  const mover = createMover({
    database: manager.database,
    hosts: { openStream: (...all) => manager.agents.openStream(...all) },
    clock: systemClock,
    random: systemRandom,
    log: silentLogger,
    queue: new KeyedQueue(),
  });
  mover.start();
  onTestFinished(() => mover.stop());
  return mover;
}

async function twoHosts(manager: TestManager) {
  const [a, b] = [await host(manager, 'a'), await host(manager, 'b')];
  const { database, client } = manager;
  const { id } = await client.request<Volume>('POST', '/volumes', { name: 'data' });
  const volume = () => database.view.volumes.get(id)!;
  const home = { nodeId: a.nodeId, hostname: 'a' };
  await database.write([[{ kind: 'volume', action: 'update', object: { ...volume(), home } }]]);
  await a.volumes.prepare('t', FakeEngine.image('x'), [mount], [], { data: id });
  const mover = startMover(manager);
  const over = () => until(() => volume().move?.endedAt !== undefined && volume().move);
  const ask = (what: 'move' | 'copy' = 'move', more = {}) =>
    client.request('POST', '/volumes/data/move', { what, node: 'b', ...more });
  return { a, b, client, database, id, volume, over, ask, mover };
}

/** Paths with what must be the same of them. */
async function seen(folder: string): Promise<string[]> {
  const paths = await listed(folder, '');
  const lines = paths.sort().map(async (path) => {
    const { mode, uid, gid, size, mtimeMs, nlink } = await lstat(Buffer.from(join(folder, path), 'latin1'));
    return `${path} ${mode.toString(8)} ${uid}:${gid} ${size} ${mtimeMs} ${nlink}`;
  });
  return await Promise.all(lines);
}

/** Names need not be text: a character is a byte. */
async function listed(folder: string, below: string): Promise<string[]> {
  const entries = await readdir(join(folder, below), { encoding: 'latin1', withFileTypes: true });
  const found = entries.map(async (entry) => {
    const path = join(below, entry.name);
    return entry.isDirectory() ? [path, ...(await listed(folder, path))] : [path];
  });
  return (await Promise.all(found)).flat();
}

async function fill(folder: string): Promise<void> {
  await mkdir(join(folder, 'deep/er'), { recursive: true });
  await writeFile(join(folder, 'deep/er/file'), 'x'.repeat(3_000_000), { mode: 0o640 });
  await writeFile(join(folder, 'log'), 'one\n');
  await link(join(folder, 'log'), join(folder, 'deep/same-log'));
  await symlink('/etc/passwd', join(folder, 'outside'));
  await writeFile(join(folder, 'touched'), 'same');
  await writeFile(Buffer.concat([Buffer.from(`${folder}/odd-`), Buffer.of(0xff, 0x0a)]), 'odd');
}

test('a volume is on another host afterwards with all that is in it, and the old copy stays', async () => {
  await using manager = await startTestManager();
  const { a, b, volume, over, ask } = await twoHosts(manager);
  await fill(a.data);
  await a.volumes.leave('t');
  const before = await seen(a.data);
  await ask();
  expect(await over()).toMatchObject({ state: 'done', what: 'move' });
  expect(volume()).toMatchObject({ home: { nodeId: b.nodeId, hostname: 'b' } });
  expect(volume().held).toBeUndefined();
  expect(await seen(b.data)).toEqual(before);
  expect(await readFile(join(b.data, 'log'), 'utf8')).toBe('one\n');
  expect(await seen(a.data)).toEqual(before);
  const left = await readdir(join(b.data, '../..'));
  expect(left).toEqual(['data']);
  const copies = (await manager.client.request<{ copies: unknown[] }>('GET', '/volumes/data?copies=true'))
    .copies;
  expect(copies).toMatchObject([
    { node: 'a', state: 'stale' },
    { node: 'b', state: 'current' },
  ]);
});

test('what changes while a volume is copied is there as well: content, names, kinds, links and what goes', async () => {
  await using manager = await startTestManager();
  const { a, b, database, over, ask, volume } = await twoHosts(manager);
  await fill(a.data);
  const container = sampleContainer({ mounts: [mount] });
  const service = sampleService('db', { task: sampleTemplate({ container }) });
  const status = { state: 'running' as const, at: 1, message: '', startedAt: 1 };
  const task = sampleTask(service, 1, { nodeId: a.nodeId, status });
  await database.write([
    [{ kind: 'service', action: 'create', object: service }],
    [{ kind: 'task', action: 'create', object: task }],
  ]);
  await ask();
  await until(() => volume().held === true);
  expect(volume().move).toMatchObject({ state: 'stopping', passes: 1 });
  // The same size and time as before, and yet another content.
  const { mtimeMs } = await lstat(join(a.data, 'touched'));
  await writeFile(join(a.data, 'touched'), 'SAME');
  await utimes(join(a.data, 'touched'), mtimeMs / 1000, mtimeMs / 1000);
  await appendFile(join(a.data, 'log'), 'two\n');
  await rename(join(a.data, 'deep/er'), join(a.data, 'moved'));
  await writeFile(join(a.data, 'deep/er'), 'a folder before');
  await rm(join(a.data, 'outside'));
  await mkdir(join(a.data, 'outside'));
  await writeFile(join(a.data, 'outside/passwd'), 'a link before');
  await chmod(join(a.data, 'moved/file'), 0o600);
  await link(join(a.data, 'moved/file'), join(a.data, 'deep/linked'));
  await systemClock.sleep(50);
  expect(volume().move!.message).toBe('waiting for app_db.1 to stop');
  await a.volumes.leave('t');
  await database.write([
    [
      {
        kind: 'task',
        action: 'update',
        object: { ...database.view.tasks.get(task.id)!, status: { ...status, state: 'shutdown' } },
      },
    ],
  ]);
  expect(await over()).toMatchObject({ state: 'done' });
  expect(await seen(b.data)).toEqual(await seen(a.data));
  expect(await readFile(join(b.data, 'touched'), 'utf8')).toBe('SAME');
  expect(await readFile(join(b.data, 'deep/same-log'), 'utf8')).toBe('one\ntwo\n');
  expect(await readFile(join(b.data, 'outside/passwd'), 'utf8')).toBe('a link before');
});

test('a copy leaves the volume where it is; another one there is not replaced unasked', async () => {
  await using manager = await startTestManager();
  const { a, b, volume, over, ask } = await twoHosts(manager);
  await fill(a.data);
  await a.volumes.leave('t');
  await ask('copy');
  expect(await over()).toMatchObject({ state: 'done', what: 'copy' });
  expect(volume()).toMatchObject({ home: { nodeId: a.nodeId }, nodeIds: [b.nodeId] });
  expect(await seen(b.data)).toEqual(await seen(a.data));
  await expect(ask()).rejects.toThrow('Cannot move volume data to b, which has a stale copy of it');
  await writeFile(join(b.data, 'stale'), '');
  await ask('move', { replace: true });
  expect(await over()).toMatchObject({ state: 'done', what: 'move' });
  expect(existsSync(join(b.data, 'stale'))).toBe(false);
  await manager.client.request('DELETE', '/volumes/data?node=a&force=true');
  expect(existsSync(a.data)).toBe(false);
  await expect(manager.client.request('DELETE', '/volumes/data?node=b')).rejects.toThrow(
    'it is the volume itself',
  );
});

test('a pass that breaks off is made again with what has arrived; one that cannot succeed leaves the volume where it was', async () => {
  await using manager = await startTestManager();
  const { a, b, volume, over, ask, client } = await twoHosts(manager);
  await fill(a.data);
  await a.volumes.leave('t');
  a.onRequest = ({ kind }) => {
    if (kind === 'send-volume') throw new Error('cut');
  };
  await ask('move', { timeoutMs: 3_000 });
  expect(await over()).toMatchObject({ state: 'failed', message: 'It took longer than 3 s' });
  expect(volume()).toMatchObject({ home: { nodeId: a.nodeId } });
  expect(volume().held).toBeUndefined();
  expect(existsSync(b.data)).toBe(false);
  a.onRequest = () => undefined;
  const first = await readFile(join(b.data, `../../.moving-${volume().id}/arrival.json`), 'utf8').catch(
    () => 'none',
  );
  await ask();
  await expect(client.request('POST', '/volumes/data/use', { node: 'b' })).rejects.toThrow(
    'Cannot use volume data on b: it is being moved to b',
  );
  expect(await over()).toMatchObject({ state: 'done' });
  expect(first).not.toBe('none');
  expect(await seen(b.data)).toEqual(await seen(a.data));
});

test('a move that is taken back, and one that a manager finds half done', async () => {
  await using manager = await startTestManager();
  const { a, b, volume, over, ask, client, mover, database } = await twoHosts(manager);
  await fill(a.data);
  let hold: Promise<void> | undefined = new Promise(() => undefined);
  b.onRequest = ({ kind }) => (kind === 'take-volume' ? hold : undefined);
  await ask();
  await client.request('DELETE', '/volumes/data/move');
  expect(volume().move).toMatchObject({ state: 'cancelled', message: 'cancelled by root (local socket)' });
  await expect(client.request('DELETE', '/volumes/data/move')).rejects.toThrow('none is under way');
  hold = undefined;
  await mover.stop();
  await ask();
  await a.volumes.leave('t');
  const stopping = {
    ...volume(),
    held: true as const,
    move: { ...volume().move!, state: 'stopping' as const },
  };
  await database.write([[{ kind: 'volume', action: 'update', object: stopping }]]);
  startMover(manager);
  expect(await over()).toMatchObject({ state: 'done' });
  expect(await seen(b.data)).toEqual(await seen(a.data));
});

test('a copy of an earlier volume of the name is not taken up, and is seen and removed', async () => {
  await using manager = await startTestManager();
  const { a, id, client } = await twoHosts(manager);
  await writeFile(join(a.data, 'secret'), 'of the one before');
  const image = FakeEngine.image('x');
  await expect(a.volumes.prepare('u', image, [mount], [], { data: 'other' })).rejects.toThrow(
    'a task here still uses it',
  );
  await a.volumes.leave('t');
  await a.volumes.prepare('u', image, [mount], [], { data: 'other' });
  expect(await readdir(a.data)).toEqual([]);
  const copies = await Array.fromAsync(a.volumes.copies('data'));
  expect(copies.map((copy) => copy.id)).toEqual(['other', id]);
  await a.volumes.leave('u');
  const seen = await client.request<{ copies: { state: string }[] }>('GET', '/volumes/data?copies=true');
  expect(seen.copies.map(({ state }) => state)).toEqual(['stale', 'current']);
  await client.request('POST', '/volumes/data/use', { node: 'a' });
  await a.volumes.prepare('v', image, [mount], [], { data: id });
  expect(await Array.fromAsync(a.volumes.copies('data'))).toHaveLength(2);
  await a.volumes.leave('v');
  await a.volumes.removeNamed('data');
  expect(await Array.fromAsync(a.volumes.copies())).toEqual([]);
});
