import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import {
  createKeyAndRequest,
  formatJoinToken,
  managerServerName,
  parseJoinToken,
} from '../../src/wire/certificates.ts';
import { startTestManager } from '../testing.ts';

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

test('a second manager is refused with what to do instead', async () => {
  await using manager = await startTestManager();
  const agent = await manager.agent(await manager.join('manager'));
  await agent.greet();
  await expect(manager.join('manager')).rejects.toMatchObject({
    code: 'not_supported',
    next: expect.stringContaining('worker') as string,
  });
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
