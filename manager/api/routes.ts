import { apiPrefix } from '../../src/wire/api.ts';
import { sessionPath, streamPath } from '../../src/wire/session.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { actionRoutes } from './actions.ts';
import { administratorRoutes } from './administrators.ts';
import { applicationRoutes } from './applications.ts';
import { auditRoutes } from './audit.ts';
import { clusterRoutes, joinRoutes } from './cluster.ts';
import type { ApiContext } from './context.ts';
import { execRoute } from './exec.ts';
import { volumeMoveRoutes } from './volume-moves.ts';
import { volumeStreamRoutes } from './volume-streams.ts';
import { logRoutes } from './logs.ts';
import { memberRoutes } from './members.ts';
import { objectRoutes } from './objects.ts';
import { resourceRoutes } from './resources.ts';
import type { Route } from './router.ts';
import type { UpgradeCall, UpgradeRoute } from './upgrade.ts';

/** Every path the manager answers. */
export function allRoutes(context: ApiContext): Route[] {
  const api = [
    ...clusterRoutes(context),
    ...applicationRoutes(context),
    ...objectRoutes(context),
    ...actionRoutes(context),
    ...resourceRoutes(context),
    ...volumeMoveRoutes(context),
    ...logRoutes(context),
    ...administratorRoutes(context),
    ...auditRoutes(context),
    ...memberRoutes(context),
  ];
  return [
    ...joinRoutes(context),
    ...api.map((route) => ({ ...route, pattern: `${apiPrefix}${route.pattern}` })),
  ];
}

/** Every path that is opened as a WebSocket. */
export function allUpgrades(context: ApiContext): UpgradeRoute[] {
  const { agents } = context;
  return [
    {
      pattern: sessionPath,
      access: 'node',
      messageBytesMax: 'session',
      prepare: async (call) => {
        const nodeId = nodeIdOf(call);
        agents.admitSession(nodeId);
        return { accept: (socket) => agents.acceptSession(socket, nodeId, call) };
      },
    },
    {
      pattern: `${streamPath}/:id`,
      access: 'node',
      messageBytesMax: 'frame',
      prepare: async (call) => {
        const streamId = call.parameters.id!;
        const nodeId = nodeIdOf(call);
        if (!agents.expectsStream(streamId, nodeId)) {
          throw new ShoalError('not_found', 'Cannot open the stream: it was not asked for, or is no longer');
        }
        return { accept: (socket) => agents.acceptStream(socket, nodeId, streamId) };
      },
    },
    execRoute(context, apiPrefix),
    ...volumeStreamRoutes(context, apiPrefix),
  ];
}

function nodeIdOf({ identity }: UpgradeCall): string {
  if (identity.kind === 'node') return identity.node.id;
  throw new ShoalError('unauthenticated', 'Cannot open an agent session without a node certificate');
}
