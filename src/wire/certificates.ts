import { createHash, webcrypto, X509Certificate } from 'node:crypto';
import { ShoalError } from '../util/errors.ts';
import { loadX509 } from './x509.ts';

/**
 * The DNS name in every manager's server certificate, and in no other certificate of the cluster: agents connect with
 * it as the server name, so that a worker's certificate can never pass for a manager's.
 */
export const managerServerName = 'manager.shoal';

/** The DNS name in the certificate of every member of our own etcd. */
export const storeServerName = 'etcd.shoal';
/** The common name in it: what members ask of each other. */
export const storeMemberCommonName = 'etcd-peer';
/** The DNS name in the certificate with which a manager uses etcd, and in no other. */
export const storeClientName = 'store.etcd.shoal';

/**
 * First organizational unit (OU) in the certificate of an administrator; the second is the role. A node's certificate
 * has the node's role alone there.
 */
export const administratorUnit = 'administrator';

/** What the files of a node's certificates folder (mode 0700) are called. */
export const certificateFiles = {
  authority: 'ca.pem',
  certificate: 'cert.pem',
  privateKey: 'key.pem',
} as const;

/** How long the certificates of nodes and of the manager's server are good for. */
export const certificateLifeMs = 90 * 24 * 60 * 60 * 1000;

/** Keys and signatures of the cluster: ECDSA on P-256 with SHA-256. */
export const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const;
export const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' } as const;

const tokenPrefix = 'SHOAL-1';
/** 25 lower-case letters and digits: 129 bits. */
const secretPattern = /^[0-9a-z]{25}$/;
const digestPattern = /^[0-9a-f]{64}$/;

export interface JoinToken {
  /** SHA-256 of the cluster CA's DER, 64 hex digits. */
  caDigest: string;
  secret: string;
}

/** A private key in PKCS #8 PEM: a secret, for a file of mode 0600. */
export async function exportPrivateKey(key: webcrypto.CryptoKey): Promise<string> {
  const base64 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${base64.replace(/.{64}(?=.)/g, '$&\n')}\n-----END PRIVATE KEY-----\n`;
}

/**
 * A fresh P-256 key and a certificate request (PKCS #10, RFC 2986) signed by it. The request names nobody: who the
 * certificate is for is decided by the manager that signs it.
 */
export async function createKeyAndRequest(): Promise<{
  privateKeyPem: string;
  certificateRequestPem: string;
}> {
  const { Pkcs10CertificateRequestGenerator } = await loadX509();
  const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: 'CN=shoal',
    keys,
    signingAlgorithm,
  });
  return {
    privateKeyPem: await exportPrivateKey(keys.privateKey),
    certificateRequestPem: request.toString('pem'),
  };
}

/** SHA-256 of the certificate's DER as 64 hex digits: what a join token pins. Throws `invalid_argument` for anything but a certificate. */
export function caDigest(certificatePem: string): string {
  try {
    return createHash('sha256').update(new X509Certificate(certificatePem).raw).digest('hex');
  } catch (cause) {
    throw new ShoalError('invalid_argument', 'Cannot read the certificate of the cluster CA', { cause });
  }
}

/** `SHOAL-1-<CA digest, hex>-<secret>`. */
export function formatJoinToken(token: JoinToken): string {
  return `${tokenPrefix}-${token.caDigest}-${token.secret}`;
}

/** Takes a join token apart; throws `invalid_argument`. The error never repeats the token. */
export function parseJoinToken(text: string): JoinToken {
  const [name, version, caDigest = '', secret = '', ...rest] = text.trim().split('-');
  const wellFormed = rest.length === 0 && digestPattern.test(caDigest) && secretPattern.test(secret);
  if (`${name}-${version}` !== tokenPrefix || !wellFormed) {
    throw new ShoalError(
      'invalid_argument',
      `Cannot read the join token: it must look like ${tokenPrefix}-<64 hex digits>-<25 letters and digits>`,
      { next: 'Run `shoal token worker` on a manager and copy the whole token.' },
    );
  }
  return { caDigest, secret };
}
