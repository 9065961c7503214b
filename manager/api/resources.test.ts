import { expect, test } from 'vitest';
import type { VolumeHome } from '../../src/spec/resource.ts';
import { encodeJsonFrame } from '../../src/wire/frames.ts';
import type { ConfigInfo, NetworkInfo, SecretInfo, VolumeInfo, VolumeRemoval } from '../../src/wire/api.ts';
import { sampleContainer, sampleNetwork, sampleService, sampleTemplate } from '../../test/samples.ts';
import { systemRandom } from '../../src/util/random.ts';
import { planApply } from './apply.ts';
import { startTestManager, until, type TestAgent, type TestIdentity, type TestManager } from '../testing.ts';

const text = Buffer.from('very secret').toString('base64');

test('a network is made, listed, shown and removed', async () => {
  await using manager = await startTestManager();
  const { client } = manager;
  const body = { name: 'proxy', labels: { a: 'b' }, internal: true, subnet: '10.9.0.0/16' };
  const made = await client.request<NetworkInfo>('POST', '/networks', body);
  expect(made).toMatchObject({ spec: body, usedBy: [] });
  expect(made.spec.application).toBeUndefined();
  expect(await client.request('GET', '/networks')).toMatchObject([{ id: made.id }]);
  expect(await client.request('GET', '/networks?application=app')).toEqual([]);
  expect(await client.request('GET', '/networks/proxy')).toMatchObject({ id: made.id });
  await expect(client.request('POST', '/networks', body)).rejects.toMatchObject({ code: 'already_exists' });
  await client.request('DELETE', `/networks/${made.id}`);
  await expect(client.request('GET', '/networks/proxy')).rejects.toMatchObject({ code: 'not_found' });
});

test('the content of a secret never comes back, that of a config does', async () => {
  await using manager = await startTestManager();
  const { client, database } = manager;
  const answers = [
    await client.request<SecretInfo>('POST', '/secrets', { name: 'key', data: text }),
    await client.request<SecretInfo>('GET', '/secrets/key'),
    await client.request<SecretInfo[]>('GET', '/secrets'),
    await client.request<ConfigInfo>('POST', '/configs', { name: 'page', data: text }),
    await client.request<ConfigInfo[]>('GET', '/configs'),
  ];
  expect(JSON.stringify(answers.slice(0, 3))).not.toContain(text);
  expect(answers[3]).toMatchObject({ spec: { name: 'page', data: text } });
  expect(JSON.stringify(answers[4])).not.toContain(text);
  expect([...database.view.secrets.values()]).toMatchObject([{ spec: { data: text } }]);
});

test.each([
  ['networks', { name: '-x' }],
  ['networks', { name: 'host' }],
  ['networks', { name: 'x', subnet: 'here' }],
  ['networks', { name: 'x', subnet: '10.0.0.0/30' }],
  ['networks', { name: 'x', driver: 'macvlan' }],
  ['networks', { name: 'x', extra: 1 }],
  ['volumes', { name: 'a/b' }],
  ['volumes', { name: 'x', driverOptions: { device: '/dev/sdb1' } }],
  ['volumes', { name: 'x', driverOptions: { o: 'bind', device: 'relative' } }],
  ['secrets', { name: 'x', data: '' }],
  ['secrets', { name: 'x', data: '?' }],
  ['secrets', { name: 'x', data: Buffer.alloc(500 * 1024 + 1).toString('base64') }],
  ['configs', { name: 'x' }],
])('among %s the request %j is refused', async (kind, body) => {
  await using manager = await startTestManager();
  await expect(manager.client.request('POST', `/${kind}`, body)).rejects.toMatchObject({
    code: 'invalid_argument',
  });
});

test.each(['a b', '../x', '', '\u001b[31m', 'x'.repeat(129)])(
  'the name %j is refused in plain words',
  async (name) => {
    await using manager = await startTestManager();
    await expect(manager.client.request('POST', '/secrets', { name, data: text })).rejects.toThrow(
      'it must be 1 to 128 letters, digits, _, . and -, and begin with a letter or a digit',
    );
  },
);

test('a network does not overlap another', async () => {
  await using manager = await startTestManager();
  await manager.client.request('POST', '/networks', { name: 'one', subnet: '10.9.0.0/16' });
  const second = manager.client.request('POST', '/networks', { name: 'two', subnet: '10.9.1.0/24' });
  await expect(second).rejects.toThrow('10.9.1.0/24 overlaps 10.9.0.0/16 of network one');
});

test('what a service uses is not removed, and the service is named', async () => {
  await using manager = await startTestManager();
  const { client, database } = manager;
  await client.request('POST', '/secrets', { name: 'key', data: text });
  await client.request('POST', '/networks', { name: 'proxy' });
  const secrets = [{ name: 'key', target: '/key', uid: 0, gid: 0, mode: 0o400 }];
  const task = sampleTemplate({
    container: sampleContainer({ secrets }),
    networks: [{ name: 'proxy', aliases: [] }],
  });
  const web = sampleService('web', { task });
  const network = sampleNetwork('front');
  await database.write([
    [{ kind: 'service', action: 'create', object: web }],
    [{ kind: 'network', action: 'create', object: network }],
  ]);
  for (const path of ['/secrets/key', '/networks/proxy']) {
    expect(await client.request<SecretInfo>('GET', path)).toMatchObject({ usedBy: ['app_web'] });
    await expect(client.request('DELETE', path)).rejects.toMatchObject({
      code: 'failed_precondition',
      message: expect.stringContaining('app_web uses it') as string,
    });
  }
  await expect(client.request('DELETE', '/networks/app_front')).rejects.toThrow(
    /part of the application app/,
  );
});

async function withVolume(manager: TestManager, nodeIds: string[], home?: VolumeHome): Promise<void> {
  await manager.client.request<VolumeInfo>('POST', '/volumes', { name: 'kept' });
  const [volume] = manager.database.view.volumes.values();
  await manager.database.write([
    [{ kind: 'volume', action: 'update', object: { ...volume!, nodeIds, ...(home && { home }) } }],
  ]);
}

/** Answers the removal of a volume as a host does. */
async function answer(agent: TestAgent, frame: Buffer): Promise<void> {
  const asked = await until(() => agent.messages.find((message) => message.type === 'stream'));
  expect(asked.request).toMatchObject({ kind: 'remove-volume', name: 'kept' });
  const socket = await agent.dialBack(asked.streamId);
  socket.send(frame);
  socket.close();
}

test('a volume is removed from every host, and then from the cluster', async () => {
  await using manager = await startTestManager();
  const agents = [
    await manager.agent(await manager.join('worker')),
    await manager.agent(await manager.join('worker')),
  ];
  for (const agent of agents) await agent.greet();
  await withVolume(manager, [agents[0]!.nodeId]);
  const removal = manager.client.request<VolumeRemoval>('DELETE', '/volumes/kept');
  const done = encodeJsonFrame('exit', { exitCode: 0 });
  const [removed] = await Promise.all([removal, ...agents.map((agent) => answer(agent, done))]);
  expect(removed).toEqual({ keptOn: [] });
  expect(manager.database.view.volumes.size).toBe(0);
});

test('every copy of a volume is told, with the node, the size and who uses it', async () => {
  await using manager = await startTestManager();
  const { client, database } = manager;
  const names = ['worker', 'worker', 'worker'] as const;
  const joined = await Promise.all(names.map((role) => manager.join(role)));
  const [first, second, away] = joined as [TestIdentity, TestIdentity, TestIdentity];
  const agents = [await manager.agent(first), await manager.agent(second)];
  for (const agent of agents) await agent.greet();
  const nodeIds = joined.map(({ nodeId }) => nodeId);
  await withVolume(manager, nodeIds, { nodeId: first.nodeId, hostname: 'x' });
  const found = client.request<VolumeInfo>('GET', '/volumes/kept?copies=true');
  for (const [index, agent] of agents.entries()) {
    const asked = await until(() => agent.messages.find((message) => message.type === 'stream'));
    expect(asked.request).toEqual({ kind: 'list-volumes', name: 'kept' });
    const socket = await agent.dialBack(asked.streamId);
    socket.send(encodeJsonFrame('volume', { name: 'kept', bytes: 5 + index, unusedMs: 60_000 }));
    socket.send(encodeJsonFrame('exit', { exitCode: 0 }));
    socket.close();
  }
  const { copies = [] } = await found;
  const told = Object.fromEntries(copies.map(({ nodeId, node: _node, ...copy }) => [nodeId, copy]));
  const used = { lastUsedAt: expect.any(Number) as number, usedBy: [] };
  expect(told).toEqual({
    [first.nodeId]: { state: 'current', bytes: 5, ...used },
    [second.nodeId]: { state: 'stale', bytes: 6, ...used },
    [away.nodeId]: { state: 'stale', usedBy: [], unknown: 'the node is unknown' },
  });
  expect(database.view.volumes.size).toBe(1);
});

test('nobody waits for the hosts of a volume that is being removed, and nothing new may use it', async () => {
  await using manager = await startTestManager();
  const { client, database } = manager;
  const agent = await manager.agent(await manager.join('worker'));
  await agent.greet();
  await withVolume(manager, [agent.nodeId]);
  const removal = client.request<VolumeRemoval>('DELETE', '/volumes/kept');
  await until(() => agent.messages.some((message) => message.type === 'stream'));
  await client.request('POST', '/volumes', { name: 'other' });
  const empty = { name: 'app', services: [], networks: [], volumes: [], secrets: [], configs: [] };
  await client.request('PUT', '/applications/app', empty);
  const spec = { name: 'kept', labels: {} };
  const { beingRemoved } = planApply(
    database.view,
    { ...empty, volumes: [spec] },
    { now: 0, random: systemRandom },
  );
  expect(beingRemoved).toEqual(['volume kept']);
  expect(() =>
    planApply(
      database.view,
      { ...empty, external: { networks: [], volumes: ['kept'], secrets: [], configs: [] } },
      { now: 0, random: systemRandom },
    ),
  ).toThrow(/volume kept/);
  await answer(agent, encodeJsonFrame('exit', { exitCode: 0 }));
  expect(await removal).toEqual({ keptOn: [] });
  expect([...database.view.volumes.values()].map((volume) => volume.spec.name)).toEqual(['other']);
});

test('a volume stays when a host cannot remove it', async () => {
  await using manager = await startTestManager();
  const agent = await manager.agent(await manager.join('worker'));
  await agent.greet();
  await withVolume(manager, [agent.nodeId]);
  const removal = manager.client.request('DELETE', '/volumes/kept').catch((error: unknown) => error);
  await answer(agent, encodeJsonFrame('error', { code: 'internal', message: 'the disk is broken' }));
  expect(await removal).toMatchObject({ message: expect.stringMatching(/the disk is broken/) as string });
  expect(manager.database.view.volumes.size).toBe(1);
  expect([...manager.database.view.volumes.values()][0]).not.toHaveProperty('removing');
});

test('data on a host that is away is left there only by force', async () => {
  await using manager = await startTestManager();
  const { nodeId } = await manager.join('worker');
  await withVolume(manager, [nodeId]);
  await expect(manager.client.request('DELETE', '/volumes/kept')).rejects.toMatchObject({
    code: 'failed_precondition',
  });
  const kept = await manager.client.request<VolumeRemoval>('DELETE', '/volumes/kept?force=true');
  expect(kept.keptOn).toHaveLength(1);
  expect(manager.database.view.volumes.size).toBe(0);
});
