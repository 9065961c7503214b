import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { CommandOptions } from '../../src/util/command.ts';
import { createCluster, type Cluster } from '../harness/cluster.ts';
import { currentTasks, runInside, writeComposeFile } from '../harness/compose.ts';
import { buildImage, busyboxImage } from '../harness/image.ts';
import { paths } from '../harness/state.ts';

/** What outlives applications, or is shared between them, on real hosts. */

let cluster: Cluster;
let image: string;

beforeAll(async () => {
  cluster = await createCluster({ hosts: 2 });
  const { images } = paths(cluster.directory);
  const files = { '/filled/from-image': { content: 'here\n' } };
  image = await cluster.push(
    'library/tools:1',
    await buildImage({ directory: images, from: await busyboxImage(images), files }),
  );
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(await cluster.troubles());
});

afterAll(async () => {
  await cluster?.down();
  expect(await cluster?.leftovers()).toEqual([]);
});

/** Runs `shoal LINE` and gives what it printed, whatever became of it. */
async function shoal(line: string, options: CommandOptions = {}): Promise<string> {
  const { stdout, stderr, exitCode } = await cluster.shoal(line.split(' '), options);
  return `${exitCode === 0 ? '' : `${exitCode}: `}${stdout}${stderr}`.trim();
}

async function up(application: string, text: string): Promise<string> {
  const path = await writeComposeFile(cluster, application, text.replaceAll('IMAGE', image));
  return await shoal(`up -f ${path} --timeout 60`);
}

const inside = (application: string, service: string, script: string) =>
  runInside(cluster, application, service, script);

const sleeps = 'image: IMAGE\n    command: [sleep, "86400"]\n    stop_signal: SIGKILL';
function onHost(name: string): string {
  return `deploy: { placement: { constraints: [node.hostname == ${name}] } }`;
}

const store = `services:
  db:
    image: IMAGE
    command: [httpd, -f, -h, /www]
    stop_signal: SIGKILL
    networks: [shared]
    configs: [{ source: page, target: /www/index.html }]
    volumes: ["common:/common"]
    ${onHost('a')}
networks: { shared: { external: true } }
volumes: { common: { external: true } }
configs: { page: { external: true } }
`;

const front = `services:
  web:
    ${sleeps}
    networks: [default, meeting]
    secrets: [key]
    volumes: ["common:/common"]
    ${onHost('a')}
  far:
    ${sleeps}
    networks: [meeting]
    ${onHost('b')}
networks: { meeting: { external: true, name: shared } }
volumes: { common: { external: true } }
secrets: { key: { external: true } }
`;

test('applications meet in what was made by commands, which outlives them', async () => {
  const refused = await up('front', front);
  expect(refused).toContain('there are no network shared, volume common, secret key');
  expect(refused).toContain('shoal network create shared');
  expect(await shoal('ls')).not.toContain('front');

  await shoal('network create shared');
  await shoal('volume create common');
  await shoal('secret create key -', { input: 'very secret' });
  const folder = paths(cluster.directory).applications;
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'page.html'), 'hello from the store\n');
  await shoal(`config create page ${join(folder, 'page.html')}`);
  expect(await up('store', store)).toContain('store is up');
  expect(await up('front', front)).toContain('front is up');

  for (const name of ['db', 'store_db']) {
    expect(await inside('front', 'web', `wget -qO- http://${name}/`)).toBe('hello from the store');
    expect(await inside('front', 'far', `wget -qO- http://${name}/`)).toBe('hello from the store');
  }
  expect(await inside('front', 'web', 'cat /run/secrets/key')).toBe('very secret');
  await inside('store', 'db', 'echo shared >/common/file');
  expect(await inside('front', 'web', 'cat /common/file')).toBe('shared');

  expect(await shoal('network rm shared')).toContain('front_far, front_web, store_db use it');
  expect(await shoal('secret rm key')).toContain('front_web uses it');
  expect(await shoal('down -p store')).toContain('store is removed');
  expect(await shoal('volume rm common')).toContain('front_web uses it');
  expect(await inside('front', 'web', 'cat /common/file')).toBe('shared');
  expect(await shoal('down -p front')).toContain('front is removed');

  expect(await shoal('secret ls -q')).toBe('key');
  const data = join(cluster.host('a').stateDirectory, 'volumes/common/data/file');
  expect(await cluster.host('a').run(['cat', data])).toBe('shared\n');
  for (const line of ['network rm shared', 'volume rm --yes common', 'secret rm key', 'config rm page']) {
    expect(await shoal(line)).toMatch(/ is removed$/);
  }
  expect(await cluster.host('a').exec(['cat', data])).toMatchObject({ exitCode: 1 });
});

const owner = `services:
  api: { image: IMAGE, command: [httpd, -f, -h, /etc], stop_signal: SIGKILL, networks: [inner], secrets: [key] }
networks: { inner: }
secrets: { key: { environment: KEY } }
`;
const guest = `services:
  web:
    ${sleeps}
    networks: [theirs]
    secrets: [key]
networks: { theirs: { external: true, name: owner_inner } }
secrets: { key: { external: true, name: owner_key } }
`;

async function upOwner(key: string): Promise<string> {
  const path = await writeComposeFile(cluster, 'owner', owner.replaceAll('IMAGE', image));
  return await shoal(`up -f ${path} --timeout 60`, { env: { KEY: key } });
}

test('an application whose network another one uses goes after that one, in whatever order it is asked', async () => {
  expect(await up('guest', guest)).toContain('there are no network owner_inner, secret owner_key');
  expect(await upOwner('first')).toContain('owner is up');
  expect(await up('guest', guest)).toContain('guest is up');
  expect(await inside('guest', 'web', 'cat /run/secrets/key')).toBe('first');
  expect(await inside('guest', 'web', 'wget -qO- http://api/hostname')).not.toBe('');

  const before = await currentTasks(cluster, 'owner');
  expect(await shoal('down -p owner')).toContain('guest_web on network owner_inner');
  expect((await currentTasks(cluster, 'owner')).map(({ id }) => id)).toEqual(before.map(({ id }) => id));
  expect(await inside('guest', 'web', 'wget -qO- http://api/hostname')).not.toBe('');

  // A new version is another secret; whoever uses the old one has it until its next `up`.
  expect(await upOwner('second')).toContain('owner is up');
  expect(await inside('guest', 'web', 'cat /run/secrets/key')).toBe('first');
  expect(await up('guest', guest)).toContain('guest is up');
  expect(await inside('guest', 'web', 'cat /run/secrets/key')).toBe('second');

  expect(await shoal('down -p guest')).toContain('guest is removed');
  expect(await shoal('down -p owner')).toContain('owner is removed');
  expect(await shoal('network ls -q')).toBe('');
});

const mounts = `services:
  one:
    ${sleeps}
    volumes: ["scratch:/scratch", "host:/host", "scratch:/filled"]
    ${onHost('a')}
  two:
    ${sleeps}
    depends_on: [one]
    volumes: ["scratch:/scratch"]
    ${onHost('a')}
volumes:
  scratch: { driver_opts: { type: tmpfs, o: "size=1m", device: tmpfs } }
  host: { driver_opts: { type: none, o: bind, device: /run/shoal/given } }
`;

/** Where the volumes of `mounts` are mounted on host a. */
async function mounted(): Promise<string[]> {
  const text = await cluster.host('a').run(['cat', '/proc/self/mountinfo']);
  const found = text.match(/volumes\/mounts_\w+\/mounted(?= )/g) ?? [];
  return [...new Set(found)].sort();
}

test('volumes with options are mounted while somebody uses them, also when the agent starts anew', async () => {
  const host = cluster.host('a');
  const failed = await up('mounts', mounts);
  expect(failed).toContain('Cannot mount volume mounts_host: special device /run/shoal/given does not exist');
  expect(await shoal('down -p mounts')).toContain('mounts is removed');
  await expect.poll(mounted).toEqual([]);

  await host.run(['mkdir', '/run/shoal/given']);
  await host.run(['sh', '-c', 'echo given >/run/shoal/given/file']);
  expect(await up('mounts', mounts)).toContain('mounts is up');
  expect(await inside('mounts', 'one', 'cat /host/file')).toBe('given');
  expect(await inside('mounts', 'one', 'stat -f -c %T /scratch; cat /scratch/from-image')).toBe(
    'tmpfs\nhere',
  );
  await inside('mounts', 'one', 'echo mine >/scratch/file');
  expect(await inside('mounts', 'two', 'cat /scratch/file')).toBe('mine');

  const agent = await host.part('agent');
  await host.kill('agent');
  await expect.poll(async () => (await host.part('agent'))?.pid, { timeout: 20_000 }).not.toBe(agent?.pid);
  await expect.poll(() => shoal('scale -p mounts two=0'), { timeout: 30_000 }).not.toMatch(/^\d/);
  expect(await inside('mounts', 'one', 'cat /scratch/file')).toBe('mine');
  expect(await mounted()).toEqual(['volumes/mounts_host/mounted', 'volumes/mounts_scratch/mounted']);

  expect(await shoal('down -p mounts')).toContain('mounts is removed');
  await expect.poll(mounted).toEqual([]);
  expect(await host.run(['cat', '/run/shoal/given/file'])).toBe('given\n');
  expect(await shoal('volume rm mounts_scratch mounts_host')).toBe(
    'mounts_scratch is removed\nmounts_host is removed',
  );
  expect(await host.run(['cat', '/run/shoal/given/file'])).toBe('given\n');
});
