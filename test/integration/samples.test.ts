import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { createCluster, type Cluster } from '../harness/cluster.ts';
import { currentTasks } from '../harness/compose.ts';
import { whyNoDebian } from '../harness/debian.ts';
import { busyboxImage } from '../harness/image.ts';
import { pushImage } from '../harness/registry.ts';
import { makeSampleImages, pushSampleImages } from '../harness/sample-images.ts';

/**
 * The samples whose programs can be had here, run as they stand, each until it does what it is for. The guestbook has
 * tests of its own.
 */

const samples = join(import.meta.dirname, '../../samples');
const pollMs = 100;
/** On a machine that has fetched nothing yet. */
const imagesLimitMs = 600_000;

let cluster: Cluster;
let directory: string;
const noDebian = await whyNoDebian();

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'shoal-samples-'));
  const names = noDebian === undefined ? undefined : [];
  const [made, images] = await Promise.allSettled([
    createCluster({ hosts: 3 }),
    makeSampleImages(join(directory, 'images'), names),
  ]);
  if (made.status === 'fulfilled') cluster = made.value;
  for (const result of [made, images]) if (result.status === 'rejected') throw result.reason;
  if (images.status === 'fulfilled') await pushSampleImages(cluster.registry, images.value);
}, imagesLimitMs);

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(await cluster.troubles());
});

afterAll(async () => {
  await cluster?.down();
  await rm(directory, { recursive: true });
  expect(await cluster?.leftovers()).toEqual([]);
});

async function shoal(args: string[], environment: NodeJS.ProcessEnv = {}): Promise<string> {
  const env = { REGISTRY: `${cluster.registry}/library`, ...environment };
  const { exitCode, stdout, stderr } = await cluster.shoal(args, { env });
  expect(exitCode, stderr).toBe(0);
  return stdout;
}

const file = (name: string) => join(samples, name, 'compose.yaml');
const up = (name: string, environment?: NodeJS.ProcessEnv, ...args: string[]) =>
  shoal(['up', '-f', file(name), '--timeout', '90', ...args], environment);
const down = (name: string) => shoal(['down', '-p', name]);
const logs = (application: string, service: string) => shoal(['logs', '-p', application, service]);
const exec = (application: string, service: string, ...command: string[]) =>
  shoal(['exec', '-T', '-p', application, service, ...command]);
const url = (host: string, port: number, path = '/') => `http://${cluster.host(host).address}:${port}${path}`;

/** Waits until the text is there, and gives it; bounded by the test's own limit. */
async function until(look: () => Promise<string>, expected: RegExp): Promise<string> {
  for (;;) {
    const text = await look().catch(String);
    if (expected.test(text)) return text;
    await systemClock.sleep(pollMs);
  }
}

async function get(...where: Parameters<typeof url>): Promise<string> {
  return await (await fetch(url(...where), { signal: AbortSignal.timeout(10_000) })).text();
}

/** Ends the first process of a service's replica; resolves when another task of the service runs in its place. */
async function endFirstProcess(application: string, service: string): Promise<void> {
  const running = async () => {
    const tasks = await currentTasks(cluster, application);
    const own = tasks.filter(({ serviceName }) => serviceName === `${application}_${service}`);
    return own.filter(({ status }) => status.state === 'running').map(({ id }) => id);
  };
  const [before] = await running();
  // the container may be gone before its answer comes, so the answer says nothing
  await cluster.shoal(['exec', '-T', '-p', application, service, 'sh', '-c', 'kill 1']);
  for (let now = await running(); now.length === 0 || now.includes(before!); now = await running()) {
    await systemClock.sleep(pollMs);
  }
}

/** Keeps cookies, and sends forms with the token that the page before them holds. */
class Browser {
  readonly #base: string;
  readonly #cookies = new Map<string, string>();

  constructor(base: string) {
    this.#base = base;
  }

  async #fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(this.#base + path, { ...init, headers: { cookie }, redirect: 'manual' });
    for (const line of answer.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      this.#cookies.set(name, value);
    }
    return answer;
  }

  /** Gives where the answer leads. */
  async submit(path: string, fields: Record<string, string>): Promise<string> {
    const page = await (await this.#fetch(path)).text();
    const tokens = [...page.matchAll(/name="authenticity_token" value="([^"]+)"/g)];
    const body = new URLSearchParams({ ...fields, authenticity_token: tokens[0]?.[1] ?? '' });
    const answer = await this.#fetch(path, { method: 'POST', body });
    return answer.headers.get('location') ?? `${answer.status} ${await answer.text()}`;
  }
}

test('workers of the queue share its jobs, and more of them can be taken on', async () => {
  await up('queue');
  await until(() => logs('queue', 'worker'), /queue_worker\.\d \| done: job \d/);
  await shoal(['scale', '-p', 'queue', 'worker=5']);
  await until(() => logs('queue', 'worker'), /queue_worker\.5 \| done: job \d/);
  expect(await logs('queue', 'worker')).not.toMatch(/denied|error/i);
  await down('queue');
});

test('votes given on one host are counted on another', async () => {
  await up('voting');
  const vote = async (choice: string) => {
    const answer = await fetch(url('a', 8082, `/${choice}`), { method: 'POST' });
    expect(await answer.text()).toBe(`You voted for ${choice}.\n`);
  };
  await vote('cats');
  await vote('cats');
  await vote('dogs');
  expect(await get('b', 8083)).toBe('cats: 2\ndogs: 1\n');
  await down('voting');
});

test('an image pushed to the registry is there for all hosts, and what lost its name is swept away', async () => {
  const environment = { STORE_PORT: '5055' };
  await up('registry', environment);
  const name = `${cluster.host('b').address}:5055`;
  const image = await busyboxImage(join(directory, 'images'));
  await pushImage(name, 'tools/busybox:1', image);
  expect(await get('c', 5055, '/v2/tools/busybox/tags/list')).toBe('{"name":"tools/busybox","tags":["1"]}\n');
  expect(await exec('registry', 'cache', 'redis-cli', 'keys', '*')).toContain(image.layers[0]!.digest);
  const manifest = url('a', 5055, `/v2/tools/busybox/manifests/${image.manifest.digest}`);
  expect((await fetch(manifest, { method: 'DELETE' })).status).toBe(202);
  await shoal(['up', '-f', file('registry'), '--profile', 'sweep'], environment);
  await until(
    () => logs('registry', 'sweep'),
    new RegExp(`blob eligible for deletion: ${image.layers[0]!.digest}`),
  );
  await down('registry');
});

describe('with images made of Debian packages', () => {
  beforeEach(({ skip }) => skip(noDebian !== undefined, noDebian));

  test('the site keeps what was written and uploaded when site and database are replaced', async () => {
    await up('cms');
    const account = {
      user_name: 'editor',
      admin_password: 'a-long-password',
      admin_password2: 'a-long-password',
    };
    const form = {
      ...account,
      weblog_title: 'Fishing news',
      admin_email: 'editor@example.org',
      blog_public: '0',
    };
    const install = { method: 'POST', body: new URLSearchParams(form) };
    const answer = await fetch(url('b', 8081, '/wp-admin/install.php?step=2'), install);
    expect(await answer.text()).toContain('WordPress has been installed');
    const call = async (method: string, content: string) => {
      const values = ['<int>1</int>', '<string>editor</string>', '<string>a-long-password</string>', content];
      const parameters = values.map((value) => `<param><value>${value}</value></param>`).join('');
      const body = `<methodCall><methodName>${method}</methodName><params>${parameters}</params></methodCall>`;
      return await (await fetch(url('b', 8081, '/xmlrpc.php'), { method: 'POST', body })).text();
    };
    const member = (name: string, value: string) =>
      `<member><name>${name}</name><value>${value}</value></member>`;
    const post = member('post_title', 'Herring is back') + member('post_status', 'publish');
    expect(await call('wp.newPost', `<struct>${post}</struct>`)).toMatch(/<string>\d+<\/string>/);
    const bits = `<base64>${Buffer.from('40 barrels\n').toString('base64')}</base64>`;
    const upload = member('name', 'catch.txt') + member('type', 'text/plain') + member('bits', bits);
    const uploaded = await call('wp.uploadFile', `<struct>${upload}</struct>`);
    const path = /http:\/\/[^/]+(\/wp-content\/uploads\/[^<]+catch\.txt)/.exec(uploaded)?.[1];
    await endFirstProcess('cms', 'database');
    await endFirstProcess('cms', 'site');
    expect(await until(() => get('b', 8081), /<\/html>/)).toMatch(/Fishing news[\s\S]*Herring is back/);
    expect(await get('b', 8081, path)).toBe('40 barrels\n');
    await down('cms');
  });

  test('the application starts after the migration, and a copy of the tables is made', async () => {
    const copies = join(directory, 'copies');
    await up('backup', { COPIES: copies, EVERY_SECONDS: '1' });
    const insert = "INSERT INTO visits DEFAULT VALUES RETURNING 'visited'";
    expect(await exec('backup', 'database', 'psql', '-U', 'postgres', '-c', insert)).toContain('visited');
    const newest = async () => {
      const names = (await readdir(copies)).sort();
      return await readFile(join(copies, names.at(-1) ?? ''), 'utf8');
    };
    await until(newest, /COPY public\.visits \(at\) FROM stdin;\n\d{4}-.*\n\\\.[\s\S]*dump complete/);
    await endFirstProcess('backup', 'database');
    const count = () =>
      exec('backup', 'database', 'psql', '-U', 'postgres', '-tc', 'SELECT count(*) FROM visits');
    await until(count, /^\s*1\s*$/);
    await down('backup');
  });

  test('the proxy spreads requests over all replicas of each back end, by path', async () => {
    for (const name of ['b', 'c']) await shoal(['node', 'update', '--label-add', 'edge=true', name]);
    await up('proxy');
    await until(() => get('b', 80), /<h1>Shop/);
    await until(() => get('b', 80, '/help'), /<h1>Help/);
    await until(() => get('c', 80, '/old/'), /It works!/);
    await expect(get('a', 80)).rejects.toThrow('fetch failed');
    for (let request = 0; request < 12; request++) expect(await get('b', 80)).toContain('<h1>Shop');
    await until(async () => {
      const rows = (await get('b', 8404, '/;csv')).split('\n').map((row) => row.split(','));
      const shops = rows.filter(([backend, server]) => backend === 'shop' && server?.startsWith('shop'));
      return String(shops.filter((row) => row[17] === 'UP' && Number(row[7]) > 0).length);
    }, /^3$/);
    await down('proxy');
  });

  test('what sensors report reaches the alarm, and the broker keeps what is to be kept', async () => {
    await up('sensors');
    const sensors = (await currentTasks(cluster, 'sensors')).filter(
      ({ serviceName }) => serviceName === 'sensors_sensor',
    );
    for (const { id } of sensors)
      await until(() => logs('sensors', 'alarm'), new RegExp(`temperature/${id} \\d+`));
    await exec(
      'sensors',
      'sensor',
      'mosquitto_pub',
      '-h',
      'mqtt',
      '-t',
      'limit',
      '-m',
      '39',
      '--retain',
      '-q',
      '1',
    );
    await endFirstProcess('sensors', 'broker');
    const ask = () =>
      exec('sensors', 'sensor', 'mosquitto_sub', '-h', 'mqtt', '-t', 'limit', '-C', '1', '-W', '2');
    await until(ask, /^39$/m);
    await down('sensors');
  });

  test('Prometheus finds the exporter of every host, and its alerts arrive', async () => {
    await up('monitoring', { SCRAPE_INTERVAL: '1s', ALERT_AGAIN_AFTER: '1s' });
    const query = async (text: string) => {
      const answer = await get('b', 9090, `/api/v1/query?query=${encodeURIComponent(text)}`);
      const { data } = JSON.parse(answer) as { data: { result: { value: [number, string] }[] } };
      return String(data.result[0]?.value[1]);
    };
    await until(() => query('sum(up{job="host"})'), /^3$/);
    await until(() => query('sum(up)'), /^5$/);
    expect(Number(await query('min(node_memory_MemTotal_bytes)'))).toBeGreaterThan(1e8);
    await until(() => get('c', 9093, '/api/v2/alerts'), /"alertname":"Watchdog"/);
    await down('monitoring');
  });

  test('a visitor is known to whichever replica of the pages answers', async () => {
    await up('pages');
    const replicas = new Set<string>();
    const headers = { cookie: 'PHPSESSID=one-visitor-of-the-pages' };
    for (let visit = 1; visit <= 12; visit++) {
      const answer = await fetch(url(['a', 'b', 'c'][visit % 3]!, 8088), { headers });
      const { visits, replica } = (await answer.json()) as { visits: number; replica: string };
      expect(visits).toBe(visit);
      replicas.add(replica);
    }
    expect(replicas.size).toBeGreaterThan(1);
    await down('pages');
  });

  test('the tracker keeps a changed password when its replica is replaced', async () => {
    await shoal(['node', 'update', '--label-add', 'storage=ssd', 'a']);
    await up('tracker');
    await until(() => get('b', 8087, '/login'), /<title>Redmine/);
    const [first, next] = ['admin', 'a-better-password'];
    const login = async (password: string) => {
      const browser = new Browser(url('b', 8087, ''));
      expect(await browser.submit('/login', { username: 'admin', password })).toMatch(/\/my\/page$/);
      return browser;
    };
    const change = { password: first, new_password: next, new_password_confirmation: next };
    expect(await (await login(first)).submit('/my/password', change)).toMatch(/\/my\/account$/);
    await endFirstProcess('tracker', 'redmine');
    await until(() => get('b', 8087, '/login'), /<title>Redmine/);
    await login(next);
    await down('tracker');
  });
});
