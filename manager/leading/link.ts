import { ShoalError } from '../../src/util/errors.ts';
import type { Clock } from '../../src/util/clock.ts';
import { createKeyAndRequest } from '../../src/wire/certificates.ts';
import type { Credentials } from '../api/piping/dial.ts';
import { isDue, signNodeCertificate } from '../ca/authority.ts';
import type { View } from '../store/objects.ts';
import { nodeOfCandidate, type Candidate } from './candidate.ts';

/**
 * The certificate with which a manager talks to the others: one of its host's node, made from the cluster's authority, in memory alone.
 * It counts for as long as the node is there and a manager.
 */
export class LinkCredentials {
  readonly #view: View;
  readonly #clock: Clock;
  readonly #self: () => Candidate;
  #made: Promise<Credentials> | undefined;

  constructor({ view, clock, self }: { view: View; clock: Clock; self: () => Candidate }) {
    this.#view = view;
    this.#clock = clock;
    this.#self = self;
  }

  /** Throws `unavailable` while its host has not joined. */
  async get(): Promise<Credentials> {
    const made = await (this.#made ??= this.#make());
    if (!isDue(made.cert, this.#clock.now())) return made;
    return await (this.#made = this.#make());
  }

  async #make(): Promise<Credentials> {
    try {
      const { cluster } = this.#view;
      const node = nodeOfCandidate(this.#view, this.#self());
      if (cluster === undefined || node === undefined) {
        throw new ShoalError(
          'unavailable',
          "Cannot talk to other managers: this manager's host has not joined",
        );
      }
      const { privateKeyPem, certificateRequestPem } = await createKeyAndRequest();
      const { certificateAuthority: authority, clusterId } = cluster;
      const identity = { clusterId, nodeId: node.id, role: node.role };
      const now = this.#clock.now();
      const cert = await signNodeCertificate(authority, identity, certificateRequestPem, now);
      return { ca: authority.certificatePem, cert, key: privateKeyPem };
    } catch (error) {
      this.#made = undefined;
      throw error;
    }
  }
}
