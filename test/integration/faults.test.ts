import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { seededRandom, systemRandom, type Random } from '../../src/util/random.ts';
import { systemClock } from '../../src/util/clock.ts';
import type { Task } from '../../src/spec/task.ts';
import { createCluster, type Cluster } from '../harness/cluster.ts';
import { currentTasks, untilConverged, writeComposeFile } from '../harness/compose.ts';
import type { Host, Part } from '../harness/host.ts';
import { busyboxImage } from '../harness/image.ts';
import { containersOf, inventoryOf } from '../harness/inventory.ts';
import { getJson } from '../harness/load.ts';
import { cgroupParent, paths } from '../harness/state.ts';

/**
 * Parts of hosts are killed (SIGKILL) in the middle of an `up`, a scale and an update. The cluster must reach what was
 * asked all the same, with nothing left over, and no healthy container may be restarted.
 *
 * `SHOAL_FAULT_ROUNDS` rounds for each part (default 1); `SHOAL_FAULT_SEED` replays the moments and hosts of a run.
 */
const rounds = Number(process.env['SHOAL_FAULT_ROUNDS'] ?? 1);
const seed = Number(process.env['SHOAL_FAULT_SEED'] ?? Math.floor(systemRandom.next() * 1e9));
const convergeLimitMs = 60_000;
const roundLimitMs = 180_000;
const settle = { timeout: 20_000, interval: 200 };
/** A kill comes at a random moment within this long after the wish: most of what follows a wish happens in that time. */
const killWithinMs = 1_500;
const port = 8097;

let cluster: Cluster;
let image: string;
let before: string[][];

beforeAll(async () => {
  process.stderr.write(`SHOAL_FAULT_SEED=${seed}\n`);
  cluster = await createCluster({ hosts: 3 });
  image = await cluster.push('library/busybox:1', await busyboxImage(paths(cluster.directory).images));
  before = await inventories();
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(await cluster.troubles());
});

afterAll(async () => {
  await cluster?.down();
  expect(await cluster?.leftovers()).toEqual([]);
});

const inventories = () =>
  Promise.all(cluster.hosts.map((host) => inventoryOf(host, cgroupParent(cluster.id))));

/** A web server that tells its version, obeys SIGTERM and has a healthcheck. */
const composeText = (version: number, replicas: number) => `
services:
  web:
    image: ${image}
    command:
      - sh
      - -c
      - |
        trap 'exit 0' TERM
        mkdir /www && echo '{"version":${version}}' > /www/index.html
        httpd -f -p 8080 -h /www & wait
    ports: ["${port}:8080"]
    healthcheck:
      test: [CMD, wget, -qO-, "http://127.0.0.1:8080/"]
      interval: 2s
      start_period: 10s
      start_interval: 200ms
    deploy:
      replicas: ${replicas}
      restart_policy: { delay: 200ms }
      update_config: { parallelism: 2, order: start-first, monitor: 500ms }
`;

async function wish(version: number, replicas: number): Promise<void> {
  const path = await writeComposeFile(cluster, 'faulty', composeText(version, replicas));
  const { exitCode, stderr } = await cluster.shoal(['up', '--detach', '-f', path]);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
}

async function killSoon(part: Part, random: Random): Promise<void> {
  const host = part === 'manager' ? cluster.manager : cluster.hosts[Math.floor(random.next() * 3)]!;
  await systemClock.sleep(random.next() * killWithinMs);
  // an earlier kill may still be being recovered from
  await vi.waitFor(() => host.kill(part), { timeout: 10_000, interval: 50 });
}

/** What the hosts run is what the manager says: no container, link or address too many or too few. */
async function expectExactly(version: number, replicas: number): Promise<Task[]> {
  await untilConverged(
    cluster,
    'faulty',
    convergeLimitMs,
    ({ services: [web] }) => web?.running === replicas && web.desired === replicas,
  );
  return await vi.waitFor(async () => {
    const tasks = await currentTasks(cluster, 'faulty');
    expect(tasks.map(({ status }) => status.state)).toEqual(Array(replicas).fill('running'));
    const containers = (await Promise.all(cluster.hosts.map(containersOf))).flat();
    expect(containers.map(({ id }) => id).sort()).toEqual(tasks.map(({ id }) => id).sort());
    expect(containers.filter(({ status }) => status !== 'RUNNING')).toEqual([]);
    const addresses = tasks.flatMap(({ attachments }) => attachments.map(({ address }) => address));
    expect(new Set(addresses).size).toBe(addresses.length);
    const links = (await Promise.all(cluster.hosts.map(taskLinks))).flat();
    expect(links.length).toBe(addresses.length);
    for (const host of cluster.hosts) {
      expect(await getJson(`http://${host.address}:${port}/`)).toEqual({ version });
    }
    return tasks;
  }, settle);
}

async function taskLinks(host: Host): Promise<string[]> {
  const printed = await host.run(['ip', '-o', 'link', 'show', 'type', 'veth']);
  return printed.split('\n').filter((line) => / shv/.test(line));
}

/** Every container's process by its id, to see whether it is still the same one. */
async function processesById(): Promise<Map<string, string>> {
  const containers = (await Promise.all(cluster.hosts.map(containersOf))).flat();
  return new Map(containers.map(({ id, process }) => [id, process]));
}

async function round(part: Part, random: Random): Promise<void> {
  const kill = () => killSoon(part, random);
  await wish(1, 4);
  await kill();
  await expectExactly(1, 4);

  const healthy = await processesById();
  await wish(1, 8);
  await kill();
  await expectExactly(1, 8);
  const afterScale = await processesById();
  for (const [id, process] of healthy) expect([id, afterScale.get(id)]).toEqual([id, process]);

  await wish(2, 8);
  await kill();
  await expectExactly(2, 8);

  const { exitCode, stderr } = await cluster.shoal(['down', '-p', 'faulty']);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  await vi.waitFor(async () => expect(await inventories()).toEqual(before), settle);
}

for (const part of ['agent', 'manager', 'containerd'] as const) {
  for (let number = 1; number <= rounds; number++) {
    test(
      `a killed ${part} keeps the cluster from nothing that was asked of it (round ${number})`,
      () => round(part, seededRandom(seed + number)),
      roundLimitMs,
    );
  }
}
