import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { createCluster, type Cluster } from '../harness/cluster.ts';
import { currentTasks, untilConverged, writeComposeFile } from '../harness/compose.ts';
import { busyboxImage } from '../harness/image.ts';
import { differences } from '../harness/standing.ts';
import { paths } from '../harness/state.ts';

/** Containers that run before a service's own, on two hosts that see one folder. */

const soon = { timeout: 30_000, interval: 100 };

let cluster: Cluster;
let image: string;
let folder: string;
let notes: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-pre-start-'));
  cluster = await createCluster({ hosts: 2 });
  image = await cluster.push('library/busybox:1', await busyboxImage(paths(cluster.directory).images));
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(await cluster.troubles());
});

afterAll(async () => {
  await cluster?.down();
  await rm(folder, { recursive: true });
  expect(await cluster?.leftovers()).toEqual([]);
});

const written = async () =>
  (await readFile(join(notes, 'log'), 'utf8').catch(() => '')).trim().split('\n').filter(Boolean);

const counted = (version: string, wait = 0) => `
    command: [sleep, "86400"]
    stop_signal: SIGKILL
    environment: { VERSION: ${version} }
    volumes: ["NOTES:/notes", "kept:/kept"]
    deploy: { replicas: 3, restart_policy: { delay: 100ms }, update_config: { parallelism: 0, monitor: 0s } }
    pre_start:
      - command: [sh, -c, "echo begin $$VERSION >>/notes/log; sleep ${wait}; echo once $$VERSION $$MORE >>/notes/log"]
        environment: [MORE=more]
      - { command: [sh, -c, "touch /kept/file; echo each $$VERSION >>/notes/log"], per_replica: true }
volumes: { kept: }
`;

async function up(application: string, text: string) {
  notes = join(folder, application);
  await mkdir(notes, { recursive: true });
  const whole = `services:\n  web:\n    image: ${image}\n${text.replaceAll('NOTES', notes)}`;
  const path = await writeComposeFile(cluster, application, whole);
  return await cluster.shoal(['up', '-f', path, '--timeout', '90']);
}

test('what runs once runs before all replicas, what runs for each before each, and more replicas add theirs only', async () => {
  expect(await up('counted', counted('one'))).toMatchObject({ exitCode: 0 });
  const each = 'each one';
  expect(await written()).toEqual(['begin one', 'once one more', each, each, each]);
  expect((await currentTasks(cluster, 'counted')).map(({ status }) => status.state)).toEqual(
    Array(3).fill('running'),
  );
  const exec = ['exec', '-T', '-p', 'counted', 'web', 'ls', '/kept'];
  expect((await cluster.shoal(exec)).stdout.trim()).toBe('file');
  expect(await cluster.shoal(['scale', '-p', 'counted', 'web=4'])).toMatchObject({ exitCode: 0 });
  expect((await written()).slice(5)).toEqual([each]);
  expect(await cluster.shoal(['scale', '-p', 'counted', 'web=3'])).toMatchObject({ exitCode: 0 });
  await vi.waitFor(async () => expect(await differences(cluster)).toEqual([]), soon);
});

test('a new version runs them once more', async () => {
  expect(await up('counted', counted('two'))).toMatchObject({ exitCode: 0 });
  expect((await written()).slice(6)).toEqual(['begin two', 'once two more', ...Array(3).fill('each two')]);
  expect(await cluster.shoal(['down', '-p', 'counted'])).toMatchObject({ exitCode: 0 });
});

test.each(['agent', 'containerd', 'manager'] as const)(
  'none of them runs twice because a part is killed in the middle: %s',
  async (part) => {
    const ended = up(part, counted('one', 4));
    await vi.waitFor(async () => expect(await written()).toEqual(['begin one']), soon);
    for (const host of part === 'manager' ? [cluster.manager] : cluster.hosts) await host.kill(part);
    await ended; // the command itself may have lost its manager
    const each = Array(3).fill('each one');
    await vi.waitFor(
      async () => expect(await written()).toEqual(['begin one', 'once one more', ...each]),
      soon,
    );
    await untilConverged(cluster, part, soon.timeout);
    await vi.waitFor(async () => expect(await differences(cluster)).toEqual([]), soon);
    expect(await cluster.shoal(['down', '-p', part])).toMatchObject({ exitCode: 0 });
  },
);

test('one that fails fails the service with its last line, and leaves nothing', async () => {
  const { exitCode, stderr } = await up(
    'failing',
    `
    command: [sleep, "86400"]
    restart: "no"
    pre_start: [{ command: [sh, -c, "echo no such table >&2; exit 4"] }]
`,
  );
  expect(exitCode).toBe(1);
  expect(stderr).toContain('exit 4" ended with exit code 4: no such table');
  expect(await cluster.shoal(['down', '-p', 'failing'])).toMatchObject({ exitCode: 0 });
  await vi.waitFor(async () => expect(await differences(cluster)).toEqual([]), soon);
});
