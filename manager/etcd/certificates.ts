import { X509Certificate } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceDurably, syncFolder, writeDurably } from '../../src/util/durable.ts';
import { systemRandom } from '../../src/util/random.ts';
import { certificateFiles } from '../../src/wire/certificates.ts';
import { createStoreCertificate, type Authority } from '../ca/authority.ts';
import type { EtcdTls } from '../store/etcd/client.ts';
import type { EtcdFlags } from './flags.ts';

const linkName = 'certificates';
const authorityName = 'authority.json';
const dayMs = 24 * 60 * 60 * 1000;
/** Half of a certificate's life: made anew then. */
const leastLeftMs = 182 * dayMs;
const loopback = '127.0.0.1';

/** Where the files of a member's certificate are, whichever it has now. */
export function certificatePaths(folder: string): EtcdFlags['certificates'] {
  const path = (name: string) => join(folder, linkName, name);
  return {
    authority: path(certificateFiles.authority),
    certificate: path(certificateFiles.certificate),
    privateKey: path(certificateFiles.privateKey),
  };
}

/** A key and certificate with which a manager uses etcd, good for a year. */
export async function createStoreTls(authority: Authority, nowMs: number): Promise<EtcdTls> {
  const own = await createStoreCertificate(authority, { kind: 'client' }, nowMs);
  return { authorityPem: authority.certificatePem, ...own };
}

/**
 * Makes the member's certificate where there is none, it is of another authority or address, or half of its life is over.
 * The files change together, for the folder is replaced; etcd reads them at each new connection. `nowMs` is since the epoch.
 */
export async function ensureMemberCertificate(
  folder: string,
  authority: Authority,
  address: string,
  nowMs: number,
): Promise<void> {
  if (await isGood(folder, authority, address, nowMs)) return;
  // Peers look for the address that a connection comes from; to an address of loopback it comes from the first one.
  const addresses = [...new Set([address, loopback])];
  const { certificatePem, privateKeyPem } = await createStoreCertificate(
    authority,
    { kind: 'member', addresses },
    nowMs,
  );
  const name = `${linkName}-${systemRandom.id()}`;
  const path = join(folder, name);
  await mkdir(path, { mode: 0o700 });
  await writeDurably(join(path, certificateFiles.authority), authority.certificatePem);
  await writeDurably(join(path, certificateFiles.certificate), certificatePem);
  await writeDurably(join(path, certificateFiles.privateKey), privateKeyPem);
  await syncFolder(path);
  const link = join(folder, linkName);
  await rm(`${link}.new`, { force: true });
  await symlink(name, `${link}.new`);
  await rename(`${link}.new`, link);
  await syncFolder(folder);
  for (const each of await readdir(folder)) {
    if (each.startsWith(`${linkName}-`) && each !== name) await rm(join(folder, each), { recursive: true });
  }
}

async function isGood(
  folder: string,
  authority: Authority,
  address: string,
  nowMs: number,
): Promise<boolean> {
  try {
    const paths = certificatePaths(folder);
    const stored = await readFile(paths.authority, 'utf8');
    const certificate = new X509Certificate(await readFile(paths.certificate));
    await readFile(paths.privateKey);
    const leftMs = certificate.validToDate.getTime() - nowMs;
    // one that is good for longer than one made now was made by a clock that was ahead
    const isInTime = leftMs > leastLeftMs && leftMs < 2 * leastLeftMs + 3 * dayMs;
    return stored === authority.certificatePem && isInTime && certificate.checkIP(address) !== undefined;
  } catch {
    return false; // not there, or not whole: made anew
  }
}

/**
 * Keeps etcd's authority beside its data, readable by root alone as the data is. A manager must find its store again with
 * nobody there to ask, and in the store itself the authority cannot be read before.
 */
export async function keepAuthority(folder: string, authority: Authority): Promise<void> {
  if ((await keptAuthority(folder))?.privateKeyPem === authority.privateKeyPem) return;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await replaceDurably(join(folder, authorityName), `${JSON.stringify(authority)}\n`);
}

/** The authority that `keepAuthority` has kept; undefined when there is none. */
export async function keptAuthority(folder: string): Promise<Authority | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, authorityName), 'utf8')) as Authority;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
