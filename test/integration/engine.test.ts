import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ContainerExit, Image } from '../../agent/engine/engine.ts';
import { systemClock } from '../../src/util/clock.ts';
import { buildImage, busyboxImage } from '../harness/image.ts';
import { pushImage } from '../harness/registry.ts';
import { finish, startEngineFixture, until, type EngineFixture } from './engine-fixture.ts';

let fixture: EngineFixture;
let image: Image;

beforeAll(async () => {
  fixture = await startEngineFixture();
  const directory = join(fixture.directory, 'images');
  await mkdir(directory);
  const base = await busyboxImage(directory);
  const built = await buildImage({
    directory,
    from: base,
    compression: 'gzip',
    files: {
      '/etc/passwd': { link: '/../../etc/accounts/passwd' },
      '/etc/accounts/passwd': { content: 'root:x:0:0::/root:/bin/sh\nweb:x:1500:1600::/srv:/bin/sh\n' },
      '/etc/group': { content: 'root:x:0:\nweb:x:1600:\nlogs:x:1700:web\n' },
    },
  });
  await pushImage(fixture.registry.name, 'web:1', built);
  image = await fixture.engine.pull(`${fixture.registry.name}/web:1`, {});
});

afterAll(async () => {
  await fixture?.stop();
});

/** Creates and starts a container; gives its id. */
async function run(args: string[], extra: Parameters<EngineFixture['container']>[2] = {}): Promise<string> {
  const container = fixture.container(image, args, extra);
  await fixture.engine.create(container, fixture.sink(container.id));
  await fixture.engine.start(container.id);
  return container.id;
}

async function nextExit(exits: AsyncIterable<ContainerExit>, id: string): Promise<ContainerExit> {
  for await (const exit of exits) if (exit.id === id) return exit;
  throw new Error(`no exit of ${id}`);
}

/** Runs a container to its end; gives how it ended and what it printed. */
async function runToEnd(args: string[], extra: Parameters<EngineFixture['container']>[2] = {}) {
  const exits = fixture.engine.exits(new AbortController().signal);
  await fixture.engine.list();
  const id = await run(args, extra);
  const exit = await nextExit(exits, id);
  await fixture.engine.remove(id);
  return { ...exit, log: await fixture.log(id) };
}

describe('a container', () => {
  test('runs with what it was given, and its output and exit code are kept', async () => {
    const script =
      'echo "$GREETING $(hostname) $(pwd)"; echo wrong >&2; sleep 0.2; printf unfinished; exit 7';
    const ended = await runToEnd(['sh', '-c', script], {
      id: 'given',
      hostname: 'pilot',
      environment: ['GREETING=ahoy'],
      workingDirectory: '/srv/app',
    });
    expect(ended).toMatchObject({ exitCode: 7, outOfMemory: false });
    expect(ended.log.sort()).toEqual(['stderr wrong', 'stdout ahoy pilot /srv/app', 'stdout unfinished']);
  });

  test('is root with the default capabilities, or the user of the image without any', async () => {
    const show = ['sh', '-c', 'id -u; id -g; id -G; grep -E "Cap(Eff|Bnd)|Seccomp:" /proc/self/status'];
    const capabilities = '00000000a80425fb';
    expect((await runToEnd(show)).log).toEqual([
      'stdout 0',
      'stdout 0',
      'stdout 0',
      `stdout CapEff:\t${capabilities}`,
      `stdout CapBnd:\t${capabilities}`,
      'stdout Seccomp:\t2',
    ]);
    expect((await runToEnd(show, { user: 'web' })).log).toEqual([
      'stdout 1500',
      'stdout 1600',
      'stdout 1600 1700',
      'stdout CapEff:\t0000000000000000',
      `stdout CapBnd:\t${capabilities}`,
      'stdout Seccomp:\t2',
    ]);
  });

  test('is kept within its limits', async () => {
    const id = await run(['sleep', '1000'], {
      limits: { memoryBytes: 64 * 1024 * 1024, nanoCpus: 500_000_000, pids: 50 },
    });
    const version2 = (await readdir('/sys/fs/cgroup')).includes('cgroup.controllers');
    const files = version2
      ? { 'memory.max': '67108864', 'cpu.max': '50000 100000', 'pids.max': '50' }
      : {
          'memory/memory.limit_in_bytes': '67108864',
          'cpu/cpu.cfs_quota_us': '50000',
          'pids/pids.max': '50',
        };
    for (const [file, value] of Object.entries(files)) {
      const [controller = '', name = ''] = version2 ? ['', file] : file.split('/');
      const path = join('/sys/fs/cgroup', controller, fixture.cgroupParent, id, name);
      expect((await readFile(path, 'utf8')).trim()).toBe(value);
    }
    await fixture.engine.remove(id);
  });

  test('that needs more memory than it may have is reported as out of memory', async () => {
    const ended = await runToEnd(['sh', '-c', 'x=a; while true; do x="$x$x"; done'], {
      limits: { memoryBytes: 16 * 1024 * 1024 },
    });
    expect(ended).toMatchObject({ exitCode: 137, outOfMemory: true });
  });

  test('sees files that were mounted, in the order of their depth', async () => {
    const directory = join(fixture.directory, 'volume');
    await mkdir(directory);
    await writeFile(join(directory, 'file'), 'from the host\n');
    const ended = await runToEnd(
      ['sh', '-c', 'cat /data/inner/file; echo x >/data/inner/file || echo read-only'],
      {
        mounts: [
          { source: directory, target: '/data/inner', type: 'bind', options: ['ro'] },
          { source: '', target: '/data', type: 'tmpfs', options: ['size=1m'] },
        ],
      },
    );
    expect(ended.log).toContain('stdout from the host');
    expect(ended.log).toContain('stdout read-only');
  });

  test('with a terminal has one stream', async () => {
    const ended = await runToEnd(['sh', '-c', 'test -t 1 && echo terminal; echo other >&2; sleep 0.1'], {
      tty: true,
    });
    expect(ended.log).toEqual(['stdout terminal\r', 'stdout other\r']);
  });

  test('whose command is not in the image is refused, and nothing stays behind', async () => {
    const { engine } = fixture;
    const container = fixture.container(image, ['no-such-program']);
    await expect(engine.create(container, fixture.sink(container.id))).rejects.toMatchObject({
      code: 'command_not_found',
      message: 'Cannot run "no-such-program": the image has no such program in its PATH',
    });
    expect((await engine.list()).map(({ id }) => id)).not.toContain(container.id);
    expect(await readdir(join(fixture.directory, 'engine/fifo'))).not.toContain(`${container.id}-stdout`);
  });

  test('is listed with its labels and state, and removed whatever state it is in', async () => {
    const { engine } = fixture;
    const created = fixture.container(image, ['sleep', '1000'], { labels: { task: 'a' } });
    await engine.create(created, fixture.sink(created.id));
    const running = await run(['sleep', '1000'], { labels: { task: 'b' } });
    const stopped = await run(['sh', '-c', 'exit 3'], { labels: { task: 'c' } });
    const find = async (id: string) => (await engine.list()).find((info) => info.id === id);
    await until('the third has stopped', async () => (await find(stopped))?.state === 'stopped');
    expect(await find(created.id)).toMatchObject({ labels: { task: 'a' }, state: 'created' });
    expect(await find(running)).toMatchObject({
      labels: { task: 'b' },
      state: 'running',
      pid: expect.any(Number),
    });
    expect(await find(stopped)).toMatchObject({ labels: { task: 'c' }, exitCode: 3 });
    for (const id of [created.id, running, stopped, 'never-was']) await engine.remove(id);
    expect(await engine.list()).toEqual([]);
    await engine.kill(running, 9);
  });

  test('can be created while the last one of its group goes away', async () => {
    for (let round = 0; round < 6; round++) {
      const first = await run(['sleep', '1000'], { group: 'racing' });
      const [, second] = await Promise.all([
        fixture.engine.remove(first),
        systemClock.sleep(round * 8).then(() => run(['sleep', '1000'], { group: 'racing' })),
      ]);
      expect((await fixture.engine.list()).map(({ id, state }) => [id, state])).toEqual([
        [second, 'running'],
      ]);
      await fixture.engine.remove(second);
    }
  });
});

describe('an exec', () => {
  let id: string;
  beforeAll(async () => {
    id = await run(['sleep', '1000'], { environment: ['COLOUR=red'] });
  });

  const exec = (command: string[], extra: object = {}) =>
    fixture.engine.exec(id, { command, tty: false, environment: [], stdin: false, ...extra });

  test('gives its output on two streams and its exit code', async () => {
    const session = await exec(['sh', '-c', 'echo "$COLOUR $SIZE"; echo no >&2; exit 5'], {
      environment: ['SIZE=3'],
    });
    expect(await finish(session)).toEqual({ exitCode: 5, stdout: 'red 3\n', stderr: 'no\n' });
  });

  test('reads standard input to its end', async () => {
    const session = await exec(['wc', '-c'], { stdin: true });
    session.stdin!.end(Buffer.alloc(300_000, 'x'));
    expect((await finish(session)).stdout.trim()).toBe('300000');
  });

  test('loses nothing of much output, even when it is read late', async () => {
    const session = await exec(['sh', '-c', 'head -c 3000000 /dev/zero']);
    await systemClock.sleep(300);
    expect((await finish(session)).stdout.length).toBe(3_000_000);
  });

  test('has a terminal of the size asked for, which can change', async () => {
    const session = await exec(['sh', '-c', 'stty size; read x; stty size'], {
      tty: true,
      stdin: true,
      size: { columns: 91, rows: 17 },
    });
    await session.resize(40, 20);
    session.stdin!.write('\n');
    const { stdout, exitCode } = await finish(session);
    expect(exitCode).toBe(0);
    // a terminal gives back what is typed, here before or after the first answer
    expect(stdout).toMatch(/^(?:\r\n)?(?:17 91|20 40)\r\n/);
    expect(stdout).toMatch(/20 40\r\n$/);
  });

  test('is killed when its time is up', async () => {
    const session = await exec(['sleep', '1000'], { timeoutMs: 100 });
    expect((await finish(session)).exitCode).toBe(137);
  });

  test('takes what it started with it when it is killed or its time is up, but no daemon', async () => {
    const running = async () => (await finish(await exec(['ps', '-o', 'args']))).stdout;
    const script = 'sleep 1111 & sleep 1111 | cat & setsid sleep 2222 & sleep 1111';
    const timed = await exec(['sh', '-c', script], { timeoutMs: 500 });
    expect((await finish(timed)).exitCode).toBe(137);
    const killed = await exec(['sh', '-c', script]);
    await until('it runs', async () => (await running()).includes('sleep 1111'));
    await killed.kill(9);
    expect((await killed.exit).exitCode).toBe(137);
    expect(await running()).not.toContain('sleep 1111');
    expect(await running()).toContain('sleep 2222');
  });

  test('that names no program of the image is refused', async () => {
    await expect(exec(['no-such-program'])).rejects.toMatchObject({ code: 'command_not_found' });
  });

  test('runs as a user of the image', async () => {
    expect((await finish(await exec(['id', '-u'], { user: 'web' }))).stdout).toBe('1500\n');
  });

  test('ends although a child that it left behind keeps its output open', async () => {
    const session = await exec(['sh', '-c', 'sleep 1000 & echo done']);
    expect(await finish(session)).toMatchObject({ exitCode: 0, stdout: 'done\n' });
  });

  test('leaves no file, descriptor or process behind', async () => {
    const descriptors = async () => (await readdir('/proc/self/fd')).length;
    await finish(await exec(['true']));
    const before = await descriptors();
    await Promise.all(Array.from({ length: 10 }, async () => finish(await exec(['true']))));
    await until('descriptors are closed', async () => (await descriptors()) <= before);
    const files = await readdir(join(fixture.directory, 'engine/fifo'));
    expect(files.filter((name) => name.startsWith('exec-'))).toEqual([]);
  });
});
