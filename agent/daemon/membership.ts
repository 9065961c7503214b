import { mkdir, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeRole } from '../../src/spec/node.ts';
import { replaceDurably, syncFolder, writeDurably } from '../../src/util/durable.ts';
import { systemRandom } from '../../src/util/random.ts';
import { certificateFiles } from '../../src/wire/certificates.ts';
import type { Credentials } from '../session/session.ts';

/** Which node of which cluster this host is. */
export interface Membership {
  nodeId: string;
  role: NodeRole;
  clusterId: string;
  /** Address of this host on the underlay. */
  advertiseAddress: string;
  /** `HOST:PORT` of the managers. */
  managerAddresses: string[];
}

export interface Identity {
  membership: Membership;
  credentials: Credentials;
}

const noteName = 'node.json';
const certificatesName = 'certificates';

/**
 * A host's identity in its state folder: `node.json`, and the key and certificates in a folder of their own (files 0600 in
 * 0700) that `certificates` points to, so that they change together or not at all.
 */
export class MembershipStore {
  readonly #directory: string;

  constructor(stateDirectory: string) {
    this.#directory = stateDirectory;
  }

  /** Undefined for a host that is in no cluster. */
  async load(): Promise<Identity | undefined> {
    const note = await readFile(join(this.#directory, noteName), 'utf8').catch(missingIsUndefined);
    if (note === undefined) return undefined;
    const read = (name: string) => readFile(join(this.#directory, certificatesName, name), 'utf8');
    const [ca, cert, key] = await Promise.all([
      read(certificateFiles.authority),
      read(certificateFiles.certificate),
      read(certificateFiles.privateKey),
    ]);
    return { membership: JSON.parse(note) as Membership, credentials: { ca, cert, key } };
  }

  /** Where key and certificates are; what is there may be replaced at any time, all together. */
  get credentialsFolder(): string {
    return join(this.#directory, certificatesName);
  }

  /** The note is written last: a host is a member when it is there. */
  async save(identity: Identity): Promise<void> {
    await this.saveCredentials(identity.credentials);
    await this.saveNote(identity.membership);
  }

  /** Replaces the note of a host that is a member. */
  async saveNote(membership: Membership): Promise<void> {
    const path = join(this.#directory, noteName);
    await replaceDurably(path, `${JSON.stringify(membership, null, 2)}\n`);
  }

  /** The host has another address from now on; in all else it stays who it is. */
  async move(identity: Identity, advertiseAddress: string): Promise<Identity> {
    const moved = { ...identity, membership: { ...identity.membership, advertiseAddress } };
    await this.save(moved);
    return moved;
  }

  async saveCredentials(credentials: Credentials): Promise<void> {
    const folder = `${certificatesName}-${systemRandom.id()}`;
    const path = join(this.#directory, folder);
    await mkdir(path, { mode: 0o700 });
    await writeDurably(join(path, certificateFiles.authority), credentials.ca);
    await writeDurably(join(path, certificateFiles.certificate), credentials.cert);
    await writeDurably(join(path, certificateFiles.privateKey), credentials.key);
    await syncFolder(path);
    const link = join(this.#directory, certificatesName);
    await rm(`${link}.new`, { force: true });
    await symlink(folder, `${link}.new`);
    await rename(`${link}.new`, link);
    await syncFolder(this.#directory);
    await this.#removeFolders(folder);
  }

  async forget(): Promise<void> {
    await rm(join(this.#directory, noteName), { force: true });
    await syncFolder(this.#directory);
    await rm(join(this.#directory, certificatesName), { force: true });
    await this.#removeFolders(undefined);
  }

  async #removeFolders(keep: string | undefined): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      if (!name.startsWith(`${certificatesName}-`) || name === keep) continue;
      await rm(join(this.#directory, name), { recursive: true, force: true });
    }
  }
}

function missingIsUndefined(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
  return undefined;
}
