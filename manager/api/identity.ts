import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { roleCovers, type Administrator, type AdministratorRole } from '../../src/spec/administrator.ts';
import type { Node } from '../../src/spec/node.ts';
import { ShoalError, unreachable } from '../../src/util/errors.ts';
import { administratorUnit } from '../../src/wire/certificates.ts';
import type { View } from '../store/objects.ts';

/**
 * Who asks: root on the local socket, an administrator or a node by its certificate, or nobody we know. `revoked`: the
 * name in a certificate that the cluster's CA signed and that does not count any more.
 */
export type Identity =
  | { kind: 'local' }
  | { kind: 'administrator'; administrator: Administrator }
  | { kind: 'node'; node: Node }
  | { kind: 'anonymous'; revoked?: string };

/**
 * What a route wants of its caller. `node`: the certificate of a node, whatever its role; otherwise the least role that an
 * administrator must have. The local socket may do all that an `admin` may, and is no node.
 */
export type Access = 'anyone' | 'node' | AdministratorRole;

/**
 * What a connection proves by itself, before it is known whether it still counts: a name that the cluster's CA has signed. One
 * manager can tell it to another, whose view may be further.
 */
export type Claim =
  | { kind: 'local' }
  | { kind: 'administrator'; name: string; fingerprint: string }
  | { kind: 'node'; id: string }
  | { kind: 'anonymous' };

/** What the connection proves. */
export function claimOf(socket: Socket, clusterId: string | undefined): Claim {
  if (!(socket instanceof TLSSocket)) return { kind: 'local' };
  if (!socket.authorized) return { kind: 'anonymous' };
  // null once the connection is gone, whatever its type says
  const { subject, fingerprint256 } = socket.getPeerCertificate() ?? {};
  if (clusterId === undefined || subject?.O !== clusterId) return { kind: 'anonymous' };
  const name = String(subject.CN);
  if ([subject.OU].flat()[0] !== administratorUnit) return { kind: 'node', id: name };
  return { kind: 'administrator', name, fingerprint: fingerprint256.replaceAll(':', '').toLowerCase() };
}

/**
 * Who that is. A certificate counts when the cluster's CA signed it and what it stands for is still in the cluster; the role is
 * the stored one, so that nothing waits for certificates to run out.
 */
export function identityOf(claim: Claim, view: View, nowMs: number): Identity {
  switch (claim.kind) {
    case 'administrator': {
      const { name, fingerprint } = claim;
      const administrator = view.administrators.values().find((one) => one.fingerprint === fingerprint);
      if (administrator === undefined || administrator.expiresAt <= nowMs)
        return { kind: 'anonymous', revoked: name };
      return { kind: 'administrator', administrator };
    }
    case 'node': {
      const node = view.nodes.get(claim.id);
      return node === undefined ? { kind: 'anonymous', revoked: claim.id } : { kind: 'node', node };
    }
    case 'local':
    case 'anonymous':
      return claim;
    default:
      return unreachable(claim);
  }
}

/** Who somebody is, for those who are told of what was changed. */
export function callerName(identity: Identity): string {
  switch (identity.kind) {
    case 'administrator':
      return identity.administrator.name;
    case 'node':
      return `node ${identity.node.id}`;
    case 'local':
      return 'root (local socket)';
    case 'anonymous':
      return 'somebody without a certificate';
    default:
      return unreachable(identity);
  }
}

/** Throws `unauthenticated` or `permission_denied` when the caller may not have what asks for this access. */
export function checkAccess(identity: Identity, access: Access): void {
  if (access === 'anyone') return;
  if (identity.kind === 'anonymous') throw unauthenticated(identity.revoked, access);
  if (access === 'node') {
    if (identity.kind === 'node') return;
    throw new ShoalError('permission_denied', 'Cannot do this without the certificate of a node');
  }
  if (identity.kind === 'local') return;
  if (identity.kind === 'node') {
    throw new ShoalError('permission_denied', 'Cannot use the API with the certificate of a node', {
      next: 'Use the local socket of a manager, or the context of an administrator (`shoal admin create`).',
    });
  }
  const { name, role } = identity.administrator;
  if (roleCovers(role, access)) return;
  throw new ShoalError(
    'permission_denied',
    `Cannot do this as ${name}: it takes the role ${access}, and ${name} is ${role}`,
    { next: 'Ask somebody with the role admin.' },
  );
}

function unauthenticated(revoked: string | undefined, access: Access): ShoalError {
  const whose = access === 'node' ? 'a node' : 'an administrator';
  if (revoked === undefined) {
    return new ShoalError('unauthenticated', `Cannot do this without the certificate of ${whose}`, {
      next:
        access === 'node'
          ? 'Join the cluster first.'
          : 'Use the local socket of a manager, or the context of an administrator (`shoal admin create`).',
    });
  }
  return new ShoalError('unauthenticated', `Cannot do this: the certificate of ${revoked} was revoked`, {
    next:
      access === 'node'
        ? 'Leave and join the cluster again.'
        : 'Ask for a new context: `shoal admin create` on a manager.',
  });
}
