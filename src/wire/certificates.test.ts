import { X509Certificate } from 'node:crypto';
import { createPrivateKey } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ShoalError } from '../util/errors.ts';
import { caDigest, createKeyAndRequest, formatJoinToken, parseJoinToken } from './certificates.ts';
import { loadX509 } from './x509.ts';

describe('certificates', () => {
  test('createKeyAndRequest() makes a P-256 key and a request that its key signed', async () => {
    const { privateKeyPem, certificateRequestPem } = await createKeyAndRequest();
    const key = createPrivateKey(privateKeyPem);
    expect(key.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    const { Pkcs10CertificateRequest } = await loadX509();
    expect(await new Pkcs10CertificateRequest(certificateRequestPem).verify()).toBe(true);
  });

  test('caDigest() is the SHA-256 of the DER, as OpenSSL prints it', async () => {
    const { X509CertificateGenerator } = await loadX509();
    const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, [
      'sign',
      'verify',
    ]);
    const pem = (await X509CertificateGenerator.createSelfSigned({ name: 'CN=test', keys })).toString('pem');
    const fingerprint = new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase();
    expect(caDigest(pem)).toBe(fingerprint);
  });

  test('caDigest() refuses what is not a certificate', () => {
    expect(() => caDigest('hello')).toThrow(ShoalError);
  });
});

describe('join tokens', () => {
  const token = { caDigest: 'ab'.repeat(32), secret: 'x1'.repeat(12) + 'y' };

  test('a token survives being formatted and parsed', () => {
    expect(parseJoinToken(` ${formatJoinToken(token)}\n`)).toEqual(token);
  });

  test.each([
    '',
    'SHOAL-1',
    'SHOAL-2-' + 'ab'.repeat(32) + '-' + token.secret,
    `${formatJoinToken(token)}-x`,
    formatJoinToken(token).slice(0, -1),
  ])('a malformed token (%#) is refused without being repeated', (text) => {
    expect(() => parseJoinToken(text)).toThrow(/^Cannot read the join token/);
    expect(() => parseJoinToken(text)).not.toThrow(token.secret);
  });
});
