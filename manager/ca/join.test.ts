import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import {
  createKeyAndRequest,
  formatJoinToken,
  managerServerName,
  parseJoinToken,
} from '../../src/wire/certificates.ts';
import { nodeSatisfies, parseConstraint } from '../../src/spec/constraint.ts';
import type { JoinAnswer } from '../../src/wire/api.ts';
import { sampleNode } from '../../test/samples.ts';
import { helloOf, startTestManager, until } from '../testing.ts';
import { wrongTokensPerMinuteMax } from './join.ts';

async function joinBody(token: string) {
  const { certificateRequestPem } = await createKeyAndRequest();
  return { token, certificateRequestPem, hostname: 'host' };
}

test('a worker token makes a worker with a client certificate of its own', async () => {
  await using manager = await startTestManager();
  const answer = await manager.join('worker');
  expect(manager.database.view.nodes.get(answer.nodeId)).toMatchObject({
    role: 'worker',
    status: { state: 'unknown' },
  });
  const certificate = new X509Certificate(answer.certificatePem);
  expect(certificate.subject.split('\n').sort()).toEqual([
    `CN=${answer.nodeId}`,
    `O=${answer.clusterId}`,
    'OU=worker',
  ]);
  expect(certificate.verify(new X509Certificate(answer.certificateAuthorityPem).publicKey)).toBe(true);
  const days = (certificate.validToDate.getTime() - systemClock.now()) / 86_400_000;
  expect(days).toBeCloseTo(90, 1);
});

test('no node certificate can pass for a manager', async () => {
  await using manager = await startTestManager();
  for (const role of ['worker', 'manager'] as const) {
    const certificate = new X509Certificate((await manager.join(role)).certificatePem);
    expect(certificate.checkHost(managerServerName)).toBeUndefined();
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']); // client authentication only
  }
});

test('a wrong secret is refused, and makes no node', async () => {
  await using manager = await startTestManager();
  const { caDigest } = parseJoinToken(manager.token('worker'));
  const body = await joinBody(formatJoinToken({ caDigest, secret: 'a'.repeat(25) }));
  await expect(manager.call('/join', undefined, body)).rejects.toMatchObject({ code: 'unauthenticated' });
  expect(manager.database.view.nodes.size).toBe(0);
});

test('a token of another cluster is refused', async () => {
  await using manager = await startTestManager();
  const { secret } = parseJoinToken(manager.token('worker'));
  const body = await joinBody(formatJoinToken({ caDigest: 'ab'.repeat(32), secret }));
  await expect(manager.call('/join', undefined, body)).rejects.toThrow(/another cluster/);
});

test('a malformed certificate request is refused, and makes no node', async () => {
  await using manager = await startTestManager();
  const body = { token: manager.token('worker'), certificateRequestPem: 'hello', hostname: 'host' };
  await expect(manager.call('/join', undefined, body)).rejects.toMatchObject({ code: 'invalid_argument' });
  expect(manager.database.view.nodes.size).toBe(0);
});

test('a rotated token no longer joins, and the new one does', async () => {
  await using manager = await startTestManager();
  const old = manager.token('worker');
  await manager.client.request('POST', '/tokens/worker/rotate');
  const answer = manager.call('/join', undefined, await joinBody(old));
  await expect(answer).rejects.toMatchObject({ code: 'unauthenticated' });
  await expect(manager.join('worker')).resolves.toMatchObject({ role: 'worker' });
});

test('a host killed in the middle of its init joins again as the same manager', async () => {
  await using manager = await startTestManager();
  const first = await manager.join('manager');
  const second = await manager.join('manager');
  expect(second.nodeId).toBe(first.nodeId);
  expect(manager.database.view.nodes.size).toBe(1);
});

test('the second manager joins with advice, and there are never more than five', async () => {
  await using manager = await startTestManager();
  const first = await manager.join('manager', 'a');
  await (await manager.agent(first)).greet();
  expect(first.advice).toBeUndefined();
  const second = await manager.join('manager', 'b');
  expect(second).toMatchObject({
    role: 'manager',
    advice: expect.stringMatching(/standby.*Add a third/) as string,
  });
  expect(second.nodeId).not.toBe(first.nodeId);
  const body = {
    ...(await joinBody(manager.token('manager'))),
    hostname: 'x',
    address: '192.0.2.7',
    managerPort: 1,
  };
  const { nodeId } = (await manager.call('/join', undefined, body)) as JoinAnswer;
  expect(manager.database.view.nodes.get(nodeId)?.manager).toEqual({ address: '192.0.2.7:1' });
  expect((await manager.join('manager', 'd')).advice).toMatch(/A fifth makes it two/);
  await manager.join('manager', 'e');
  await expect(manager.join('manager', 'f')).rejects.toMatchObject({ code: 'failed_precondition' });
});

test('a node renews its certificate with the one it has, and stays who it is', async () => {
  await using manager = await startTestManager();
  const identity = await manager.join('worker');
  const { certificateRequestPem } = await createKeyAndRequest();
  const answer = await manager.call('/renew', identity, { certificateRequestPem });
  expect(answer).toMatchObject({ nodeId: identity.nodeId, role: 'worker' });
  await expect(manager.call('/renew', undefined, { certificateRequestPem })).rejects.toMatchObject({
    code: 'unauthenticated',
  });
});

test('a host keeps the name it joined with, whatever it says later, and attracts no task that is meant for another', async () => {
  await using manager = await startTestManager();
  const [database, web] = [await manager.join('worker', 'database'), await manager.join('worker', 'web')];
  const [honest, forger] = [await manager.agent(database), await manager.agent(web)];
  await honest.greet('192.0.2.1');
  const said = sampleNode('database').description!;
  forger.send(
    helloOf({
      ...said,
      address: '127.0.0.1',
      engine: { ...said.engine, labels: { 'node.labels.disk': 'ssd', disk: 'ssd' } },
    }),
  );
  await until(() => forger.sequence > 0);
  const { nodes } = manager.database.view;
  const allowed = (text: string) =>
    [...nodes.values()].filter((node) => nodeSatisfies(node, parseConstraint(text))).map(({ id }) => id);
  expect(allowed('node.hostname == database')).toEqual([database.nodeId]);
  expect(allowed('node.hostname == DATABASE')).toEqual([database.nodeId]);
  expect(allowed('node.hostname == web')).toEqual([web.nodeId]);
  // Labels of the engine are what the host says of itself; those of the node are what an administrator said.
  expect(allowed('node.labels.disk == ssd')).toEqual([]);
  expect(allowed('engine.labels.disk == ssd')).toEqual([web.nodeId]);
});

test('no second host joins by a name that is taken, also by an id; once its node is removed it may', async () => {
  await using manager = await startTestManager();
  const first = await manager.join('worker', 'database');
  const agent = await manager.agent(first);
  await agent.greet();
  const taken = { code: 'already_exists', next: expect.stringContaining('shoal node rm') as string };
  await expect(manager.join('worker', 'DataBase')).rejects.toMatchObject(taken);
  await expect(manager.join('worker', first.nodeId)).rejects.toMatchObject(taken);
  agent.close();
  await manager.database.write([
    [{ kind: 'node', action: 'delete', object: manager.database.view.nodes.get(first.nodeId)! }],
  ]);
  await expect(manager.join('worker', 'database')).resolves.toMatchObject({ role: 'worker' });
});

test('a host whose join was cut off joins again by its name, and what was made the first time counts no more', async () => {
  await using manager = await startTestManager();
  const lost = await manager.join('worker', 'database');
  const second = await manager.join('worker', 'database');
  expect([...manager.database.view.nodes.keys()]).toEqual([second.nodeId]);
  await expect(manager.agent(lost)).rejects.toThrow(/401/);
});

test.each(['', 'a b', '-x', 'a\nb', '\u001b[2J', 'x'.repeat(300)])(
  'no host joins as %j',
  async (hostname) => {
    await using manager = await startTestManager();
    const body = { ...(await joinBody(manager.token('worker'))), hostname };
    await expect(manager.call('/join', undefined, body)).rejects.toMatchObject({ code: 'invalid_argument' });
  },
);

test('a node that joined before names were kept gets the one it says, or one of its own where that is taken', async () => {
  await using manager = await startTestManager();
  const [old, other] = [await manager.join('worker'), await manager.join('worker', 'database')];
  const nameless = { ...manager.database.view.nodes.get(old.nodeId)!, name: undefined };
  await manager.database.write([[{ kind: 'node', action: 'update', object: nameless }]]);
  const agent = await manager.agent(old);
  agent.send(helloOf({ ...sampleNode('database').description!, address: '127.0.0.1' }));
  await until(() => agent.sequence > 0);
  const names = [old, other].map(({ nodeId }) => manager.database.view.nodes.get(nodeId)?.name);
  expect(names).toEqual([`database-${old.nodeId}`, 'database']);
});

test('after too many wrong tokens from one address not even the right one is taken from there for a minute', async () => {
  await using manager = await startTestManager();
  const { caDigest } = parseJoinToken(manager.token('worker'));
  const wrong = await joinBody(formatJoinToken({ caDigest, secret: 'a'.repeat(25) }));
  for (let attempt = 0; attempt < wrongTokensPerMinuteMax; attempt++) {
    await expect(manager.call('/join', undefined, wrong)).rejects.toMatchObject({ code: 'unauthenticated' });
  }
  const right = await joinBody(manager.token('worker'));
  await expect(manager.call('/join', undefined, right)).rejects.toMatchObject({ code: 'resource_exhausted' });
  expect(manager.database.view.nodes.size).toBe(0);
  await expect(manager.join('worker')).resolves.toMatchObject({ role: 'worker' }); // from elsewhere
});

test('no host joins with an address that is not its own: it is told what to do, and heard once that was done', async () => {
  await using manager = await startTestManager();
  const { privateKeyPem, certificateRequestPem } = await createKeyAndRequest();
  const address = '203.0.113.7';
  const body = { token: manager.token('worker'), certificateRequestPem, hostname: 'host', address };
  const answer = (await manager.call('/join', undefined, body)) as JoinAnswer;
  const approval = `shoal node update --address ${address} ${answer.nodeId}`;
  expect(answer.notice).toContain(approval);
  const description = { ...sampleNode('host').description!, hostname: 'host', address };
  const refused = await manager.agent({ ...answer, privateKeyPem });
  refused.send(helloOf(description));
  await until(() => refused.closed);
  expect(refused.messages).toEqual([expect.objectContaining({ type: 'refused' })]);
  expect(manager.database.view.nodes.get(answer.nodeId)?.description).toBeUndefined();
  await manager.client.request('PATCH', `/nodes/${answer.nodeId}`, { address });
  const heard = await manager.agent({ ...answer, privateKeyPem });
  heard.send(helloOf(description));
  await until(() => heard.sequence > 0);
});

test('the address of a node that is down is not joined with, and nothing has to be done for one of its own', async () => {
  await using manager = await startTestManager();
  const away = await manager.join('worker', 'away');
  const agent = await manager.agent(away);
  await agent.greet('127.0.0.2');
  agent.close();
  const node = manager.database.view.nodes.get(away.nodeId)!;
  const down = { ...node, status: { state: 'down', since: 0, message: '' } } as const;
  await manager.database.write([[{ kind: 'node', action: 'update', object: down }]]);
  const body = { ...(await joinBody(manager.token('worker'))), hostname: 'other' };
  await expect(manager.call('/join', undefined, { ...body, address: '127.0.0.2' })).rejects.toMatchObject({
    code: 'already_exists',
    next: expect.stringContaining(`shoal node rm ${away.nodeId}`) as string,
  });
  const own = (await manager.call('/join', undefined, { ...body, address: '127.0.0.1' })) as JoinAnswer;
  expect(own.notice).toBeUndefined();
});
