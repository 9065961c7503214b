import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { tryCommand } from '../../src/util/command.ts';
import { createCluster, shoalCommand, type Cluster } from '../harness/cluster.ts';
import { currentTasks, runInside, writeComposeFile } from '../harness/compose.ts';
import { buildImage, busyboxImage } from '../harness/image.ts';
import { paths } from '../harness/state.ts';

/** Data stays with its task, on real hosts. */

const waitMs = 30_000;

let cluster: Cluster;
let image: string;

beforeAll(async () => {
  cluster = await createCluster({ hosts: 3 });
  const { images } = paths(cluster.directory);
  const built = await buildImage({ directory: images, from: await busyboxImage(images), files: {} });
  image = await cluster.push('library/tools:1', built);
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(await cluster.troubles());
});

afterAll(async () => {
  await cluster?.down();
  expect(await cluster?.leftovers()).toEqual([]);
});

/** Runs `shoal LINE` and gives what it printed, whatever became of it. */
async function shoal(line: string): Promise<string> {
  const { stdout, stderr, exitCode } = await cluster.shoal(line.split(' '));
  return `${exitCode === 0 ? '' : `${exitCode}: `}${stdout}${stderr}`.trim();
}

async function up(application: string, text: string, more = ''): Promise<string> {
  const path = await writeComposeFile(cluster, application, text.replaceAll('IMAGE', image));
  return await shoal(`up -f ${path} --timeout 60${more}`);
}

const inside = (application: string, service: string, script: string) =>
  runInside(cluster, application, service, script);

/** The host of the application's only task of the service, by its name. */
async function hostOf(application: string, service: string): Promise<string> {
  const client = cluster.client();
  try {
    const nodes = await client.request<{ id: string; name: string }[]>('GET', '/nodes');
    const tasks = await currentTasks(cluster, application);
    const task = tasks.find(({ serviceName }) => serviceName === `${application}_${service}`);
    return nodes.find(({ id }) => id === task?.nodeId)?.name ?? 'none';
  } finally {
    client.close();
  }
}

const counter = `services:
  db:
    image: IMAGE
    command: [sh, -c, 'echo started >>/data/starts; sleep 86400']
    stop_signal: SIGKILL
    volumes: ["data:/data"]
    deploy: { restart_policy: { delay: 0s } }
volumes: { data: }
`;

const starts = () => inside('shop', 'db', 'cat /data/starts').then((text) => text.split('\n').length);

test('a task with a volume waits for its drained host, and goes on with its data', async () => {
  expect(await up('shop', counter)).toContain('shop is up');
  const home = await hostOf('shop', 'db');
  const drain = `node update --availability drain ${home}`;
  const named = `volume shop_data (used by shop_db) is on ${home}`;
  expect(await shoal(drain)).toContain(named);
  expect(await shoal('node ls')).not.toContain('drain');
  expect(await shoal(`${drain} --yes`)).toContain(`${home} is drain`);
  await expect
    .poll(() => shoal('ps -p shop'), { timeout: waitMs })
    .toContain(`volume shop_data is on ${home}, which is drained: activate ${home}`);
  await shoal(`node update --availability active ${home}`);
  await expect.poll(starts, { timeout: waitMs }).toBe(2);
  expect(await hostOf('shop', 'db')).toBe(home);
});

test('a task whose healthcheck fails again and again stays with its data', async () => {
  const home = await hostOf('shop', 'db');
  const check = `healthcheck: { test: "test ! -e /data/sick", interval: 200ms, retries: 1, timeout: 5s }`;
  expect(await up('shop', counter.replace('stop_signal', `${check}\n    stop_signal`))).toContain(
    'shop is up',
  );
  const before = await starts();
  await inside('shop', 'db', 'touch /data/sick');
  const folder = `${cluster.host(home).stateDirectory}/volumes/shop_data/data`;
  const lines = async () =>
    (await cluster.host(home).run(['cat', `${folder}/starts`])).trim().split('\n').length;
  await expect.poll(lines, { timeout: waitMs }).toBeGreaterThan(before + 2);
  await rm(`${folder}/sick`);
  await expect.poll(() => hostOf('shop', 'db'), { timeout: waitMs }).toBe(home);
  for (const host of cluster.hosts.filter(({ name }) => name !== home)) {
    expect(await host.exec(['test', '-e', `${host.stateDirectory}/volumes/shop_data`])).toMatchObject({
      exitCode: 1,
    });
  }
  expect(await shoal('volume ls')).toMatch(
    new RegExp(`shop_data +shop +- +${home} +current +[\\d.]+ KiB +in use +1`),
  );
  expect(await shoal('volume rm --yes shop_data')).toContain('shop_db uses it');
  expect(await shoal('down -p shop')).toContain('shop is removed');
  expect(await shoal('volume ls')).toMatch(/shop_data .* current .* ago +0/);
  const asked = await shoal('volume rm shop_data');
  expect(asked).toMatch(new RegExp(`shop_data: [\\d.]+ KiB on ${home} will be removed`));
  expect(asked).toContain('this is not a terminal');
  expect(await up('shop', counter)).toContain('shop is up');
  expect(await starts()).toBeGreaterThan(before);
  expect(await shoal('down -p shop -v')).toMatch(/shop is removed[^]*shop_data is removed/);
  expect(await shoal('volume ls -q')).toBe('');
  expect(await cluster.host(home).exec(['test', '-e', folder])).toMatchObject({ exitCode: 1 });
});

test('several replicas of a plain volume share one host, with a warning, and per-node ones have a copy each', async () => {
  const three = counter.replace('deploy: {', 'deploy: { replicas: 3,');
  const said = await up('many', three);
  expect(said).toContain('the volume data is on one host, and all 3 replicas run there');
  expect(await inside('many', 'db', 'wc -l </data/starts')).toBe('3');
  await shoal('down -p many -v');
  const each = three.replace('data: }', 'data: { x-shoal-volume: per-node } }');
  const again = await up('each', each);
  expect(again).not.toContain('on one host');
  const attempts = await shoal('ps -p each --all');
  expect(await inside('each', 'db', 'wc -l </data/starts'), attempts).toBe('1');
  const copies = (await shoal('volume ls')).split('\n').filter((line) => line.startsWith('each_data'));
  expect(copies.map((line) => line.split(/ +/)[3])).toEqual(['a', 'b', 'c']);
  const down = await shoal('down -p each --volumes');
  expect(down).toContain('each_data is removed');
});

test('a volume of one application is not another’s by an underscore in an unlucky place', async () => {
  const named = (key: string, volume: string) =>
    counter.replace('db:', `${key}:`).replaceAll('data:', `${volume}:`);
  expect(await up('a', named('b_c', 'b_data'))).toContain('a is up');
  const refused = await up('a_b', named('c2', 'data'));
  expect(refused).toContain('Cannot make volume a_b_data: a has one of this name');
  await shoal('down -p a');
  expect(await up('a_b', named('c2', 'data'))).toContain(
    'Cannot make volume a_b_data: a has one of this name',
  );
});

test('a source of a bind mount that a host lacks is not made there, and the task goes where it is', async () => {
  const path = `${cluster.host('c').stateDirectory}/config/app.conf`;
  const bound = `services:
  app:
    image: IMAGE
    command: [sh, -c, 'cat /etc/app.conf; sleep 86400']
    stop_signal: SIGKILL
    volumes: ["${path}:/etc/app.conf:ro"]
    deploy: { restart_policy: { delay: 0s } }
`;
  expect(await up('bound', bound)).toContain(
    `bound_app.1 cannot be placed: no suitable node: no ${path} on 3 nodes (a, b, c)`,
  );
  await expect
    .poll(() => shoal('ps -p bound'), { timeout: waitMs })
    .toContain(`no ${path} on 3 nodes (a, b, c)`);
  expect(await cluster.host('c').exec(['test', '-e', path])).toMatchObject({ exitCode: 1 });
  await shoal('down -p bound');
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, 'here\n');
  expect(await up('bound', bound)).toContain('bound is up');
  expect(await inside('bound', 'app', 'cat /etc/app.conf')).toBe('here');
});

test('a volume is backed up, and made of that again on another host when its own is lost', async () => {
  expect(await up('lost', counter)).toContain('lost is up');
  const home = await hostOf('lost', 'db');
  const other = cluster.hosts.map(({ name }) => name).find((name) => name !== home)!;
  await inside('lost', 'db', 'echo precious >/data/file; chown 7:8 /data/file');
  const file = join(cluster.directory, 'lost.tar');
  const [program, ...argv] = shoalCommand(['volume', 'backup', 'lost_data']);
  const env = { ...process.env, SHOAL_HOST: cluster.manager.endpoint };
  expect(await tryCommand('sh', ['-c', '"$@" >"$0"', file, program, ...argv], { env })).toMatchObject({
    exitCode: 0,
  });
  const restore = shoalCommand(['volume', 'restore', 'lost_data', other]);
  const again = () => tryCommand('sh', ['-c', '"$@" <"$0"', file, ...restore], { env });
  expect((await again()).stderr).toContain(`lost_db.1 has it on ${home}`);
  expect(await shoal('scale -p lost db=0')).toContain('lost');
  await expect
    .poll(() => currentTasks(cluster, 'lost').then((tasks) => tasks.length), { timeout: waitMs })
    .toBe(0);
  restore.push('--yes');
  expect((await again()).stderr).toContain(`lost_data is restored on ${other}`);
  expect(await shoal('scale -p lost db=1')).toContain('lost');
  await expect.poll(() => hostOf('lost', 'db'), { timeout: waitMs }).toBe(other);
  await expect
    .poll(() => inside('lost', 'db', 'cat /data/file; stat -c %u:%g /data/file'), { timeout: waitMs })
    .toBe('precious\n7:8');
  expect(await shoal('volume ls')).toMatch(new RegExp(`lost_data .* ${home} +stale`));
  await shoal('down -p lost -v');
  await rm(file);
});
