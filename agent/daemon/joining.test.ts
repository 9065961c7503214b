import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { createAuthority, signNodeCertificate } from '../../manager/ca/authority.ts';
import { certificateLifeMs, createKeyAndRequest } from '../../src/wire/certificates.ts';
import { renewalTime } from './joining.ts';

const dayMs = 24 * 60 * 60 * 1000;

test('a certificate is renewed between half and four fifths of its life, whatever its beginning says', async () => {
  const now = Date.UTC(2026, 10, 30);
  const authority = await createAuthority('cluster', now - 3 * 365 * dayMs);
  const { certificateRequestPem } = await createKeyAndRequest();
  const identity = { clusterId: 'cluster', nodeId: 'node', role: 'worker' as const };
  const pem = await signNodeCertificate(authority, identity, certificateRequestPem, now);
  expect(new X509Certificate(pem).validFromDate.getTime()).toBeLessThan(now - 365 * dayMs);
  const at = (chance: number) =>
    (renewalTime(pem, { next: () => chance, id: () => '' }) - now) / certificateLifeMs;
  expect([at(0), at(0.5), at(1)].map((share) => share.toFixed(2))).toEqual(['0.50', '0.65', '0.80']);
});
