import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Service } from '../../src/spec/service.ts';
import { systemClock } from '../../src/util/clock.ts';
import { createCluster, type Cluster } from '../harness/cluster.ts';
import { currentTasks, untilConverged, writeComposeFile } from '../harness/compose.ts';
import { busyboxImage } from '../harness/image.ts';
import { Load } from '../harness/load.ts';
import { paths } from '../harness/state.ts';
import { until } from '../harness/until.ts';

/** What versions of services come to on real hosts: which one counts as good, what a failed one is taken back to. */

let cluster: Cluster;
let image: string;

beforeAll(async () => {
  cluster = await createCluster({ hosts: 2 });
  image = await cluster.push('library/busybox:1', await busyboxImage(paths(cluster.directory).images));
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(await cluster.troubles());
});

afterAll(async () => {
  await cluster?.down();
  expect(await cluster?.leftovers()).toEqual([]);
});

async function up(application: string, services: string, ...options: string[]) {
  const path = await writeComposeFile(cluster, application, `services:\n${services}`);
  return cluster.shoal(['up', '-f', path, '--timeout', '90', ...options]);
}

async function down(application: string): Promise<void> {
  expect(await cluster.shoal(['down', '-p', application])).toMatchObject({ exitCode: 0 });
}

async function serviceOf(application: string): Promise<Service> {
  const client = cluster.client();
  try {
    const services = await client.request<Service[]>('GET', `/services?application=${application}`);
    return services[0]!;
  } finally {
    client.close();
  }
}

/** Waits until the service's current version is completed; gives its states, oldest first. */
async function untilCompleted(application: string): Promise<string[]> {
  await untilConverged(
    cluster,
    application,
    30_000,
    ({ services }) => services[0]!.service.versions.at(-1)!.state === 'completed',
  );
  return (await serviceOf(application)).versions.map(({ version, state }) => `${version} ${state}`);
}

async function untilVersion(application: string, version: number): Promise<void> {
  await until(
    `version ${version} of ${application}`,
    async () => (await serviceOf(application)).versions.at(-1)!.version === version,
  );
}

const ids = async (application: string) =>
  (await currentTasks(cluster, application)).map(({ id }) => id).toSorted();

/** Two replicas of a program, started first and rolled back. */
const watched = (command: string, more = '') => `
  api:
    image: ${image}
    command: [sh, -c, "${command}"]
    stop_grace_period: 0s
    deploy:
      replicas: 2
      update_config: { order: start-first, failure_action: rollback, monitor: 3s }
      rollback_config: { order: start-first, monitor: 1s }
      restart_policy: { delay: 500ms }
${more}`;

test('a version that fails while it is watched has cost nobody its old task, and the rollback leaves all as it runs', async () => {
  expect(await up('roll', watched('sleep 1000'))).toMatchObject({ exitCode: 0 });
  expect(await untilCompleted('roll')).toEqual(['1 completed']);
  const before = await ids('roll');
  const { exitCode, stderr } = await up('roll', watched('sleep 1; exit 7'));
  expect(exitCode).toBe(1);
  expect(stderr).toContain('exit code 7');
  await untilConverged(cluster, 'roll', 10_000);
  expect(await ids('roll')).toEqual(before);
  const { versions } = await serviceOf('roll');
  expect(versions).toMatchObject([
    { version: 1, state: 'completed' },
    { version: 2, state: 'failed' },
    { version: 3, state: 'completed', cause: 'failure', restores: 1 },
  ]);
  await down('roll');
});

test('a rollback passes over a version that never became healthy', async () => {
  expect(await up('past', watched('sleep 1000'))).toMatchObject({ exitCode: 0 });
  await untilCompleted('past');
  const check = '    healthcheck: { test: [CMD, "false"], start_period: 1h }\n';
  expect((await up('past', watched('sleep 1000', check), '--detach')).exitCode).toBe(0);
  await until('the unhealthy task', async () => (await currentTasks(cluster, 'past')).length === 3);
  const { exitCode, stderr } = await up('past', watched('sleep 1; exit 7'));
  expect(exitCode).toBe(1);
  expect(stderr).toContain('the update failed and was rolled back to version 1: past_api.1 failed');
  await untilConverged(cluster, 'past', 10_000);
  const { versions, spec } = await serviceOf('past');
  expect(versions.map(({ state }) => state)).toEqual(['completed', 'superseded', 'failed', 'completed']);
  expect(spec.task.container.healthcheck).toBeUndefined();
  await down('past');
});

/** Two replicas that listen on `inner`; `published` leads there. */
const page = (
  inner: number,
  published: number,
  check = `wget -q -O /dev/null http://127.0.0.1:${inner}/`,
) => `
  web:
    image: ${image}
    command:
      - sh
      - -c
      - |
        mkdir /page; echo '{ "version": "${inner}" }' >/page/index.html
        httpd -p ${inner} -h /page
        trap 'sleep 1; exit 0' TERM
        while :; do sleep 0.1; done
    ports: ["${published}:${inner}"]
    stop_grace_period: 5s
    healthcheck: { test: [CMD-SHELL, "${check}"], interval: 1s, start_interval: 200ms, start_period: 2s, retries: 2 }
    deploy:
      replicas: 2
      update_config: { order: start-first, failure_action: rollback, monitor: 1s }
      rollback_config: { order: start-first, monitor: 1s }
`;

test('while a version rolls, the one before it serves on with the ports that it has', async () => {
  expect(await up('page', page(80, 18_093))).toMatchObject({ exitCode: 0 });
  const load = new Load(
    cluster.hosts.map(({ address }) => `http://${address}:18093/`),
    2,
  );
  // The new version listens elsewhere, behind the same port.
  expect(await up('page', page(81, 18_093))).toMatchObject({ exitCode: 0 });
  await untilCompleted('page');
  // A bad one would have listened elsewhere, behind another port.
  expect(await up('page', page(82, 18_094, 'false'))).toMatchObject({ exitCode: 1 });
  await untilCompleted('page');
  const { failures, versions } = await load.stop();
  expect(failures).toEqual([]);
  expect([...versions.keys()]).toEqual(['80', '81']);
  const { endpoint } = await serviceOf('page');
  expect(endpoint).toMatchObject({ ports: [{ published: 18_093, target: 81 }] });
  expect(endpoint?.former).toBeUndefined();
  await down('page');
});

/** What `page` is, on these networks, and one that asks for it on `back` all the time. */
const asked = (networks: string, check?: string) => `${page(80, 18_095, check)}    networks: ${networks}
  asker:
    image: ${image}
    command:
      - sh
      - -c
      - |
        while sleep 0.1; do
          address=$$(nslookup -type=a web. | sed -n 's/^Address: //p')
          wget -q -O /dev/null "http://$$address/" && echo found || echo "lost $$address"
        done
    networks: [back]
    depends_on: { web: { condition: service_healthy } }
    stop_grace_period: 0s
networks: { back: }
`;

test('while a version rolls that leaves a network, the one before it is found there', async () => {
  expect(await up('nets', asked('[default, back]'))).toMatchObject({ exitCode: 0 });
  expect(await up('nets', asked('[default]', 'false'))).toMatchObject({ exitCode: 1 });
  const { stdout } = await cluster.shoal(['logs', '-p', 'nets', '--json', 'asker']);
  const lines = stdout.split('\n').filter(Boolean);
  const texts = lines.map((line) => (JSON.parse(line) as { text: string }).text);
  expect(texts.length).toBeGreaterThan(20);
  expect(texts.filter((text) => text !== 'found')).toEqual([]);
  await down('nets');
});

/** One replica a host with a port of the host. */
const proxy = (order: string, said: string) => `
  proxy:
    image: ${image}
    command: [sh, -c, "echo ${said}; httpd -f -p 80"]
    stop_grace_period: 0s
    ports: [{ target: 80, published: 18080, mode: host }]
    deploy:
      replicas: 2
      placement: { max_replicas_per_node: 1 }
      update_config: { order: ${order}, monitor: 1s }
`;

test('where the new task has no place beside the old one, up says what to change, and the changed file gets through', async () => {
  expect(await up('edge', proxy('start-first', 'one'))).toMatchObject({ exitCode: 0 });
  const { exitCode, stderr } = await up('edge', proxy('start-first', 'two'));
  expect(exitCode).toBe(1);
  expect(stderr).toContain('as update_config says: write order: stop-first there, or add a node');
  expect(await up('edge', proxy('stop-first', 'two'))).toMatchObject({ exitCode: 0 });
  await down('edge');
});

test('the next slot begins when the one before has been watched', async () => {
  const service = (said: string) => `
  web:
    image: ${image}
    command: [sh, -c, "echo ${said}; sleep 1000"]
    stop_grace_period: 0s
    deploy: { replicas: 2, update_config: { monitor: 2s } }
`;
  expect(await up('steps', service('one'))).toMatchObject({ exitCode: 0 });
  const startedAt = systemClock.monotonic();
  expect(await up('steps', service('two'))).toMatchObject({ exitCode: 0 });
  const tookMs = systemClock.monotonic() - startedAt;
  expect(tookMs).toBeGreaterThan(4_000);
  await down('steps');
});

/** Four replicas that say a word, one after another. */
const words = (said: string, more = '') => `
  web:
    image: ${image}
    command: [sh, -c, "echo ${said}; sleep 1000"]
    stop_grace_period: 0s
    deploy: { replicas: 4, update_config: { monitor: 1s } }
${more}`;

test('of two ups the first is told that it was overtaken, and by whom', async () => {
  expect(await up('race', words('one'))).toMatchObject({ exitCode: 0 });
  const first = up('race', words('two'));
  await untilVersion('race', 2);
  const second = await up('race', words('three'));
  expect(second).toMatchObject({ exitCode: 0 });
  const { exitCode, stderr } = await first;
  expect(stderr).toContain('race_web: it was changed to version 3 by root (local socket) meanwhile');
  expect(stderr).not.toContain('race is up');
  expect(exitCode).toBe(4);
});

test('an up during which the application is removed does not say that it is up', async () => {
  const asked = up('race', words('four'));
  await untilVersion('race', 4);
  await down('race');
  const { exitCode, stderr } = await asked;
  expect(stderr).toMatch(/race_web: it (?:is being removed by root \(local socket\)|was removed meanwhile)/);
  expect(exitCode).toBe(4);
});

test('what is asked for after a rollback is judged by itself', async () => {
  expect(await up('later', watched('sleep 1000'))).toMatchObject({ exitCode: 0 });
  await untilCompleted('later');
  expect(await up('later', watched('sleep 1; exit 7'))).toMatchObject({ exitCode: 1 });
  expect(await cluster.shoal(['scale', '-p', 'later', 'api=3'])).toMatchObject({ exitCode: 0 });
  const port = watched('sleep 1000', '    ports: ["18081:80"]\n');
  expect(await up('later', port)).toMatchObject({ exitCode: 0 });
  expect(await up('later', port)).toMatchObject({ exitCode: 0 });
  await down('later');
});

test('a rollout is held, goes on and is taken back, and a service is restarted, stopped and started, by a word each', async () => {
  const run = async (...argv: string[]) => {
    const { exitCode, stdout, stderr } = await cluster.shoal([...argv, '-p', 'reflex']);
    expect({ argv, exitCode, stderr }).toMatchObject({ exitCode: 0 });
    return `${stdout}${stderr}`;
  };
  expect(await up('reflex', words('one'))).toMatchObject({ exitCode: 0 });
  expect(await untilCompleted('reflex')).toEqual(['1 completed']);
  expect(await up('reflex', words('two'), '--detach')).toMatchObject({ exitCode: 0 });
  await until('an update', async () => (await serviceOf('reflex')).updateStatus?.state === 'updating');
  expect(await run('pause')).toContain(
    'reflex_web: rollout paused; `shoal resume reflex_web` goes on with it',
  );
  expect(await run('ps')).toContain('update paused: asked for by root (local socket)');
  const held = await up('reflex', words('two'));
  expect(held.exitCode).toBe(1);
  expect(held.stderr).toMatch(/type `shoal resume reflex_web` to go on or `shoal rollback reflex_web`/);
  await run('resume', 'web');
  expect(await run('rollback')).toContain('reflex_web: rolling back to version 1');
  expect(await run('restart', 'web')).toContain('restarting as version 4');
  await untilCompleted('reflex');
  expect(await run('stop')).toContain('`shoal start reflex_web` starts it again');
  expect(await currentTasks(cluster, 'reflex')).toEqual([]);
  expect(await run('logs', 'web')).toContain('one');
  expect(await run('ps')).toContain('reflex_web is stopped');
  await run('start');
  expect(await currentTasks(cluster, 'reflex')).toHaveLength(4);
  const history = await run('service', 'history');
  expect(history).toMatch(/reflex_web +3 +\w+ .*root \(local socket\) +rollback +back to version 1/);
  await down('reflex');
});
