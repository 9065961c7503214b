import { isIP } from 'node:net';
import { ShoalError, unreachable } from '../../src/util/errors.ts';
import type { Claim } from './identity.ts';

/** Who asked the manager that passes a request on. Counts only from a manager. */
export const forwardedHeader = 'shoal-forwarded-for';
/** In the answer of a manager that was taken for the leader, and has done nothing. */
export const notLeadingHeader = 'shoal-not-leading';

/** The real caller of a request that another manager passes on. */
export interface Forwarded {
  claim: Claim;
  /** Address that the caller's connection came from; absent for the local socket. */
  from: string | undefined;
}

/** `FROM KIND [NAME [FINGERPRINT]]`, with `-` for no address; names are percent-encoded. */
export function formatForwarded({ claim, from }: Forwarded): string {
  return [from ?? '-', ...wordsOf(claim)].join(' ');
}

function wordsOf(claim: Claim): string[] {
  switch (claim.kind) {
    case 'administrator':
      return [claim.kind, encodeURIComponent(claim.name), claim.fingerprint];
    case 'node':
      return [claim.kind, encodeURIComponent(claim.id)];
    case 'local':
    case 'anonymous':
      return [claim.kind];
    default:
      return unreachable(claim);
  }
}

/** Throws `invalid_argument`. */
export function parseForwarded(text: string): Forwarded {
  const [address = '', kind = '', ...names] = text.split(' ');
  const from = address === '-' ? undefined : address;
  if (from !== undefined && isIP(from) === 0) throw malformed();
  return { claim: claimFrom(kind, names), from };
}

function claimFrom(kind: string, names: readonly string[]): Claim {
  const [name = '', fingerprint = ''] = names;
  switch (kind) {
    case 'administrator':
      if (names.length !== 2 || name === '' || !/^[0-9a-f]{64}$/.test(fingerprint)) throw malformed();
      return { kind, name: decoded(name), fingerprint };
    case 'node':
      if (names.length !== 1 || name === '') throw malformed();
      return { kind, id: decoded(name) };
    case 'local':
    case 'anonymous':
      if (names.length > 0) throw malformed();
      return { kind };
    default:
      throw malformed();
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw malformed();
  }
}

function malformed(): ShoalError {
  return new ShoalError(
    'invalid_argument',
    'Cannot read the request: another manager says in an unknown way whose it is',
    { next: 'Run the same version of Shoal on all managers.' },
  );
}
