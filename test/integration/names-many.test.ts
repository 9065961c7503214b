import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createCluster, type Cluster } from '../harness/cluster.ts';
import { runInside, writeComposeFile } from '../harness/compose.ts';
import { busyboxImage, nodeImage } from '../harness/image.ts';
import { paths } from '../harness/state.ts';

/** Names with many addresses, and names that are unusual, asked for by the resolvers that programs use. */

let cluster: Cluster;
let box: string;
let node: string;

beforeAll(async () => {
  cluster = await createCluster({ hosts: 3 });
  const { images } = paths(cluster.directory);
  box = await cluster.push('library/box:1', await busyboxImage(images));
  node = await cluster.push('library/node:24', await nodeImage(images));
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(await cluster.troubles());
});

afterAll(async () => {
  await cluster?.down();
  expect(await cluster?.leftovers()).toEqual([]);
});

async function up(application: string, text: string): Promise<void> {
  const path = await writeComposeFile(cluster, application, text);
  const { exitCode, stderr } = await cluster.shoal(['up', '-f', path, '--timeout', '110']);
  expect(exitCode, stderr).toBe(0);
}

/** What an expression of Node comes to in a container. */
async function inNode(application: string, service: string, expression: string): Promise<unknown> {
  const script = `Promise.resolve(${expression}).then((value) => console.log(JSON.stringify(value)))`;
  return JSON.parse(await runInside(cluster, application, service, `node -e "${script}"`)) as unknown;
}

test('a name with sixty addresses has all of them, by either resolver of a program', async () => {
  const sleeps = 'command: [sleep, "1000000"], stop_grace_period: 0s';
  await up(
    'many',
    `services:
  web: { image: "${box}", ${sleeps}, deploy: { replicas: 60 } }
  ask: { image: "${node}", ${sleeps} }
`,
  );
  const asked = "require('dns').promises.resolve4('tasks.web').then((found) => new Set(found).size)";
  expect(await inNode('many', 'ask', asked)).toBe(60);
  const looked =
    "require('dns').promises.lookup('tasks.web', { all: true }).then((found) => new Set(found.map((one) => one.address)).size)";
  expect(await inNode('many', 'ask', looked)).toBe(60);
  await cluster.shoal(['down', '-p', 'many']);
});

test('services of unusual names are reached by them, and localhost is the container itself', async () => {
  const serves = (word: string) =>
    `command: [sh, -c, 'mkdir -p /w; echo ${word} > /w/index.html; exec busybox httpd -f -p 80 -h /w'], stop_signal: SIGKILL`;
  const long = 'a-service-with-a-name-of-sixty-three-characters-exactly-0123456';
  const code = "require('http').createServer((q,r)=>r.end('own')).listen(80,'0.0.0.0')";
  await up(
    'a-project-with-quite-a-long-name-as-people-have-them',
    `services:
  Web_App.v2: { image: "${box}", ${serves('short')} }
  ${long}: { image: "${box}", ${serves('long')} }
  own:
    image: ${node}
    user: "1000"
    command: [node, -e, "${code}"]
    stop_signal: SIGKILL
    healthcheck: { test: [CMD, wget, -q, -O-, "http://localhost/"], interval: 2s, retries: 3, timeout: 2s }
`,
  );
  const fetched = (name: string) => `fetch('http://${name}/').then((answer) => answer.text())`;
  const ask = (name: string) =>
    inNode('a-project-with-quite-a-long-name-as-people-have-them', 'own', fetched(name));
  for (const name of ['Web_App.v2', 'web_app.v2']) expect(await ask(name)).toBe('short\n');
  expect(await ask(long)).toBe('long\n');
  expect(await ask('localhost')).toBe('own');
});
