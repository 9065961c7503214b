import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createCluster, type Cluster } from '../harness/cluster.ts';
import { currentTasks, writeComposeFile } from '../harness/compose.ts';
import { busyboxImage } from '../harness/image.ts';
import { paths } from '../harness/state.ts';

/** What a person is told when something is wrong, on two real hosts. */

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

/** A service that runs, to see that the others are none the worse. */
const bystander = () => `
  bystander:
    image: ${image}
    command: [sh, -c, "trap 'exit 0' TERM; sleep 86400 & wait"]
`;

async function up(application: string, text: string) {
  const path = await writeComposeFile(cluster, application, text);
  const { exitCode, stderr } = await cluster.shoal(['up', '-f', path, '--timeout', '60']);
  return { exitCode, stderr: stderr.replaceAll(path, 'compose.yaml') };
}

const applications = async () => (await cluster.shoal(['ls', '--json'])).stdout;

/** The service beside the broken one runs. The broken one may be running too for a moment: it is tried again and again. */
async function expectBystanderRuns(application: string): Promise<void> {
  const tasks = await currentTasks(cluster, application);
  const running = tasks.filter(({ status }) => status.state === 'running').map((task) => task.serviceName);
  expect(running).toContain(`${application}_bystander`);
}

async function down(application: string): Promise<void> {
  expect(await cluster.shoal(['down', '-p', application])).toMatchObject({ exitCode: 0 });
}

test('a mistake in the file is told with line and column, and nothing has changed', async () => {
  const before = await applications();
  const { exitCode, stderr } = await up(
    'mistaken',
    `services:\n  web:\n    image: ${image}\n    prots:\n      - "80"\n`,
  );
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(/compose\.yaml:4:5: .*prots/);
  expect(stderr).toContain('ports');
  expect(await applications()).toBe(before);
});

test('all mistakes are told at once', async () => {
  const { exitCode, stderr } = await up(
    'mistaken',
    `services:\n  web:\n    image: [1]\n  db:\n    image: x\n    depends_on: [nobody]\n`,
  );
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(/compose\.yaml:3:\d+: /);
  expect(stderr).toMatch(/compose\.yaml:6:\d+: .*nobody/);
});

test('what is not supported yet is refused by name', async () => {
  const { exitCode, stderr } = await up(
    'mistaken',
    `services:\n  web:\n    image: ${image}\n    storage_opt: { size: 1g }\n`,
  );
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(/compose\.yaml:4:5: .*storage_opt.*not supported yet/);
  expect(stderr).not.toContain('warning');
});

test('an image that does not exist fails its service and no other', async () => {
  const missing = `${cluster.registry}/library/nothing:1`;
  const { exitCode, stderr } = await up('lost', `services:\n  web:\n    image: ${missing}\n${bystander()}`);
  expect(exitCode).toBe(1);
  expect(stderr).toContain(missing);
  expect(stderr).toContain('lost_web');
  expect((await cluster.shoal(['ps', '-p', 'lost'])).stdout).toContain(missing);
  await expectBystanderRuns('lost');
  await down('lost');
});

test('a command that is not in the image fails its service and no other', async () => {
  const { exitCode, stderr } = await up(
    'wordless',
    `services:\n  web:\n    image: ${image}\n    command: [no-such-program]\n${bystander()}`,
  );
  expect(exitCode).toBe(1);
  expect(stderr).toContain('no-such-program');
  expect((await cluster.shoal(['ps', '-p', 'wordless'])).stdout).toContain('no-such-program');
  await expectBystanderRuns('wordless');
  await down('wordless');
});

test('a program that ends again and again fails its service, with how it ended', async () => {
  const { exitCode, stderr } = await up(
    'crashing',
    `services:
  web:
    image: ${image}
    command: [sh, -c, "echo broken; exit 3"]
    deploy: { restart_policy: { delay: 100ms } }
${bystander()}`,
  );
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(/crashing_web\.1 ended with exit code 3: broken, 3 times in a row/);
  expect((await cluster.shoal(['ps', '-p', 'crashing'])).stdout).toMatch(/failed/);
  expect((await cluster.shoal(['logs', '-p', 'crashing', 'web'])).stdout).toContain('broken');
  await expectBystanderRuns('crashing');
  await down('crashing');
});

test('a program that needs more memory than it may have, or is never healthy, fails its service with that', async () => {
  const { exitCode, stderr } = await up(
    'greedy',
    `services:
  web:
    image: ${image}
    command: [sh, -c, 'x=a; while true; do x="$$x$$x"; done']
    mem_limit: 16m
    deploy: { restart_policy: { delay: 100ms } }
  sick:
    image: ${image}
    command: [sleep, "86400"]
    stop_signal: SIGKILL
    healthcheck: { test: "echo not today; exit 1", interval: 200ms, retries: 2 }
    deploy: { restart_policy: { delay: 100ms } }
${bystander()}`,
  );
  expect(exitCode).toBe(1);
  expect(stderr).toContain('greedy_web.1 was killed: out of memory, limit 16 MiB');
  expect(stderr).toMatch(/greedy_sick\.1: unhealthy: 2 of 2 checks failed: exit 1: not today/);
  await expectBystanderRuns('greedy');
  await down('greedy');
});

test('a port that another application has is refused, and what runs keeps its own', async () => {
  const text = (port: number) =>
    `services:\n  web:\n    image: ${image}\n    command: [sleep, "86400"]\n    stop_signal: SIGKILL\n    ports: ["${port}:80"]\n`;
  expect(await up('holder', text(8099))).toMatchObject({ exitCode: 0 });
  expect(await up('wanting', text(8097))).toMatchObject({ exitCode: 0 });
  expect(await up('wanting', `${text(8099)}${bystander()}`)).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining(
      'Cannot publish port 8099/tcp of service wanting_web: service holder_web',
    ) as string,
  });
  const { stdout } = await cluster.shoal(['ps', '-p', 'wanting', '--json']);
  expect(JSON.parse(stdout)).toMatchObject([
    { service: 'wanting_web', state: 'running', message: '*:8097->80/tcp' },
  ]);
  await down('wanting');
  await down('holder');
});

test('a port that a program of the host has fails the service', async () => {
  for (const host of cluster.hosts) {
    await host.run(['sh', '-c', 'busybox nc -l -p 8098 >/dev/null 2>&1 </dev/null & sleep 0.2']);
  }
  const { exitCode, stderr } = await up(
    'late',
    `services:
  web:
    image: ${image}
    command: [sleep, "86400"]
    stop_signal: SIGKILL
    ports: [{ target: 80, published: 8098, mode: host }]
    deploy: { restart_policy: { delay: 100ms } }
${bystander()}`,
  );
  expect(exitCode).toBe(1);
  expect(stderr).toContain('8098');
  await expectBystanderRuns('late');
  await down('late');
});

test('what no node of the cluster can take is refused with the reason of every node', async () => {
  const { exitCode, stderr } = await up(
    'picky',
    `services:
  web:
    image: ${image}
    deploy: { placement: { constraints: ["node.labels.disk == ssd"] } }
${bystander()}`,
  );
  expect(exitCode).toBe(1);
  expect(stderr).toContain('no suitable node: constraint node.labels.disk == ssd on 2 nodes');
  expect(stderr).toContain('Nothing was changed.');
  expect((await cluster.shoal(['ps', '-p', 'picky'])).stderr).toContain('Cannot find an application');
});

test('a service that fits nowhere for now fails with the reason of every node', async () => {
  await cluster.shoal(['node', 'update', '--availability', 'pause', 'b']);
  const { exitCode, stderr } = await up(
    'barred',
    `services:
  web:
    image: ${image}
    deploy: { placement: { constraints: ["node.hostname == b"] } }
${bystander()}`,
  );
  expect(exitCode).toBe(1);
  const reason = /constraint node\.hostname == b on 1 node, paused on 1|paused on 1 node, constraint .* on 1/;
  expect(stderr).toMatch(reason);
  expect((await cluster.shoal(['ps', '-p', 'barred'])).stdout).toMatch(reason);
  await cluster.shoal(['node', 'update', '--availability', 'active', 'b']);
  await expectBystanderRuns('barred');
  await down('barred');
});

test('wrong use ends with 2, a daemon that is not there with 3', async () => {
  expect(await cluster.shoal(['up', '--no-such-option'])).toMatchObject({ exitCode: 2 });
  const env = { SHOAL_HOST: 'unix:///nowhere.sock' };
  expect(await cluster.shoal(['ls'], { env })).toMatchObject({ exitCode: 3 });
});
