import { webcrypto, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { customAlphabet } from 'nanoid';
import type { AdministratorRole } from '../../src/spec/administrator.ts';
import type { Cluster } from '../../src/spec/cluster.ts';
import type { NodeRole } from '../../src/spec/node.ts';
import { ShoalError } from '../../src/util/errors.ts';
import {
  administratorUnit,
  certificateLifeMs,
  createKeyAndRequest,
  exportPrivateKey,
  keyAlgorithm,
  managerServerName,
  storeClientName,
  storeMemberCommonName,
  storeServerName,
  signingAlgorithm,
} from '../../src/wire/certificates.ts';
import { loadX509 } from '../../src/wire/x509.ts';

const dayMs = 24 * 60 * 60 * 1000;
const yearMs = 365.25 * dayMs;
const rootLifeMs = 20 * yearMs;
/**
 * How long before it was made the root is valid, and with it all that it signs. A clock that was ahead when a certificate
 * was made must not leave one that is not valid yet when the clock is right: nobody could use it to get another. That a
 * certificate counts is up to the store; only its end is up to the clock.
 */
const rootBackdateMs = 10 * yearMs;
/** A clock that is set by less than this was right. */
const clockSlackMs = 60 * 60 * 1000;
/** A cluster that has slept for months must find its store again without anybody to ask for new certificates. */
const storeCertificateLifeMs = yearMs;
/** A request for a P-256 key takes some 400 bytes. */
const requestBytesMax = 8 * 1024;

export type Authority = Cluster['certificateAuthority'];

const nextSecret = customAlphabet('0123456789abcdefghijklmnopqrstuvwxyz', 25);

/** A fresh secret half for a join token: 129 bits of the machine's randomness. */
export function createJoinSecret(): string {
  return nextSecret();
}

/** A new cluster's root: a P-256 key and a self-signed certificate for 20 years. `nowMs` is since the epoch. */
export async function createAuthority(clusterId: string, nowMs: number): Promise<Authority> {
  const x509 = await loadX509();
  const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ O: [clusterId] }, { CN: ['Shoal cluster CA'] }],
    keys,
    notBefore: new Date(nowMs - rootBackdateMs),
    notAfter: new Date(nowMs + rootLifeMs),
    signingAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return {
    certificatePem: certificate.toString('pem'),
    privateKeyPem: await exportPrivateKey(keys.privateKey),
  };
}

export interface NodeIdentity {
  clusterId: string;
  nodeId: string;
  role: NodeRole;
}

/**
 * Signs a request as a node's client certificate for 90 days: CN is the node, OU its role, O the cluster. It carries no
 * name and no server usage, so that it can never pass for a manager's. Throws `invalid_argument` for a request that is
 * malformed, not signed by its own key, or for another kind of key.
 */
export async function signNodeCertificate(
  authority: Authority,
  identity: NodeIdentity,
  certificateRequestPem: string,
  nowMs: number,
): Promise<string> {
  const publicKey = await publicKeyOf(certificateRequestPem);
  const what = { usage: 'client' as const, untilMs: nowMs + certificateLifeMs };
  return await sign(authority, subjectOf(identity), publicKey, what);
}

export interface AdministratorIdentity {
  clusterId: string;
  name: string;
  role: AdministratorRole;
}

/**
 * Signs a request as an administrator's client certificate until `expiresAt`: CN is the name, OU says that it is an
 * administrator's and which role, O the cluster. Throws as `signNodeCertificate` does.
 */
export async function signAdministratorCertificate(
  authority: Authority,
  identity: AdministratorIdentity,
  certificateRequestPem: string,
  expiresAt: number,
): Promise<string> {
  const publicKey = await publicKeyOf(certificateRequestPem);
  const { clusterId, name, role } = identity;
  const subject: Subject = [{ O: [clusterId] }, { OU: [administratorUnit] }, { OU: [role] }, { CN: [name] }];
  return await sign(authority, subject, publicKey, { usage: 'client', untilMs: expiresAt });
}

/**
 * Whether a certificate of this authority is to be made anew: half of its life is over, or it ends later than one made now
 * would, because the clock was ahead when it was made.
 */
export function isDue(certificatePem: string, nowMs: number): boolean {
  const leftMs = new X509Certificate(certificatePem).validToDate.getTime() - nowMs;
  return leftMs < certificateLifeMs / 2 || leftMs > certificateLifeMs + clockSlackMs;
}

/** A key and certificate for the manager's own server: the manager's name, and the addresses at which it is reached. */
export async function createServerCertificate(
  authority: Authority,
  clusterId: string,
  addresses: string[],
  nowMs: number,
): Promise<{ certificatePem: string; privateKeyPem: string }> {
  const { privateKeyPem, certificateRequestPem } = await createKeyAndRequest();
  const publicKey = await publicKeyOf(certificateRequestPem);
  const identity: NodeIdentity = { clusterId, nodeId: 'manager', role: 'manager' };
  const names = [
    { type: 'dns' as const, value: managerServerName },
    { type: 'dns' as const, value: 'localhost' },
    ...['127.0.0.1', ...addresses].map((value) => ({
      type: isIP(value) > 0 ? ('ip' as const) : ('dns' as const),
      value,
    })),
  ];
  const what = { usage: 'server' as const, names, untilMs: nowMs + certificateLifeMs };
  const certificatePem = await sign(authority, subjectOf(identity), publicKey, what);
  return { certificatePem, privateKeyPem };
}

/**
 * A key and certificate for a member of etcd at these addresses, as a server and to other members, or for a manager that uses
 * it. `authority` is etcd's own, never the cluster's: etcd lets in whoever its authority has signed.
 */
export async function createStoreCertificate(
  authority: Authority,
  what: { kind: 'member'; addresses: string[] } | { kind: 'client' },
  nowMs: number,
): Promise<{ certificatePem: string; privateKeyPem: string }> {
  const { privateKeyPem, certificateRequestPem } = await createKeyAndRequest();
  const publicKey = await publicKeyOf(certificateRequestPem);
  const isMember = what.kind === 'member';
  const names = isMember
    ? [
        { type: 'dns' as const, value: storeServerName },
        ...what.addresses.map((value) => ({ type: 'ip' as const, value })),
      ]
    : [{ type: 'dns' as const, value: storeClientName }];
  const subject = [{ CN: [isMember ? storeMemberCommonName : 'manager'] }];
  const usage = isMember ? ('both' as const) : ('client' as const);
  const certificatePem = await sign(authority, subject, publicKey, {
    usage,
    names,
    untilMs: nowMs + storeCertificateLifeMs,
  });
  return { certificatePem, privateKeyPem };
}

type Subject = Record<string, string[]>[];

function subjectOf({ clusterId, nodeId, role }: NodeIdentity): Subject {
  return [{ O: [clusterId] }, { OU: [role] }, { CN: [nodeId] }];
}

async function publicKeyOf(certificateRequestPem: string): Promise<webcrypto.CryptoKey> {
  const { Pkcs10CertificateRequest } = await loadX509();
  const refuse = (why: string, cause?: unknown) =>
    new ShoalError('invalid_argument', `Cannot sign the certificate request: ${why}`, { cause });
  if (certificateRequestPem.length > requestBytesMax) throw refuse(`it is over ${requestBytesMax} bytes`);
  try {
    const request = new Pkcs10CertificateRequest(certificateRequestPem);
    const key = await request.publicKey.export(keyAlgorithm, ['verify']);
    if (await request.verify()) return key;
  } catch (cause) {
    throw refuse('it is malformed, or not for a P-256 key', cause);
  }
  throw refuse('it is not signed by its own key');
}

interface Certified {
  usage: 'client' | 'server' | 'both';
  untilMs: number;
  names?: { type: 'dns' | 'ip'; value: string }[];
}

async function sign(
  authority: Authority,
  subject: Subject,
  publicKey: webcrypto.CryptoKey,
  { usage, untilMs, names = [] }: Certified,
): Promise<string> {
  const x509 = await loadX509();
  const root = new x509.X509Certificate(authority.certificatePem);
  const signingKey = await webcrypto.subtle.importKey(
    'pkcs8',
    x509.PemConverter.decodeFirst(authority.privateKeyPem),
    keyAlgorithm,
    false,
    ['sign'],
  );
  const certificate = await x509.X509CertificateGenerator.create({
    subject,
    issuer: root.subject,
    publicKey,
    signingKey,
    signingAlgorithm,
    notBefore: root.notBefore,
    notAfter: new Date(untilMs),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(
        usage === 'both'
          ? [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]
          : [x509.ExtendedKeyUsage[`${usage}Auth`]],
      ),
      await x509.AuthorityKeyIdentifierExtension.create(root.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  return certificate.toString('pem');
}
