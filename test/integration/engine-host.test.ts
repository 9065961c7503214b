import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ContainerCreate, Image } from '../../agent/engine/engine.ts';
import { parseProfile } from '../../src/compose/seccomp.ts';
import { busyboxImage } from '../harness/image.ts';
import { pushImage } from '../harness/registry.ts';
import { finish, startEngineFixture, type EngineFixture } from './engine-fixture.ts';

/** What a container may have that depends on its host: runtimes, devices that specifications describe, limits, profiles. */

const path = process.env['PATH']!;
let fixture: EngineFixture;
let image: Image;
let programs: string;

beforeAll(async () => {
  programs = await mkdtemp('/tmp/shoal-programs-');
  // a runtime that is called as runc is, and notes that it was
  const script = `#!/bin/sh\necho "$@" >>${programs}/calls\nexec runc "$@"\n`;
  await writeFile(join(programs, 'crun'), script, { mode: 0o755 });
  process.env['PATH'] = [programs, path].join(delimiter);
  fixture = await startEngineFixture();
  const directory = join(fixture.directory, 'images');
  await mkdir(directory);
  await pushImage(fixture.registry.name, 'tools:1', await busyboxImage(directory));
  image = await fixture.engine.pull(`${fixture.registry.name}/tools:1`, {});
});

afterAll(async () => {
  process.env['PATH'] = path;
  await fixture?.stop();
  await rm(programs, { recursive: true, force: true });
});

async function start(id: string, extra: Partial<ContainerCreate>): Promise<void> {
  const container = fixture.container(image, ['sleep', '1000'], { id, ...extra });
  await fixture.engine.create(container, fixture.sink(id));
  await fixture.engine.start(id);
}

async function inside(id: string, script: string, privileged = false): Promise<string> {
  const command = ['sh', '-c', script];
  const request = { command, tty: false, environment: [], stdin: false, privileged };
  const { stdout, stderr } = await finish(await fixture.engine.exec(id, request));
  return (stdout + stderr).trim();
}

describe('a runtime', () => {
  const calls = async () =>
    (await readFile(join(programs, 'calls'), 'utf8').catch(() => '')).trim().split('\n');

  test('is what runs the container, from its start to its removal', async () => {
    expect((await fixture.engine.features()).runtimes).toEqual(
      expect.arrayContaining(['crun', 'runc', 'io.containerd.runc.v2']),
    );
    await start('other', { settings: { runtime: 'crun' } });
    expect(await inside('other', 'echo inside')).toBe('inside');
    await fixture.engine.remove('other');
    const verbs = (await calls()).map((line) => /\b(create|start|exec|delete)\b/.exec(line)?.[1]);
    expect(new Set(verbs)).toEqual(new Set(['create', 'start', 'exec', 'delete', undefined]));
    const before = (await calls()).length;
    for (const runtime of ['runc', 'io.containerd.runc.v2']) {
      await start('usual', { settings: { runtime } });
      expect(await inside('usual', 'echo inside')).toBe('inside');
      await fixture.engine.remove('usual');
    }
    expect(await calls()).toHaveLength(before);
  });

  test('that the host does not have fails the container, and nothing stays behind', async () => {
    await expect(start('none', { settings: { runtime: 'youki' } })).rejects.toThrow('youki');
    await expect(start('none', { settings: { runtime: 'kata' } })).rejects.toThrow('kata');
    expect(await fixture.engine.list()).toEqual([]);
  });
});

test('limits of block devices are in the control group, by the device’s numbers', async () => {
  const rate = (value: number) => [{ path: '/dev/loop0', rate: value }];
  const blockIo = { readBytes: rate(1_048_576), writeOperations: rate(30) };
  await start('limited', { settings: { blockIo } });
  const isVersion2 = (await readdir('/sys/fs/cgroup')).includes('cgroup.controllers');
  const folder = join('/sys/fs/cgroup', isVersion2 ? '' : 'blkio', fixture.cgroupParent, 'limited');
  if (isVersion2) {
    expect(await readFile(join(folder, 'io.max'), 'utf8')).toMatch(/^7:0 rbps=1048576 .*wiops=30$/m);
  } else {
    expect(await readFile(join(folder, 'blkio.throttle.read_bps_device'), 'utf8')).toBe('7:0 1048576\n');
    expect(await readFile(join(folder, 'blkio.throttle.write_iops_device'), 'utf8')).toBe('7:0 30\n');
  }
  await fixture.engine.remove('limited');
  for (const [device, why] of [
    ['/dev/no-such-disk', 'Cannot use the device /dev/no-such-disk: this host has none'],
    ['/dev/null', 'Cannot limit /dev/null: on this host it is no block device'],
  ] as const) {
    const readBytes = [{ path: device, rate: 1 }];
    await expect(start('lacking', { settings: { blockIo: { readBytes } } })).rejects.toThrow(why);
  }
});

test('a seccomp profile decides which calls a container may make', async () => {
  const rules = [
    { names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 },
    { names: ['chmod', 'fchmodat'], action: 'SCMP_ACT_ERRNO', excludes: { caps: ['CAP_SYS_ADMIN'] } },
    { names: ['link', 'linkat'], action: 'SCMP_ACT_ERRNO', includes: { arches: ['s390x'] } },
  ];
  const text = JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: rules });
  const seccomp = parseProfile(text);
  const script = 'mkdir /a; touch /b; chmod 700 /b; ln /b /c; unshare -m true && echo unshared';
  await start('profiled', { settings: { seccomp } });
  const plain = await inside('profiled', script);
  expect(plain).toContain("can't create directory '/a': Function not implemented");
  expect(plain).toMatch(/chmod: .*not permitted/);
  expect(plain).not.toContain('ln:');
  await fixture.engine.remove('profiled');
  await start('able', { settings: { seccomp, capabilitiesAdd: ['SYS_ADMIN'] } });
  const able = await inside('able', script);
  expect(able).toContain('Function not implemented');
  expect(able).not.toContain('chmod:');
  expect(able).toContain('unshared');
  await fixture.engine.remove('able');
});

test('an AppArmor profile that the host has not loaded refuses the container', async () => {
  await expect(start('confined', { settings: { apparmor: 'no-such-profile' } })).rejects.toThrow(
    /^Cannot confine the container by the AppArmor profile no-such-profile: this host has/,
  );
});

test('a privileged command has all that the host may give, and others beside it have not', async () => {
  await start('small', { settings: { capabilitiesDrop: ['ALL'] }, user: '5' });
  const capabilities = "sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status";
  expect(await inside('small', capabilities)).toBe('0000000000000000');
  const request = { tty: false, environment: [], stdin: false, privileged: true, user: '0' };
  const session = await fixture.engine.exec('small', { ...request, command: ['sh', '-c', capabilities] });
  const own = /^CapBnd:\s*(\S+)/m.exec(await readFile('/proc/self/status', 'utf8'))![1]!;
  expect((await finish(session)).stdout.trim()).toBe(own);
  await fixture.engine.remove('small');
});

describe('devices that specifications describe', () => {
  beforeAll(async () => {
    const cdi = join(fixture.directory, 'cdi');
    await mkdir(cdi);
    await writeFile(join(cdi, 'data'), 'of the vendor');
    const hook = join(cdi, 'hook.sh');
    await writeFile(hook, `#!/bin/sh\necho "$1" >>${cdi}/hooked\n`, { mode: 0o755 });
    const specification = {
      cdiVersion: '0.6.0',
      kind: 'vendor.com/net',
      containerEdits: {
        env: ['VENDOR=yes'],
        hooks: [{ hookName: 'createRuntime', path: hook, args: ['hook', 'ran'] }],
      },
      devices: [
        {
          name: '0',
          containerEdits: {
            env: ['WHICH=zero'],
            deviceNodes: [{ path: '/dev/vendor0', hostPath: '/dev/kmsg', permissions: 'r' }],
            mounts: [{ hostPath: join(cdi, 'data'), containerPath: '/opt/data', options: ['ro', 'nosuid'] }],
            additionalGids: [44],
          },
        },
        { name: '1', containerEdits: { deviceNodes: [{ path: '/dev/vendor1', hostPath: '/dev/zero' }] } },
        {
          name: 'broken',
          containerEdits: { deviceNodes: [{ path: '/dev/vendor2', hostPath: '/dev/gone' }] },
        },
      ],
    };
    await writeFile(join(cdi, 'vendor.json'), JSON.stringify(specification));
    const yaml =
      'cdiVersion: 0.5.0\nkind: other.org/x\ndevices:\n- name: a\n  containerEdits:\n    env: [A=1]\n';
    await writeFile(join(cdi, 'other.yaml'), yaml);
    await writeFile(join(cdi, 'wrong.json'), '{ "kind": "a" }');
  });

  test('are announced, but for those of a specification that cannot be read', async () => {
    const { cdiDevices } = await fixture.engine.features();
    expect(cdiDevices).toEqual([
      'other.org/x=a',
      'vendor.com/net=0',
      'vendor.com/net=1',
      'vendor.com/net=broken',
    ]);
  });

  test('change the container as they say: devices, variables, mounts, groups and hooks', async () => {
    const cdi = [{ device: 'vendor.com/net=0' }, { device: 'other.org/x=a' }];
    await start('equipped', { settings: { cdi, capabilitiesAdd: ['SYSLOG'] } });
    expect(await inside('equipped', 'echo $VENDOR $WHICH $A; cat /opt/data; echo; id -G')).toBe(
      'yes zero 1\nof the vendor\n0 44',
    );
    expect(await inside('equipped', 'echo x >/opt/data')).toContain('Read-only file system');
    expect(await inside('equipped', ': </dev/vendor0 && echo open; test -e /dev/vendor1 || echo none')).toBe(
      'open\nnone',
    );
    expect(await inside('equipped', ': >/dev/vendor0')).toContain('not permitted');
    await fixture.engine.remove('equipped');
    expect(await readFile(join(fixture.directory, 'cdi/hooked'), 'utf8')).toBe('ran\n');
  });

  test('are given by number, and a host with too few, or without the device itself, refuses the container', async () => {
    await start('two', { settings: { cdi: [{ kind: 'vendor.com/net', count: 2 }] } });
    expect(await inside('two', 'ls /dev | grep vendor')).toBe('vendor0\nvendor1');
    await fixture.engine.remove('two');
    const refused = async (cdi: NonNullable<ContainerCreate['settings']>['cdi']) =>
      await start('refused', { settings: { cdi: cdi! } }).catch((error: Error) => error.message);
    expect(await refused([{ kind: 'vendor.com/net', count: 3 }])).toBe(
      'Cannot give 3 devices vendor.com/net: this host does not have them any more',
    );
    expect(await refused([{ device: 'a.b/c=d' }])).toContain('Cannot give the device a.b/c=d');
    expect(await refused([{ device: 'vendor.com/net=broken' }])).toContain('/dev/gone: this host has none');
    expect(await fixture.engine.list()).toEqual([]);
  });
});
