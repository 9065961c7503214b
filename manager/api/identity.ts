import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { Node } from '../../src/spec/node.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { View } from '../store/objects.ts';

/** Who asks: somebody on the local socket, a node by its certificate, or nobody we know. */
export type Identity = { kind: 'local' } | { kind: 'node'; node: Node } | { kind: 'anonymous' };

/** What a route wants of its caller. `node`: any node of the cluster; `administrator`: the local socket or a manager node. */
export type Access = 'anyone' | 'node' | 'administrator';

/**
 * Who sent the request. A certificate counts when the cluster's CA signed it and its node is still in the cluster; the
 * role is the stored one, so that it can be changed without waiting for certificates to run out.
 */
export function identify(request: IncomingMessage, view: View): Identity {
  const { socket } = request;
  if (!(socket instanceof TLSSocket)) return { kind: 'local' };
  if (!socket.authorized) return { kind: 'anonymous' };
  const { subject } = socket.getPeerCertificate();
  const node = view.nodes.get(textOf(subject?.CN));
  if (node === undefined || textOf(subject?.O) !== view.cluster?.clusterId) return { kind: 'anonymous' };
  return { kind: 'node', node };
}

/** Throws `unauthenticated` or `permission_denied` when the caller may not have what asks for this access. */
export function checkAccess(identity: Identity, access: Access): void {
  if (access === 'anyone' || (identity.kind === 'local' && access === 'administrator')) return;
  if (identity.kind !== 'node') {
    throw new ShoalError(
      'unauthenticated',
      'Cannot do this without a certificate of a node of this cluster',
      {
        next: 'Join the cluster first, or use the local socket of a manager.',
      },
    );
  }
  if (access === 'administrator' && identity.node.role !== 'manager') {
    throw new ShoalError('permission_denied', 'Cannot use the API with a worker certificate', {
      next: 'Run the command on a manager.',
    });
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
