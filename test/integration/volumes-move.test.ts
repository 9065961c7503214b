import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import type { VolumeInfo } from '../../src/wire/api.ts';
import { createCluster, type Cluster } from '../harness/cluster.ts';
import { currentTasks, runInside, writeComposeFile } from '../harness/compose.ts';
import { buildImage, busyboxImage } from '../harness/image.ts';
import { paths } from '../harness/state.ts';

/** Volumes that are moved between real hosts, while what has them writes. */

const waitMs = 60_000;

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

/** Appends a number a line, each on the disk before the next; goes on from the last one that it finds. */
const writer = `services:
  db:
    image: IMAGE
    command:
      - sh
      - -c
      - |
        cd /data
        touch log
        n=$$(tail -n 1 log | grep -o '[0-9]*')
        n=$$((n + 0))
        echo "from $$n" >>starts
        while :; do
          n=$$((n + 1))
          echo "$$n" >>log
          sync log
          echo "$$n" >acknowledged
          sleep 0.02
        done
    stop_signal: SIGKILL
    volumes: ["data:/data"]
    deploy: { restart_policy: { delay: 0s } }
volumes: { data: }
`;

async function up(application: string): Promise<string> {
  const path = await writeComposeFile(cluster, application, writer.replaceAll('IMAGE', image));
  return await shoal(`up -f ${path} --timeout 60`);
}

async function homeOf(volume: string): Promise<{ home: string; info: VolumeInfo }> {
  const client = cluster.client();
  try {
    const info = await client.request<VolumeInfo>('GET', `/volumes/${volume}`);
    return { home: info.home!.hostname, info };
  } finally {
    client.close();
  }
}

const others = (home: string) => cluster.hosts.map(({ name }) => name).filter((name) => name !== home);
const inside = (application: string, script: string) => runInside(cluster, application, 'db', script);
const running = async (application: string) =>
  (await currentTasks(cluster, application)).map(({ status }) => status.state).join();

/** The numbers of the log must follow each other, up to at least `acknowledged`. */
async function expectWhole(application: string, acknowledged: number): Promise<void> {
  await expect.poll(() => running(application), { timeout: waitMs }).toBe('running');
  const last = Number(await inside(application, 'tail -n 1 /data/log'));
  expect(last).toBeGreaterThanOrEqual(acknowledged);
  const wrong = await inside(application, `awk '$1 != NR { print NR; exit }' /data/log`);
  expect(wrong).toBe('');
}

const acknowledged = async (application: string) =>
  Number(await inside(application, 'cat /data/acknowledged'));

/** Content that takes a while to copy, for something to happen meanwhile. */
const fill = (application: string, mebibytes: number) =>
  inside(
    application,
    `dd if=/dev/urandom of=/data/large bs=1M count=${mebibytes} 2>&1 && mkdir -p /data/many && for i in $(seq 500); do echo $i >/data/many/$i; done`,
  );

test('a volume moves with a running writer: nothing that was acknowledged is missing, and the old copy can go', async () => {
  expect(await up('shop')).toContain('shop is up');
  await fill('shop', 100);
  const { home } = await homeOf('shop_data');
  const [target = ''] = others(home);
  const before = await acknowledged('shop');
  const said = await shoal(`volume move shop_data ${target}`);
  process.stderr.write(`${said}\n`);
  expect(said).toContain(`shop_data is on ${target}`);
  expect(said).toContain(`remove it with \`shoal volume rm --node ${home} shop_data\``);
  await expectWhole('shop', before);
  expect(await inside('shop', 'ls /data/many | wc -l; wc -l </data/starts')).toBe('500\n2');
  expect(await shoal('volume ls')).toMatch(new RegExp(`shop_data .* ${home} +stale`));
  expect(await shoal(`volume rm --node ${target} shop_data`)).toContain('it is the volume itself');
  expect(await shoal(`volume rm --node ${home} shop_data`)).toContain('is removed');
  expect(await shoal('volume ls')).not.toContain('stale');
  // And back, with a copy before it.
  expect(await shoal(`volume copy shop_data ${home}`)).toContain(`it stays on ${target}`);
  await expectWhole('shop', before);
  expect(await shoal(`volume move shop_data ${home}`)).toContain('the copy that');
  expect(await shoal(`volume move --yes shop_data ${home}`)).toContain(`shop_data is on ${home}`);
  await expectWhole('shop', before);
  // The next move must find no copy, wherever the scheduler had put the volume first.
  expect(await shoal(`volume rm --node ${target} shop_data`)).toContain('is removed');
});

test('a move whose other host is cut off leaves the volume where it was, and goes on when it is asked for again', async () => {
  const { home } = await homeOf('shop_data');
  const target = others(home).find((name) => name !== cluster.manager.name)!;
  await fill('shop', 150);
  const before = await acknowledged('shop');
  const moving = shoal(`volume move shop_data ${target}`);
  await expect
    .poll(async () => (await homeOf('shop_data')).info.move?.to.hostname, { timeout: waitMs })
    .toBe(target);
  const folder = `${cluster.host(target).stateDirectory}/volumes`;
  await expect
    .poll(async () => (await cluster.host(target).exec(['sh', '-c', `du -sm ${folder}/.moving-*`])).stdout, {
      timeout: waitMs,
    })
    .toMatch(/^\d\d/);
  await cluster.host(target).cut();
  const said = await moving;
  process.stderr.write(`${said}\n`);
  expect(said).toMatch(new RegExp(`^1: [^]*Cannot move volume shop_data to ${target}: .*${target} is down`));
  expect(said).toContain(`It is on ${home} as before`);
  await expectWhole('shop', before);
  expect((await homeOf('shop_data')).info).not.toHaveProperty('held');
  await cluster.host(target).heal();
  await expect.poll(() => shoal('node ls'), { timeout: waitMs }).not.toContain('down');
  const again = await shoal(`volume move shop_data ${target}`);
  process.stderr.write(`${again}\n`);
  expect(again).toContain(`shop_data is on ${target}`);
  await expectWhole('shop', before);
});

test('a manager that is killed in the middle of a move finishes it', async () => {
  const { home } = await homeOf('shop_data');
  const [target = ''] = others(home);
  await shoal(`volume rm --node ${target} shop_data`);
  const before = await acknowledged('shop');
  const moving = shoal(`volume move --yes shop_data ${target}`);
  await expect
    .poll(async () => (await homeOf('shop_data')).info.move?.to.hostname, { timeout: waitMs })
    .toBe(target);
  await systemClock.sleep(500);
  await cluster.manager.kill('manager');
  const said = await moving;
  process.stderr.write(`${said}\n`);
  expect(said).toContain(`shop_data is on ${target}`);
  await expectWhole('shop', before);
});

test('a drained host is left by a move, which is what its tasks say', async () => {
  const { home } = await homeOf('shop_data');
  const before = await acknowledged('shop');
  const [target = ''] = others(home);
  await shoal(`node update --yes --availability drain ${home}`);
  await expect
    .poll(() => shoal('ps -p shop'), { timeout: waitMs })
    .toContain(`activate ${home}, or \`shoal volume move shop_data ${target}\``);
  expect(await shoal(`volume move --yes shop_data ${target}`)).toContain(`shop_data is on ${target}`);
  await expectWhole('shop', before);
  await shoal(`node update --availability active ${home}`);
});

test('a drain that is to move volumes first leaves no task waiting', async () => {
  expect(await up('shop')).toContain('shop is up');
  const { home } = await homeOf('shop_data');
  const before = await acknowledged('shop');
  const said = await shoal(`node update --availability drain --move-volumes --yes ${home}`);
  const { home: now } = await homeOf('shop_data');
  expect(others(home)).toContain(now);
  expect(said).toContain(`shop_data is on ${now}`);
  expect(said).toContain(`${home} is drain`);
  expect(said).not.toContain('will wait');
  await expectWhole('shop', before);
  await shoal(`node update --availability active ${home}`);
});

test('a host that would take a volume with it says so, and stays', async () => {
  expect(await up('shop')).toContain('shop is up');
  const { home } = await homeOf('shop_data');
  const host = cluster.hosts.find(({ name }) => name !== cluster.manager.name)!.name;
  if (home !== host) await shoal(`volume move --yes shop_data ${host}`);
  const { exitCode, stderr } = await cluster.shoal(['leave'], { host });
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 1 });
  expect(stderr).toContain('volume shop_data is on this host');
  expect(stderr).toContain('this is not a terminal');
  expect(await shoal('node ls')).not.toContain('drain');
});

test('a volume that is made anew while a host has the data of the one before begins empty, wherever it is', async () => {
  const path = await writeComposeFile(
    cluster,
    'again',
    writer
      .replaceAll('IMAGE', image)
      .replace('deploy: {', 'deploy: { placement: { constraints: [node.hostname == c] },'),
  );
  const bring = () => shoal(`up -f ${path} --timeout 60`);
  expect(await bring()).toContain('again is up');
  const before = await acknowledged('again');
  await shoal('down -p again');
  await cluster.host('c').cut();
  await expect.poll(() => shoal('node ls'), { timeout: waitMs }).toContain('down');
  expect(await shoal('volume rm again_data --force')).toContain('its data stays on c');
  await cluster.host('c').heal();
  await expect.poll(() => shoal('node ls'), { timeout: waitMs }).not.toContain('down');
  expect(await bring()).toContain('again is up');
  expect(await inside('again', 'cat /data/starts')).toBe('from 0');
  expect(before).toBeGreaterThan(0);
  const copies = (await shoal('volume ls')).split('\n').filter((line) => line.startsWith('again_data'));
  expect(copies.map((line) => line.split(/ +/).slice(3, 5).join(' ')).sort()).toEqual([
    'c current',
    'c stale',
  ]);
  expect(await shoal('down -p again -v')).toContain('again_data is removed');
  const folder = `${cluster.host('c').stateDirectory}/volumes`;
  const found = await cluster.host('c').run(['find', folder, '-name', 'acknowledged']);
  // a copy of the other application's volume may be there too
  expect(found.split('\n').filter((path) => path !== '' && !path.includes('/shop_data/'))).toEqual([]);
});
