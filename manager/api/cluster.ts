import { isTerminal } from '../../src/spec/task.ts';
import { isManager } from '../../src/spec/manager-state.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { version } from '../../src/spec/version.ts';
import type { Cluster } from '../../src/spec/cluster.ts';
import type { Node, NodeRole } from '../../src/spec/node.ts';
import type { ClusterInfo, JoinTokens, LeaveAnswer, VersionInfo } from '../../src/wire/api.ts';
import { joinTokens, rotateToken } from '../ca/cluster.ts';
import type { View } from '../store/objects.ts';
import { joinBodyBytesMax } from './bodies.ts';
import type { ApiContext } from './context.ts';
import type { Identity } from './identity.ts';
import { changeNode, writeAgain } from './objects.ts';
import { streamed, type Route } from './router.ts';
import { clusterChangeSchema, joinSchema, renewSchema } from './schema.ts';
import { checkSchema } from './validate.ts';

/** Routes of the cluster as a whole, under the API's prefix. */
export function clusterRoutes(context: ApiContext): Route[] {
  const { database } = context;
  return [
    {
      method: 'GET',
      pattern: '/version',
      from: 'view',
      access: 'viewer',
      handle: (): VersionInfo => ({ version, apiVersion: 'v1' }),
    },
    {
      method: 'GET',
      pattern: '/cluster',
      from: 'view',
      access: 'viewer',
      handle: () => clusterInfo(context),
    },
    {
      method: 'PATCH',
      pattern: '/cluster',
      access: 'admin',
      handle: async ({ body, objects }) => {
        const change = checkSchema(clusterChangeSchema, await body());
        objects.push(...Object.entries(change).map(([name, value]) => `set ${name} ${String(value)}`));
        await writeAgain(database, () => {
          const cluster = requireCluster(database.view);
          const object: Cluster = { ...cluster, defaults: { ...cluster.defaults, ...change } };
          return [{ kind: 'cluster', action: 'update', object }];
        });
        return clusterInfo(context);
      },
    },
    {
      method: 'GET',
      pattern: '/tokens',
      access: 'admin',
      audited: true,
      handle: () => joinTokens(requireCluster(database.view), context.addresses()),
    },
    {
      method: 'POST',
      pattern: '/tokens/:role/rotate',
      access: 'admin',
      handle: ({ parameters }) => rotate(context, parameters.role!),
    },
  ];
}

/** Routes outside the API: joining, and what comes before it. */
export function joinRoutes(context: ApiContext): Route[] {
  const { database, joiner } = context;
  return [
    {
      method: 'GET',
      pattern: '/ca',
      from: 'view',
      access: 'anyone',
      handle: ({ response }) => {
        const pem = requireCluster(database.view).certificateAuthority.certificatePem;
        response.writeHead(200, { 'content-type': 'application/x-pem-file' });
        response.write(pem);
        return streamed;
      },
    },
    {
      method: 'POST',
      pattern: '/join',
      bodyBytesMax: joinBodyBytesMax,
      access: 'anyone',
      handle: async ({ body, objects, from }) => {
        const answer = await joiner.join(checkSchema(joinSchema, await body()), from);
        objects.push(`join ${answer.role} ${answer.nodeId}`);
        return answer;
      },
    },
    {
      method: 'GET',
      pattern: '/leave',
      from: 'view',
      access: 'node',
      handle: async ({ identity }): Promise<LeaveAnswer> => leaveAnswer(database.view, nodeOf(identity).id),
    },
    {
      method: 'POST',
      pattern: '/leave',
      access: 'node',
      handle: async ({ identity, objects }): Promise<LeaveAnswer> => {
        const { id, availability, role } = nodeOf(identity);
        objects.push(`drain node ${id}`);
        if (availability !== 'drain' || role === 'manager') {
          const change = { availability: 'drain', role: 'worker' } as const;
          await changeNode(database, id, change, context.leader());
        }
        return leaveAnswer(database.view, id);
      },
    },
    {
      method: 'POST',
      pattern: '/renew',
      bodyBytesMax: joinBodyBytesMax,
      access: 'node',
      handle: async ({ body, identity }) => {
        return await joiner.renew(nodeOf(identity).id, checkSchema(renewSchema, await body()));
      },
    },
  ];
}

function leaveAnswer(view: View, nodeId: string): LeaveAnswer {
  const tasks = [...view.tasksOfNode(nodeId)].filter(({ status }) => !isTerminal(status.state)).length;
  const here = [...view.volumes.values()].filter(({ home }) => home?.nodeId === nodeId);
  const managers = [...view.nodes.values()].filter(({ id, role }) => role === 'manager' && id !== nodeId);
  const node = view.nodes.get(nodeId);
  return {
    tasks,
    volumes: here.map(({ spec }) => spec.name).sort(),
    managers: managers.length + 1,
    isManager: node !== undefined && isManager(node),
    ...(node?.manager?.problem !== undefined && { problem: node.manager.problem }),
  };
}

function nodeOf(identity: Identity): Node {
  if (identity.kind === 'node') return identity.node;
  throw new ShoalError('unauthenticated', 'Cannot do this without the certificate of a node');
}

/** The cluster object; throws `failed_precondition` while there is none. */
export function requireCluster(view: View): Cluster {
  if (view.cluster !== undefined) return view.cluster;
  throw new ShoalError('failed_precondition', 'Cannot do this: there is no cluster here yet', {
    next: 'Run `shoal init`.',
  });
}

function clusterInfo({ database: { view }, clock, leader }: ApiContext): ClusterInfo {
  const nodes = [...view.nodes.values()];
  const tasks = [...view.tasks.values()].filter(({ status }) => !isTerminal(status.state));
  const { clusterId, defaults } = requireCluster(view);
  return {
    now: clock.now(),
    clusterId,
    defaults: { removeOrphans: defaults?.removeOrphans ?? false },
    nodes: {
      total: nodes.length,
      ready: nodes.filter(({ status }) => status.state === 'ready').length,
      managers: nodes.filter(({ role }) => role === 'manager').length,
    },
    leader: leader(),
    services: view.services.size,
    tasks: {
      running: tasks.filter(({ status }) => status.state === 'running').length,
      total: tasks.length,
    },
    revision: view.revision,
  };
}

async function rotate(context: ApiContext, role: string): Promise<JoinTokens> {
  const { database } = context;
  if (role !== 'manager' && role !== 'worker') {
    throw new ShoalError('invalid_argument', `Cannot rotate the token of ${JSON.stringify(role)}`, {
      next: 'The roles are manager and worker.',
    });
  }
  const object = rotateToken(requireCluster(database.view), role satisfies NodeRole);
  const { conflicts } = await database.write([[{ kind: 'cluster', action: 'update', object }]]);
  if (conflicts > 0)
    throw new ShoalError('conflict', 'Cannot rotate the token: it is just being changed', {
      next: 'Try again.',
    });
  return joinTokens(requireCluster(database.view), context.addresses());
}
