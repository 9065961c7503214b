import { ShoalError } from '../../src/util/errors.ts';
import { memberPath } from '../../src/wire/members.ts';
import type { ApiContext } from './context.ts';
import type { Route } from './router.ts';
import { memberSchema } from './schema.ts';
import { checkSchema } from './validate.ts';

/** A place in the store, for the manager of a node that asks with the node's certificate. */
export function memberRoutes({ members }: ApiContext): Route[] {
  return [
    {
      method: 'POST',
      pattern: memberPath,
      access: 'node',
      // Asked for again and again until there is one; what comes of it is in the log.
      audited: false,
      handle: async ({ identity, body }) => {
        const wish = checkSchema(memberSchema, await body());
        if (identity.kind !== 'node') {
          throw new ShoalError('unauthenticated', 'Cannot do this without the certificate of a node');
        }
        if (identity.node.role !== 'manager') {
          throw new ShoalError('permission_denied', 'Cannot have a place in the store as a worker', {
            next: 'Promote the node on a manager: `shoal node promote`.',
          });
        }
        if (members === undefined) {
          throw new ShoalError('unavailable', 'Cannot have a place in the store: this manager gives none');
        }
        return await members.ask(identity.node, wish);
      },
    },
  ];
}
