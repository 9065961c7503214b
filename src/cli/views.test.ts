import { expect, onTestFinished, test } from 'vitest';
import { startTestManager } from '../../manager/testing.ts';
import type { Change } from '../../manager/store/objects.ts';
import type { Service } from '../spec/service.ts';
import type { Task } from '../spec/task.ts';
import { contextOf } from '../../test/cli-samples.ts';
import { sampleNode, sampleService, sampleTask, sampleTemplate } from '../../test/samples.ts';
import { parseArguments } from './arguments.ts';
import { commands } from './main.ts';

const gibibyte = 2 ** 30;

/** A cluster with two nodes, `b` down, and the service shop_web in its second version. Gives what a command prints. */
async function session(tasks: (service: Service) => Task[] = () => []) {
  const manager = await startTestManager();
  onTestFinished(() => manager[Symbol.asyncDispose]());
  const { database } = manager;
  const service = sampleService(
    'web',
    { name: 'shop_web', application: 'shop', mode: { kind: 'replicated', replicas: 2 } },
    {
      specVersion: 2,
      versions: [
        { version: 1, cause: 'up', state: 'completed', createdAt: 0, endedAt: 0, by: 'anna' },
        {
          version: 2,
          cause: 'rollback',
          state: 'failed',
          createdAt: 0,
          endedAt: 0,
          restores: 1,
          failure: 'it fell',
        },
      ],
    },
  );
  const nodes = [
    sampleNode('a', { conditions: [{ type: 'DiskFull', since: 0, message: '/var has no space left' }] }),
    sampleNode('b', { status: { state: 'down', since: 0, message: 'not heard for 3 s' } }),
  ];
  const objects: Change[] = [
    ...nodes.map((object): Change => ({ kind: 'node', action: 'create', object })),
    { kind: 'service', action: 'create', object: service },
    ...tasks(service).map((object): Change => ({ kind: 'task', action: 'create', object })),
  ];
  await database.write([objects]);
  const { context, said } = contextOf(manager.client, manager.folder);
  return async (line: string) => {
    const words = line.split(' ');
    const name = [words.slice(0, 2).join(' '), words[0]!].find((each) => Object.hasOwn(commands, each))!;
    const { command } = await commands[name]!();
    said.length = 0;
    const rest = words.slice(name.split(' ').length);
    expect(await command.run(context, parseArguments(command, rest))).toBe(0);
    return said.join('\n');
  };
}

/** A task of the current version that runs on the node. */
function running(service: Service, slot: number, nodeId: string, changes: Partial<Task> = {}): Task {
  const status = { state: 'running', at: 0, startedAt: 0, message: '' } as const;
  return sampleTask(service, slot, { nodeId, specVersion: 2, status, ...changes });
}

test('ps shows the version, the node’s state and volumes, and folds what is past', async () => {
  const failed = { state: 'failed', at: 1, message: 'ended with exit code 1' } as const;
  const data = sampleTemplate();
  data.container.mounts = [{ type: 'volume', source: 'shop_data', target: '/d', readOnly: false }];
  const shoal = await session((service) => [
    running(service, 1, 'a', { specVersion: 1, template: data }),
    running(service, 2, 'b'),
    ...[1, 2, 3].map((index) => ({
      ...sampleTask(service, 2, {
        nodeId: 'a',
        createdAt: -index,
        status: failed,
        desiredState: 'shutdown' as const,
      }),
      id: `failed-${index}`,
    })),
  ]);
  const table = await shoal('ps -p shop');
  expect(table).toMatch(/shop_web\.1 .* old +a +running +running .* shop_data/);
  expect(table).toMatch(/shop_web\.2 .* v2 +b \(down\) .* not known: not heard for 3 s/);
  // They failed long ago, and another one runs in their place.
  expect(table).not.toContain('exit code 1');
  expect(table).toContain('3 earlier tasks not shown: see them with --all');
  expect(await shoal('ps -p shop --all')).toMatch(/(exit code 1[^]*){3}/);
});

test('ps tells what checks say that fail of a task that runs, and nothing of one that is well', async () => {
  const status = { state: 'running', at: 0, startedAt: 0 } as const;
  const shoal = await session((service) => [
    running(service, 1, 'a', {
      status: { ...status, message: 'running, but 2 of 3 checks failed: exit 1: no' },
    }),
    running(service, 2, 'a', { status: { ...status, message: 'running and healthy' } }),
  ]);
  const table = await shoal('ps -p shop');
  expect(table).toMatch(/shop_web\.1 .* running, but 2 of 3 checks failed: exit 1: no$/m);
  expect(table).not.toContain('healthy');
});

test('ls and service ls tell what serves apart from what is updated', async () => {
  const shoal = await session((service) => [
    running(service, 1, 'a', { specVersion: 1 }),
    running(service, 2, 'a'),
  ]);
  expect(await shoal('ls')).toBe(
    'APPLICATION  SERVICES  SERVING  UPDATED  STATE\nshop         1         2/2      1/2      starting',
  );
  expect(await shoal('service ls -p shop')).toMatch(/shop_web +replicated +2\/2 +1\/2 +v2 +starting/);
});

test('the history of a service says what made each version and what became of it', async () => {
  const shoal = await session();
  const rows = (await shoal('service history shop_web')).split('\n').map((line) => line.split(/  +/));
  expect(rows).toEqual([
    ['SERVICE', 'VERSION', 'STATE', 'MADE', 'BY', 'CAUSE', 'NOTE'],
    ['shop_web', '1', 'completed', expect.stringMatching(/d$/), 'anna', 'up'],
    [
      'shop_web',
      '2',
      'failed',
      expect.stringMatching(/d$/),
      'shoal',
      'rollback',
      'back to version 1; it fell',
    ],
  ]);
});

test('node ls says what is behind conditions, node ps and node inspect what is on a node', async () => {
  const template = sampleTemplate({ reservations: { memoryBytes: gibibyte, nanoCpus: 5e8 } });
  const shoal = await session((service) => [running(service, 1, 'a', { template })]);
  const nodes = await shoal('node ls');
  expect(nodes).toContain('a: DiskFull: /var has no space left');
  expect(nodes).toContain('b: not heard for 3 s');
  expect(await shoal('node ps a')).toMatch(/shop_web\.1 /);
  expect(JSON.parse(await shoal('node inspect a'))).toMatchObject([
    {
      id: 'a',
      tasks: 1,
      reserved: { memoryBytes: gibibyte, nanoCpus: 5e8 },
      free: { memoryBytes: 3 * gibibyte },
    },
  ]);
});

test('inspect finds what has the name, whatever it is', async () => {
  const shoal = await session((service) => [running(service, 1, 'a')]);
  const found = JSON.parse(await shoal('inspect -p shop web shop_web.1 b')) as object[];
  expect(found).toMatchObject([{ specVersion: 2, progress: {} }, { slot: 1 }, { status: { state: 'down' } }]);
  await expect(shoal('inspect nothing')).rejects.toThrow('Cannot find anything called "nothing"');
  await expect(shoal('inspect --type node c')).rejects.toThrow('Cannot find a node called "c"');
  await expect(shoal('inspect --type pod web')).rejects.toThrow('Cannot inspect a "pod"');
});
