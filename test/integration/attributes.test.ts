import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createCluster, type Cluster } from '../harness/cluster.ts';
import { runInside, writeComposeFile } from '../harness/compose.ts';
import { buildImage, busyboxImage } from '../harness/image.ts';
import { paths } from '../harness/state.ts';
import { LineProcess } from './network-rpc.ts';

/** What a Compose file says of containers, seen from inside of them on a real host. */

let cluster: Cluster;
let image: string;

beforeAll(async () => {
  cluster = await createCluster({ hosts: 1 });
  const { images } = paths(cluster.directory);
  const built = await buildImage({
    directory: images,
    from: await busyboxImage(images),
    files: {
      '/srv/data': { directory: true, mode: 0o750, owner: 33 },
      '/srv/data/inner/file': { content: 'from the image\n' },
    },
  });
  image = await cluster.push('library/tools:1', built);
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(await cluster.troubles());
});

afterAll(async () => {
  await cluster?.down();
  expect(await cluster?.leftovers()).toEqual([]);
});

const patient = 'command: [sleep, "86400"]\n    stop_signal: SIGKILL';

async function up(application: string, text: string): Promise<void> {
  const path = await writeComposeFile(cluster, application, text.replaceAll('IMAGE', image));
  expect(await cluster.shoal(['up', '-f', path, '--timeout', '60'])).toMatchObject({ exitCode: 0 });
}

const inside = (application: string, service: string, script: string) =>
  runInside(cluster, application, service, script);

test('settings, names, volumes and networks are in the container as the file says', async () => {
  const [host] = cluster.hosts;
  const probe = fileURLToPath(new URL('./network-probe.ts', import.meta.url));
  const argv = ['-t', String(host!.initPid), '-n', '--', process.execPath, probe, 'resolver'];
  const resolver = new LineProcess('nsenter', argv);
  onTestFinished(() => resolver.kill());
  await resolver.call('resolve', { name: 'far.example.org', address: '203.0.113.7' });
  await up(
    'seen',
    `services:
  web:
    image: IMAGE
    ${patient}
    hostname: me
    domainname: example.org
    extra_hosts: ["friend=192.0.2.1", "here=host-gateway"]
    dns: ${host!.address}
    dns_search: [example.org]
    cap_drop: [ALL]
    read_only: true
    tmpfs: "/run:uid=5,mode=700"
    ulimits: { nofile: 321 }
    sysctls: { net.core.somaxconn: 99 }
    volumes: ["data:/srv/data"]
  part:
    image: IMAGE
    ${patient}
    depends_on: [web]
    volumes: [{ type: volume, source: data, target: /part, volume: { subpath: inner } }]
  alone: { image: IMAGE, command: [sleep, "86400"], stop_signal: SIGKILL, network_mode: none }
  local: { image: IMAGE, command: [sleep, "86400"], stop_signal: SIGKILL, network_mode: host }
volumes: { data: }
`,
  );
  expect(await inside('seen', 'web', 'hostname; cat /proc/sys/kernel/domainname')).toBe('me\nexample.org');
  const hosts = await inside('seen', 'web', 'cat /etc/hosts');
  expect(hosts).toMatch(/^192\.0\.2\.1\tfriend$/m);
  expect(hosts).toMatch(/^[\d.]+\there$/m);
  expect(hosts).toMatch(/^[\d.]+\tme\.example\.org me$/m);
  expect(await inside('seen', 'web', 'grep -v nameserver /etc/resolv.conf')).toBe(
    'search example.org\noptions ndots:0',
  );
  expect(await inside('seen', 'web', 'nslookup -type=a far.example.org.')).toContain('203.0.113.7');
  expect(await inside('seen', 'web', 'nslookup -type=a part.')).toMatch(/Address:? .*10\./);
  expect(await inside('seen', 'web', 'grep CapBnd /proc/self/status')).toMatch(/\t0+$/);
  expect(await inside('seen', 'web', 'touch /x 2>/dev/null || echo read-only')).toBe('read-only');
  expect(await inside('seen', 'web', 'stat -c %u:%a /run; ulimit -n')).toBe('5:700\n321');
  expect(await inside('seen', 'web', 'cat /proc/sys/net/core/somaxconn')).toBe('99');
  expect(await inside('seen', 'web', 'stat -c %u:%a /srv/data')).toBe('33:750');
  expect(await inside('seen', 'part', 'cat /part/file')).toBe('from the image');
  expect(await inside('seen', 'alone', 'ls /sys/class/net; cat /etc/resolv.conf')).toBe('lo\n# no network');
  expect(await inside('seen', 'local', 'ip addr')).toContain(host!.address);
  expect(await cluster.shoal(['down', '-p', 'seen'])).toMatchObject({ exitCode: 0 });
});

test('of much output as many files of such a size are kept as the service says', async () => {
  await up(
    'talking',
    `services:
  web:
    image: IMAGE
    command: [sh, -c, "seq 1 200000; sleep 86400"]
    stop_signal: SIGKILL
    logging: { driver: json-file, options: { max-size: 200k, max-file: "2" } }
`,
  );
  await expect
    .poll(async () => (await cluster.shoal(['logs', '-p', 'talking', 'web'])).stdout, { timeout: 20_000 })
    .toMatch(/\b200000\n/);
  const { stdout } = await cluster.shoal(['logs', '-p', 'talking', 'web']);
  expect(stdout).not.toMatch(/\b1000\n/);
  expect(stdout.split('\n').length).toBeGreaterThan(2_000);
  expect(await cluster.shoal(['down', '-p', 'talking'])).toMatchObject({ exitCode: 0 });
});

test('commands run after the start, and before the stop', async () => {
  await up(
    'hooked',
    `services:
  web:
    image: IMAGE
    ${patient}
    volumes: ["notes:/notes"]
    post_start: [{ command: [sh, -c, "sleep 0.3; echo $$WHO >/notes/after"], environment: [WHO=me], user: "0" }]
    pre_stop: [{ command: touch /notes/before }]
  later:
    image: IMAGE
    ${patient}
    depends_on: [web]
    volumes: ["notes:/notes"]
volumes: { notes: }
`,
  );
  expect(await inside('hooked', 'later', 'cat /notes/after; ls /notes')).toBe('me\nafter');
  expect(await cluster.shoal(['scale', '-p', 'hooked', 'web=0'])).toMatchObject({ exitCode: 0 });
  await expect.poll(() => inside('hooked', 'later', 'ls /notes'), { timeout: 20_000 }).toBe('after\nbefore');
  expect(await cluster.shoal(['down', '-p', 'hooked'])).toMatchObject({ exitCode: 0 });
});

test('a seccomp profile beside the file, files of an image and a privileged command are as the file says', async () => {
  const profile = {
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 }],
  };
  const folder = dirname(await writeComposeFile(cluster, 'guarded', ''));
  await writeFile(join(folder, 'strict.json'), JSON.stringify(profile));
  await up(
    'guarded',
    `services:
  web:
    image: IMAGE
    ${patient}
    user: "5"
    security_opt: [seccomp=./strict.json]
    runtime: runc
    volumes: [{ type: image, source: IMAGE, target: /inner, image: { subpath: srv/data/inner } }]
    tmpfs: "/run:uid=5"
    post_start: [{ command: [sh, -c, "grep CapEff /proc/self/status >/run/capabilities"], privileged: true, user: root }]
`,
  );
  expect(await inside('guarded', 'web', 'mkdir /run/a')).toContain('Function not implemented');
  expect(await inside('guarded', 'web', 'cat /inner/file; grep CapEff /proc/self/status')).toMatch(
    /^from the image\nCapEff:\t0+$/,
  );
  expect(await inside('guarded', 'web', 'cat /run/capabilities')).toMatch(/[1-9a-f][0-9a-f]{4,}$/);
  expect(await cluster.shoal(['down', '-p', 'guarded'])).toMatchObject({ exitCode: 0 });
});

test('a service whose runtime or device no host has is refused, and nothing of its application is made', async () => {
  const text = `services:
  odd: { image: ${image}, runtime: kata }
  card: { image: ${image}, gpus: all }
  net: { image: ${image}, devices: [vendor.com/net=eth7] }
`;
  const path = await writeComposeFile(cluster, 'waiting', text);
  const { exitCode, stderr } = await cluster.shoal(['up', '-f', path]);
  expect(exitCode).toBe(1);
  for (const why of ['device nvidia.com/gpu=all', 'device vendor.com/net=eth7', 'runtime kata']) {
    expect(stderr).toContain(`no suitable node: no ${why} on 1 node`);
  }
  expect((await cluster.shoal(['ps', '-p', 'waiting'])).stderr).toContain('Cannot find an application');
});

test('a device that no host has, and a folder that is not in the volume, fail the service with that', async () => {
  const text = `services:
  web: { image: ${image}, command: [sleep, "1"], devices: [/dev/no-such-device] }
  part:
    image: ${image}
    command: [sleep, "1"]
    volumes: [{ type: volume, source: data, target: /part, volume: { subpath: nowhere } }]
volumes: { data: }
`;
  const path = await writeComposeFile(cluster, 'lacking', text);
  const { exitCode, stderr } = await cluster.shoal(['up', '-f', path, '--timeout', '60']);
  expect(exitCode).toBe(1);
  expect(stderr).toContain('Cannot use the device /dev/no-such-device: this host has none');
  expect(stderr).toContain('Cannot mount nowhere of the volume lacking_data: it is no folder there');
  expect(await cluster.shoal(['down', '-p', 'lacking'])).toMatchObject({ exitCode: 0 });
});
