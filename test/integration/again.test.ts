import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { createCluster, type Cluster } from '../harness/cluster.ts';
import { currentTasks, writeComposeFile } from '../harness/compose.ts';
import { busyboxImage } from '../harness/image.ts';
import { paths } from '../harness/state.ts';

/** What another `up` changes on real hosts: nothing, or only those whom the change is about. The tests build on each other, in order. */

let cluster: Cluster;
let file: string;
let text: string;

beforeAll(async () => {
  cluster = await createCluster({ hosts: 2 });
  const image = await cluster.push('library/busybox:1', await busyboxImage(paths(cluster.directory).images));
  const idle = `image: ${image}\n    command: [sh, -c, "trap 'exit 0' TERM; sleep 86400 & wait"]`;
  text = `
services:
  user:
    ${idle}
    secrets: [key]
    deploy: { replicas: 2 }
  reader:
    ${idle}
    configs: [settings]
    env_file: reader.env
  bystander:
    ${idle}
secrets: { key: { file: key.txt } }
configs: { settings: { file: settings.txt } }
`;
  file = await writeComposeFile(cluster, 'again', text);
  await say({ 'key.txt': 'first', 'settings.txt': 'first', 'reader.env': 'SAID=first' });
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(await cluster.troubles());
});

afterAll(async () => {
  await cluster?.down();
  expect(await cluster?.leftovers()).toEqual([]);
});

async function say(contents: Record<string, string>): Promise<void> {
  for (const [name, content] of Object.entries(contents)) await writeFile(join(dirname(file), name), content);
}

/** Applies the file; gives which services have other tasks than before. */
async function changedByUp(): Promise<string[]> {
  const idsOf = async () => {
    const ids: Record<string, string[]> = {};
    for (const { id, serviceName } of await currentTasks(cluster, 'again'))
      (ids[serviceName] ??= []).push(id);
    return ids;
  };
  const before = await idsOf();
  const { exitCode, stderr } = await cluster.shoal(['up', '-f', file, '--timeout', '60']);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  const after = await idsOf();
  return Object.keys(after)
    .filter((name) => after[name]!.toSorted().join() !== before[name]?.toSorted().join())
    .toSorted();
}

const inside = async (service: string, ...command: string[]) =>
  (await cluster.shoal(['exec', '-T', '-p', 'again', service, ...command])).stdout;

test('the first up makes all services', async () => {
  expect(await changedByUp()).toEqual(['again_bystander', 'again_reader', 'again_user']);
  expect(await inside('user', 'cat', '/run/secrets/key')).toBe('first');
});

test('the second up changes nothing, also when the file is written otherwise', async () => {
  expect(await changedByUp()).toEqual([]);
  await writeFile(file, `# a note\nx-note: here\n${text}\n`);
  expect(await changedByUp()).toEqual([]);
});

test('another content of a secret rolls its users only, and they see it', async () => {
  await say({ 'key.txt': 'second' });
  expect(await changedByUp()).toEqual(['again_user']);
  expect(await inside('user', 'cat', '/run/secrets/key')).toBe('second');
  expect(await changedByUp()).toEqual([]);
});

test('another content of a config rolls its users only, and they see it', async () => {
  await say({ 'settings.txt': 'second' });
  expect(await changedByUp()).toEqual(['again_reader']);
  expect(await inside('reader', 'cat', '/settings')).toBe('second');
});

test('another value in an environment file rolls those that name it only', async () => {
  await say({ 'reader.env': 'SAID=second' });
  expect(await changedByUp()).toEqual(['again_reader']);
  expect(await inside('reader', 'sh', '-c', 'echo $SAID')).toBe('second\n');
});

test('a file with one service less leaves that one and names it, and removes it alone where that is asked for', async () => {
  const names = async () =>
    [...new Set((await currentTasks(cluster, 'again')).map(({ serviceName }) => serviceName))].toSorted();
  const before = await names();
  await writeFile(file, text.replace(/\n {2}bystander:[^]*?(?=\nsecrets:)/u, ''));
  const { exitCode, stderr } = await cluster.shoal(['up', '-f', file]);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  expect(stderr).toContain('warning: again_bystander is not in the file and runs on');
  expect(await names()).toEqual(before);
  expect(await cluster.shoal(['up', '-f', file, '--remove-orphans'])).toMatchObject({ exitCode: 0 });
  expect(await names()).toEqual(['again_reader', 'again_user']);
});

test('a job runs to its end once, and anew only when it is changed', async () => {
  const image = /image: (\S+)/u.exec(text)![1]!;
  const withJob = (command: string) => {
    const deploy = '{ mode: replicated-job, replicas: 2 }';
    const job = `  sums:\n    image: ${image}\n    command: [sh, -c, "${command}"]\n    deploy: ${deploy}\n`;
    return text.replace('secrets: { key', `${job}secrets: { key`);
  };
  const states = async () =>
    (await currentTasks(cluster, 'again'))
      .filter(({ serviceName }) => serviceName === 'again_sums')
      .map(({ status }) => status.state);
  await writeFile(file, withJob('exit 0'));
  expect(await changedByUp()).toContain('again_sums');
  await vi.waitFor(async () => expect(await states()).toEqual(['complete', 'complete']), 20_000);
  expect(await changedByUp()).toEqual([]);
  await writeFile(file, withJob('echo done'));
  expect(await changedByUp()).toEqual(['again_sums']);
  await vi.waitFor(async () => expect(await states()).toEqual(['complete', 'complete']), 20_000);
});

test('a service that restarts with another is rolled when that one is updated, and up waits for it', async () => {
  const restarting = (level: string) =>
    text
      .replace(
        '  bystander:\n',
        `  bystander:\n    depends_on: { user: { condition: service_started, restart: true } }\n`,
      )
      .replace('  user:\n', `  user:\n    environment: { LEVEL: "${level}" }\n`);
  await writeFile(file, restarting('1'));
  expect(await changedByUp()).toEqual(['again_bystander', 'again_user']);
  await writeFile(file, restarting('2'));
  expect(await changedByUp()).toEqual(['again_bystander', 'again_user']);
  expect(await changedByUp()).toEqual([]);
});
