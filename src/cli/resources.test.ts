import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { startTestManager, type TestManager } from '../../manager/testing.ts';
import {
  sampleContainer,
  sampleNode,
  sampleService,
  sampleTemplate,
  sampleVolume,
} from '../../test/samples.ts';
import { parseArguments } from './arguments.ts';
import type { Context } from './command.ts';
import { commands } from './main.ts';
import { moveTarget } from './stranded.ts';

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'shoal-resources-'));
  await writeFile(join(directory, 'key.txt'), 'very secret');
});
afterAll(() => rm(directory, { recursive: true }));

/** Runs `shoal WORDS` against a manager of its own; gives what it prints and notes. */
async function session(
  answer?: string,
): Promise<{ manager: TestManager; shoal: (line: string) => Promise<string> }> {
  const manager = await startTestManager();
  onTestFinished(() => manager[Symbol.asyncDispose]());
  const shoal = async (line: string) => {
    const words = line.split(' ');
    let said = '';
    const context: Context = {
      output: {
        print: (text) => (said += `${text}\n`),
        write: (_, chunk) => (said += String(chunk)),
        note: (text) => (said += `${text}\n`),
        line: () => undefined,
        columns: 0,
        colour: false,
      },
      environment: {},
      workingDirectory: directory,
      signal: new AbortController().signal,
      client: () => Promise.resolve(manager.client),
      ask: answer === undefined ? undefined : () => Promise.resolve(answer),
    };
    const { command } = await commands[words.slice(0, 2).join(' ')]!();
    expect(await command.run(context, parseArguments(command, words.slice(2)))).toBe(0);
    return said.trimEnd();
  };
  return { manager, shoal };
}

test('networks are made, listed, shown and removed', async () => {
  const { shoal } = await session();
  const id = await shoal('network create --subnet 10.9.0.0/24 --internal --label a=b=c -d overlay proxy');
  expect(await shoal('network ls')).toMatchInlineSnapshot(`
    "NAME   APPLICATION  SUBNET  INTERNAL  SERVICES
    proxy  -                    yes       0"
  `);
  expect(await shoal('network ls -q')).toBe('proxy');
  expect(JSON.parse(await shoal('network ls --format json'))).toMatchObject([{ id }]);
  expect(JSON.parse(await shoal('network inspect proxy'))).toMatchObject([
    { id, spec: { labels: { a: 'b=c' }, internal: true, subnet: '10.9.0.0/24' }, usedBy: [] },
  ]);
  expect(await shoal('network rm proxy')).toBe('proxy is removed');
  expect(await shoal('network ls -q')).toBe('');
});

test('volumes say what they mount, and where their data is', async () => {
  const { manager, shoal } = await session();
  const { nodeId } = await manager.join('worker');
  const object = { ...manager.database.view.nodes.get(nodeId)!, description: sampleNode('a').description };
  await manager.database.write([[{ kind: 'node', action: 'update', object }]]);
  expect(await shoal('volume create -o type=nfs -o o=addr=nas,rw -o device=:/v shared')).toBe('shared');
  await shoal('volume create kept');
  const kept = manager.database.view.volumes.values().find(({ spec }) => spec.name === 'kept')!;
  await manager.database.write([
    [{ kind: 'volume', action: 'update', object: { ...kept, nodeIds: [nodeId] } }],
  ]);
  expect(await shoal('volume ls')).toMatchInlineSnapshot(`
    "NAME    APPLICATION  MOUNTS  NODE    COPY  SIZE  LAST USED            SERVICES
    kept    -            -       host-1  own   ?     the node is unknown  0
    shared  -            :/v     -       -     -     -                    0"
  `);
  await expect(shoal('volume rm kept')).rejects.toThrow('Cannot ask whether to go on');
  await expect(shoal('volume rm --yes kept shared')).rejects.toThrow(
    /its data is on host-1, which cannot be reached/,
  );
  expect(await shoal('volume rm --force kept')).toBe('kept is removed; its data stays on host-1');
  expect(await shoal('volume ls -q')).toBe('');
});

/** A volume of `db` that is on the worker `a`. */
async function withStranded(manager: TestManager): Promise<void> {
  const { nodeId } = await manager.join('worker');
  const mounts = [{ type: 'volume' as const, source: 'shop_data', target: '/data', readOnly: false }];
  const service = sampleService('db', { task: sampleTemplate({ container: sampleContainer({ mounts }) }) });
  const node = { ...manager.database.view.nodes.get(nodeId)!, description: sampleNode('a').description };
  const spec = { name: 'shop_data', application: 'shop', labels: {} };
  const volume = sampleVolume('data', { spec, home: { nodeId, hostname: 'a' }, nodeIds: [nodeId] });
  await manager.database.write([
    [{ kind: 'node', action: 'update', object: { ...node, name: 'a' } }],
    [{ kind: 'service', action: 'create', object: service }],
    [{ kind: 'volume', action: 'create', object: volume }],
  ]);
}

test('a drain names the volumes whose tasks will wait, and asks', async () => {
  const drain = 'node update --availability drain a';
  const named =
    'volume shop_data (used by app_db) is on a: its tasks will wait until a is active again; no other node can take it now';
  const { manager, shoal } = await session();
  await withStranded(manager);
  await expect(shoal(drain)).rejects.toThrow('Cannot ask whether to go on: this is not a terminal');
  expect(await shoal('node update --availability pause a')).toBe('a is pause');
  expect(await shoal(`${drain} --yes`)).toBe(`${named}\na is drain`);
  const refusing = await session('n');
  await withStranded(refusing.manager);
  await expect(refusing.shoal(drain)).rejects.toThrow('Cancelled');
  const agreeing = await session('y');
  await withStranded(agreeing.manager);
  expect(await agreeing.shoal(drain)).toBe(`${named}\na is drain`);
});

test('a drain says where its volumes can move to, in words that can be typed', async () => {
  const { manager, shoal } = await session();
  await withStranded(manager);
  const others = ['c', 'b'].map((name) => sampleNode(name));
  await manager.database.write([others.map((object) => ({ kind: 'node', action: 'create', object }))]);
  expect(await shoal('node update --availability drain --yes a')).toBe(
    [
      'volume shop_data (used by app_db) is on a: its tasks will wait until a is active again, unless it is moved first: `shoal volume move shop_data b`',
      '`shoal node update --availability drain --move-volumes a` moves what can be moved first',
      'a is drain',
    ].join('\n'),
  );
  await expect(shoal('node update --availability pause --move-volumes a')).rejects.toThrow(
    'Cannot use --move-volumes without --availability drain',
  );
});

test('a volume moves to a node that takes tasks and on which its services may run', () => {
  const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'].map((name) => sampleNode(name));
  const volume = { home: { nodeId: a!.id, hostname: 'a' }, usedBy: ['app_db'] };
  const service = (name: string, constraint: string) =>
    sampleService(name, {
      task: sampleTemplate({ placement: { constraints: [constraint], maxReplicasPerNode: 0 } }),
    });
  const down = { ...b!, status: { ...b!.status, state: 'down' as const } };
  const nodes = [e!, d!, { ...c!, availability: 'pause' as const }, down, a!];
  const other = service('other', 'node.hostname == a');
  expect(moveTarget(volume, nodes, [service('db', 'node.hostname != d'), other])).toBe(e);
  expect(moveTarget(volume, nodes, [service('db', 'node.hostname == c')])).toBeUndefined();
});

test('before a node is forgotten, the volumes that go with it are named', async () => {
  const { manager, shoal } = await session('no');
  await withStranded(manager);
  await expect(shoal('node rm a')).rejects.toThrow('Cancelled');
  expect(await shoal('node rm --yes a')).toBe(
    'volume shop_data (used by app_db) is on a: its data goes with the node\na is removed',
  );
});

test('a secret’s content is stored, and never printed', async () => {
  const { manager, shoal } = await session();
  const said = [
    await shoal('secret create key key.txt'),
    await shoal('secret inspect key'),
    await shoal('secret ls'),
    await shoal('secret ls --json'),
  ].join('\n');
  const data = Buffer.from('very secret').toString('base64');
  expect([...manager.database.view.secrets.values()][0]?.spec).toEqual({ name: 'key', labels: {}, data });
  expect(said).not.toContain(data);
  expect(said).not.toContain('very secret');
  expect(await shoal('config create page key.txt')).toMatch(/^[a-z0-9]{12}$/);
  expect(await shoal('config inspect page')).toContain(data);
});

test('those that can be removed are, and those that cannot are told together', async () => {
  const { manager, shoal } = await session();
  for (const name of ['one', 'two']) await shoal(`secret create ${name} key.txt`);
  const secrets = [{ name: 'one', target: '/one', uid: 0, gid: 0, mode: 0o400 }];
  const object = sampleService('web', { task: sampleTemplate({ container: sampleContainer({ secrets }) }) });
  await manager.database.write([[{ kind: 'service', action: 'create', object }]]);
  await expect(shoal('secret rm one none two')).rejects.toThrow(
    'Cannot remove secret one: app_web uses it\nCannot find a secret called "none"',
  );
  expect(await shoal('secret ls -q')).toBe('one');
});

test.each([
  ['network create --driver macvlan x', /Cannot make a network with driver "macvlan"/],
  ['network create --label =b x', /write KEY=VALUE/],
  ['network ls --format yaml', /the formats are table and json/],
  ['volume create --driver nfs x', /Cannot make a volume with driver "nfs"/],
  ['volume create --opt size=1g --opt device=x x', /the options are type, o and device/],
  ['volume create --opt type=tmpfs x', /no --opt device=DEVICE/],
  ['secret create x none.txt', /there is no such file/],
  ['secret create x', /it needs NAME FILE/],
  ['config inspect x', /Cannot find a config called "x"/],
])('%s is refused', async (line, message) => {
  const { shoal } = await session();
  await expect(shoal(line)).rejects.toThrow(message);
});
