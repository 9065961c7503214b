import { lstat, mkdir, readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Image } from '../../agent/engine/engine.ts';
import { findInit } from '../../agent/engine/init.ts';
import { createVolumes, type Volumes } from '../../agent/volumes/volumes.ts';
import { systemClock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import { buildImage, busyboxImage } from '../harness/image.ts';
import { pushImage } from '../harness/registry.ts';
import { finish, startEngineFixture, until, type EngineFixture } from './engine-fixture.ts';

let fixture: EngineFixture;
let image: Image;

beforeAll(async () => {
  fixture = await startEngineFixture();
  const directory = join(fixture.directory, 'images');
  await mkdir(directory);
  const built = await buildImage({
    directory,
    from: await busyboxImage(directory),
    volumes: ['/srv/anonymous'],
    files: [
      {
        '/srv/data': { directory: true, mode: 0o2750, owner: 1500 },
        '/srv/data/private': { content: 'of the image', mode: 0o600, owner: 1500 },
        '/srv/data/inner': { directory: true },
        '/srv/data/inner/file': { content: 'deep' },
        '/srv/data/link': { link: '/etc/passwd' },
        '/srv/anonymous/file': { content: 'anonymous' },
        '/srv/empty': { directory: true, mode: 0o700, owner: 1600 },
        '/srv/outside': { link: '/../../../../../../etc' },
      },
      {
        '/srv/data': { directory: true, mode: 0o2750, owner: 1500 },
        '/srv/data/inner/file': { content: 'upper layer' },
      },
    ],
  });
  await pushImage(fixture.registry.name, 'data:1', built);
  image = await fixture.engine.pull(`${fixture.registry.name}/data:1`, {});
});

afterAll(async () => {
  await fixture?.stop();
});

describe('the first use of a volume', () => {
  let volumes: Volumes;
  let state: string;

  beforeAll(() => {
    state = join(fixture.directory, 'volumes');
    volumes = createVolumes({
      stateDirectory: state,
      copyImageContent: (from, path, folder) => fixture.engine.copyImageContent(from, path, folder),
    });
  });

  const use = async (source: string, target: string, noCopy = false) => {
    const mount = { type: 'volume', source, target, readOnly: false, noCopy } as const;
    await volumes.prepare('task', image, [mount]);
    return join(state, 'volumes', source, 'data');
  };

  test('brings what the image holds there, with owners, modes and links, from the uppermost layer', async () => {
    const data = await use('filled', '/srv/data');
    expect(await stat(data)).toMatchObject({ mode: 0o42750, uid: 1500 });
    expect(await stat(join(data, 'private'))).toMatchObject({ mode: 0o100600, uid: 1500 });
    expect(await readFile(join(data, 'inner/file'), 'utf8')).toBe('upper layer');
    expect(await readlink(join(data, 'link'))).toBe('/etc/passwd');
    expect(await readFile(join(state, 'anonymous-volumes/task/1/file'), 'utf8')).toBe('anonymous');
  });

  test('takes owner and mode of an empty folder, and nothing where the image has none or it was not wanted', async () => {
    expect(await stat(await use('empty', '/srv/empty'))).toMatchObject({ mode: 0o40700, uid: 1600 });
    expect(await stat(await use('nothing', '/srv/nothing'))).toMatchObject({ mode: 0o40755, uid: 0 });
    const unwanted = await use('unwanted', '/srv/data', true);
    expect(await stat(unwanted)).toMatchObject({ mode: 0o40755, uid: 0 });
    await expect(lstat(join(unwanted, 'private'))).rejects.toThrow('ENOENT');
  });

  test('never leaves the image, wherever its links lead', async () => {
    const data = await use('outside', '/srv/outside');
    await expect(lstat(join(data, 'hostname'))).rejects.toThrow('ENOENT');
    expect(await lstat(join(data, 'passwd')).catch(() => 'the image has none')).not.toHaveProperty(
      'ino',
      (await stat('/etc/passwd')).ino,
    );
  });
});

/** Runs a container to its end; gives what it printed, and how it ended. */
async function run(script: string, extra: Parameters<EngineFixture['container']>[2] = {}): Promise<string[]> {
  const container = fixture.container(image, ['sh', '-c', script], extra);
  const exits = fixture.engine.exits(new AbortController().signal);
  await fixture.engine.list();
  await fixture.engine.create(container, fixture.sink(container.id));
  await fixture.engine.start(container.id);
  let exitCode: number | undefined;
  for await (const exit of exits) {
    if (exit.id !== container.id) continue;
    ({ exitCode } = exit);
    break;
  }
  await fixture.engine.remove(container.id);
  const log = await fixture.log(container.id);
  return [...log.map((line) => line.replace(/^stdout /, '')), `exit ${exitCode}`];
}

/** Lines that print what names stand for: `NAME=VALUE`. */
function show(values: Record<string, string>): string {
  const lines = Object.entries(values).map(([name, expression]) => `echo "${name}=$(${expression} 2>&1)"`);
  return lines.join('; ');
}

async function hasVersion2(): Promise<boolean> {
  return (await readdir('/sys/fs/cgroup')).includes('cgroup.controllers');
}

function status(name: string): string {
  return `sed -n 's/^${name}:[[:space:]]*//p' /proc/self/status`;
}

describe('seen from inside, a container', () => {
  test('has the capabilities, limits, kernel settings, memory and groups that were asked for', async () => {
    const script = show({
      effective: status('CapEff'),
      privileges: status('NoNewPrivs'),
      seccomp: status('Seccomp'),
      groups: 'id -G',
      nofile: 'ulimit -n',
      core: 'ulimit -c',
      oom: 'cat /proc/self/oom_score_adj',
      somaxconn: 'cat /proc/sys/net/core/somaxconn',
      shmmax: 'cat /proc/sys/kernel/shmmax',
      domain: 'cat /proc/sys/kernel/domainname',
      shared: "df -k /dev/shm | awk 'END { print $2 }'",
      root: 'sh -c "touch /file 2>/dev/null || echo read-only"',
      program: 'cp /bin/busybox /t/true && /t/true && echo may run',
      owner: 'stat -c %u:%a /t',
    });
    const lines = await run(script, {
      settings: {
        capabilitiesAdd: ['NET_ADMIN'],
        capabilitiesDrop: ['ALL'],
        noNewPrivileges: true,
        seccomp: 'unconfined',
        groups: ['900'],
        ulimits: { nofile: { soft: 300, hard: 400 }, core: { soft: -1, hard: -1 } },
        oomScoreAdjust: 321,
        sysctls: { 'net.core.somaxconn': '777', 'kernel.shmmax': '65536' },
        domainName: 'example.org',
        sharedMemoryBytes: 8 * 1024 * 1024,
        readOnly: true,
      },
      mounts: [{ type: 'tmpfs', source: 'tmpfs', target: '/t', options: ['exec', 'uid=33', 'mode=1777'] }],
    });
    expect(lines).toEqual([
      'effective=0000000000001000',
      'privileges=1',
      'seccomp=0',
      'groups=0 900',
      'nofile=300',
      'core=unlimited',
      'oom=321',
      'somaxconn=777',
      'shmmax=65536',
      'domain=example.org',
      'shared=8192',
      'root=read-only',
      'program=may run',
      'owner=33:1777',
      'exit 0',
    ]);
  });

  test('that is privileged sees devices, may mount, and nothing is hidden from it', async () => {
    const script = show({
      mount: 'mkdir -p /m && mount -t tmpfs tmpfs /m && echo mounted',
      kernel: 'test -w /proc/sys/vm/swappiness && echo writable',
      devices: 'test -c /dev/kmsg && echo there',
      hidden: 'mount | grep -c " /proc/kcore " || true',
    });
    expect(await run(script, { settings: { privileged: true } })).toEqual([
      'mount=mounted',
      'kernel=writable',
      'devices=there',
      'hidden=0',
      'exit 0',
    ]);
    const plain = await run(show({ mount: 'mkdir -p /m && mount -t tmpfs tmpfs /m && echo mounted' }));
    expect(plain[0]).not.toContain('mounted');
    const able = { settings: { capabilitiesAdd: ['SYS_ADMIN'] } };
    const more = await run(show({ mount: 'mkdir -p /m && mount -t tmpfs tmpfs /m && echo mounted' }), able);
    expect(more[0]).toBe('mount=mounted');
  });

  test('has the devices it was given with the rights it was given', async () => {
    const open = (how: string) => `sh -c ": ${how} && echo open" 2>/dev/null || true`;
    const script = show({
      read: open('</dev/messages'),
      write: open('>/dev/messages'),
      node: `mknod /node c 1 11 && ${open('>/node')}`,
    });
    const devices = [{ source: '/dev/kmsg', target: '/dev/messages', permissions: 'r' }];
    const capabilitiesAdd = ['SYSLOG'];
    expect(await run(script, { settings: { devices, capabilitiesAdd } })).toEqual([
      'read=open',
      'write=',
      'node=',
      'exit 0',
    ]);
    const ruled = await run(script, { settings: { deviceRules: ['c 1:11 rwm'], capabilitiesAdd } });
    expect(ruled).toContain('node=open');
  });

  test('is within the control group settings it was given, where it was put', async () => {
    const parent = `/${fixture.cgroupParent.slice(1)}/own`;
    const id = 'settled';
    const container = fixture.container(image, ['sleep', '1000'], {
      id,
      limits: { memoryBytes: 64 * 1024 * 1024 },
      settings: {
        cpu: { set: '0', shares: 512, quotaUs: 20_000, periodUs: 50_000 },
        memory: { withSwapBytes: -1 },
        cgroupParent: parent,
      },
    });
    await fixture.engine.create(container, fixture.sink(id));
    await fixture.engine.start(id);
    const files = (await hasVersion2())
      ? { 'cpuset.cpus': '0', 'cpu.max': '20000 50000', 'memory.max': '67108864' }
      : {
          'cpuset/cpuset.cpus': '0',
          'cpu/cpu.shares': '512',
          'cpu/cpu.cfs_quota_us': '20000',
          'cpu/cpu.cfs_period_us': '50000',
          'memory/memory.limit_in_bytes': '67108864',
        };
    for (const [file, value] of Object.entries(files)) {
      const [name = '', controller = ''] = file.split('/').toReversed();
      const path = join('/sys/fs/cgroup', controller, parent, id, name);
      expect([file, (await readFile(path, 'utf8')).trim()]).toEqual([file, value]);
    }
    await fixture.engine.remove(id);
  });

  test('shares the namespaces of the host that it was to share, and no other', async () => {
    const names = ['pid', 'ipc', 'uts', 'net', 'mnt'];
    const script = show(Object.fromEntries(names.map((name) => [name, `readlink /proc/self/ns/${name}`])));
    const ofHost = Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await readlink(`/proc/self/ns/${name}`)])),
    ) as Record<string, string>;
    const shared = (lines: string[]) => names.filter((name) => lines.includes(`${name}=${ofHost[name]}`));
    const settings = { pid: 'host', ipc: 'host', uts: 'host' } as const;
    expect(shared(await run(script, { settings }))).toEqual(['pid', 'ipc', 'uts']);
    expect(shared(await run(script))).toEqual([]);
  });

  test('keeps its standard input open only when it was asked to, with and without a terminal', async () => {
    expect(await run('cat; echo at the end')).toEqual(['at the end', 'exit 0']);
    for (const tty of [false, true]) {
      const id = `open-${tty}`;
      const container = fixture.container(image, ['sh', '-c', 'test -t 0 && echo terminal; cat'], {
        id,
        tty,
        settings: { openStdin: true },
      });
      await fixture.engine.create(container, fixture.sink(id));
      const { pid } = await fixture.engine.start(id);
      await until(
        'it reads',
        async () =>
          (await readFile(`/proc/${pid}/cmdline`, 'utf8')).startsWith('cat') ||
          (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')) !== '',
      );
      await systemClock.sleep(100);
      expect((await fixture.engine.list()).find((one) => one.id === id)?.state).toBe('running');
      await fixture.engine.remove(id);
      expect(await fixture.log(id)).toEqual(tty ? ['stdout terminal\r'] : []);
      const fifos = await readdir(join(fixture.directory, 'engine/fifo'));
      expect(fifos.filter((name) => name.startsWith(id))).toEqual([]);
    }
  });

  test('has an init process that reaps what nobody else does', async (context) => {
    const init = await findInit().catch((error: unknown) => messageOf(error));
    if (!init.startsWith('/')) context.skip(init);
    const script =
      '(sleep 0.1 &) ; cat /proc/1/comm; sleep 0.4; grep -l "Z (zombie)" /proc/[0-9]*/status | wc -l';
    const lines = await run(script, { settings: { init: true } });
    expect(lines.slice(-2)).toEqual(['0', 'exit 0']);
    expect(lines[0]).toMatch(/init|tini/);
  });

  test('runs commands beside its own with what it has itself', async () => {
    const container = fixture.container(image, ['sleep', '1000'], {
      settings: { capabilitiesDrop: ['ALL'], ulimits: { core: { soft: -1, hard: -1 } } },
    });
    await fixture.engine.create(container, fixture.sink(container.id));
    await fixture.engine.start(container.id);
    // another engine knows the container only by what is on record
    for (const engine of [fixture.engine, fixture.another()]) {
      const command = ['sh', '-c', `${status('CapBnd')}; ulimit -c`];
      const session = await engine.exec(container.id, { command, tty: false, environment: [], stdin: false });
      expect((await finish(session)).stdout).toBe('0000000000000000\nunlimited\n');
    }
    await fixture.engine.remove(container.id);
  });
});
