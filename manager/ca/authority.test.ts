import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { certificateLifeMs, createKeyAndRequest } from '../../src/wire/certificates.ts';
import { createAuthority, createServerCertificate, isDue, signNodeCertificate } from './authority.ts';

const now = Date.UTC(2026, 10, 30);
const hourMs = 60 * 60 * 1000;
const yearMs = 365 * 24 * hourMs;

/** The certificates that a manager makes whose clock is `aheadMs` ahead. */
async function certificatesOf(aheadMs: number): Promise<X509Certificate[]> {
  const authority = await createAuthority('cluster', now + aheadMs);
  const { certificateRequestPem } = await createKeyAndRequest();
  const identity = { clusterId: 'cluster', nodeId: 'node', role: 'worker' as const };
  const pems = [
    authority.certificatePem,
    (await createServerCertificate(authority, 'cluster', [], now + aheadMs)).certificatePem,
    await signNodeCertificate(authority, identity, certificateRequestPem, now + aheadMs),
  ];
  return pems.map((pem) => new X509Certificate(pem));
}

test('what was made while the clock was ahead is valid when the clock is right again', async () => {
  for (const aheadMs of [0, 2 * hourMs, 40 * 24 * hourMs, 5 * yearMs]) {
    for (const { validFromDate, validToDate } of await certificatesOf(aheadMs)) {
      expect(validFromDate.getTime()).toBeLessThan(now - yearMs);
      expect(validToDate.getTime()).toBeGreaterThan(now + certificateLifeMs - hourMs);
    }
  }
});

test('the certificate of the server is made anew after half its life, and when the clock was set', async () => {
  const authority = await createAuthority('cluster', now);
  const { certificatePem } = await createServerCertificate(authority, 'cluster', [], now);
  expect(isDue(certificatePem, now)).toBe(false);
  expect(isDue(certificatePem, now + certificateLifeMs / 2 - hourMs)).toBe(false);
  expect(isDue(certificatePem, now + certificateLifeMs / 2 + hourMs)).toBe(true);
  expect(isDue(certificatePem, now + yearMs)).toBe(true); // it was made while the clock was behind
  expect(isDue(certificatePem, now - 2 * hourMs)).toBe(true); // or ahead
});
