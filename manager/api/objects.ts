import { isTerminal, taskName, type Task } from '../../src/spec/task.ts';
import { nodeName } from '../../src/spec/node-name.ts';
import type { Node, NodeRole } from '../../src/spec/node.ts';
import type { Service } from '../../src/spec/service.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { NodeChange, NodeInfo, TaskInfo } from '../../src/wire/api.ts';
import { NodeUse, takesRoom } from '../scheduler/node-use.ts';
import { Faults } from '../store/isolate.ts';
import type { Change, Database, View } from '../store/objects.ts';
import { checkApproval } from '../ca/addresses.ts';
import { checkGoesOnWithout, demoted, promoted } from '../ca/managers.ts';
import type { ApiContext } from './context.ts';
import { callerName } from './identity.ts';
import { byName, oldestFirst, pageOf } from './pages.ts';
import type { Call, Route } from './router.ts';
import { nodeChangeSchema, scaleSchema } from './schema.ts';
import { scaled } from './scaling.ts';
import { serviceInfos } from './status.ts';
import { findTask, taskInfo } from './tasks.ts';
import { checkSchema } from './validate.ts';

const attemptsMax = 10;

/** Routes of single objects: services, tasks, nodes. */
export function objectRoutes(context: ApiContext): Route[] {
  const { database, clock } = context;
  const { view } = database;
  return [
    {
      method: 'GET',
      pattern: '/services',
      from: 'view',
      access: 'viewer',
      handle: (call) => {
        const { query } = call;
        const found = new Faults().filter('service', view.services.values(), ({ spec }) => isOf(spec, query));
        const page = pageOf(call, found, byName);
        // How far each is takes a look at all its tasks.
        return query.get('progress') === 'true' ? serviceInfos(view, page, clock.now()) : page;
      },
    },
    {
      method: 'GET',
      pattern: '/services/:ref',
      from: 'view',
      access: 'viewer',
      handle: ({ parameters }) =>
        serviceInfos(view, [findService(view, parameters.ref!, true)], clock.now())[0],
    },
    {
      method: 'POST',
      pattern: '/services/:ref/scale',
      access: 'operator',
      handle: async ({ parameters, body, objects, identity }) => {
        const { replicas } = checkSchema(scaleSchema, await body());
        objects.push(`scale service ${parameters.ref!} to ${replicas}`);
        return await scale(database, parameters.ref!, replicas, callerName(identity));
      },
    },
    {
      method: 'GET',
      pattern: '/tasks',
      from: 'view',
      access: 'viewer',
      handle: (call) => listTasks(view, call),
    },
    {
      method: 'GET',
      pattern: '/tasks/:ref',
      from: 'view',
      access: 'viewer',
      handle: ({ parameters }): Task => findTask(view, parameters.ref!),
    },
    ...nodeRoutes(context),
  ];
}

function nodeRoutes({ database, leader }: ApiContext): Route[] {
  const { view } = database;
  return [
    {
      method: 'GET',
      pattern: '/nodes',
      from: 'view',
      access: 'viewer',
      handle: (call) => pageOf(call, view.nodes.values(), oldestFirst),
    },
    {
      method: 'GET',
      pattern: '/nodes/:ref',
      from: 'view',
      access: 'viewer',
      handle: ({ parameters }) => nodeInfo(view, findNode(view, parameters.ref!)),
    },
    {
      method: 'PATCH',
      pattern: '/nodes/:ref',
      access: 'admin',
      handle: async ({ parameters, body, objects }) => {
        const change = checkSchema(nodeChangeSchema, await body());
        objects.push(...changeWords(change));
        return await changeNode(database, parameters.ref!, change, leader());
      },
    },
    {
      method: 'DELETE',
      pattern: '/nodes/:ref',
      access: 'admin',
      handle: async ({ parameters, query }) => {
        await removeNode(database, parameters.ref!, query.get('force') === 'true', leader());
        return {};
      },
    },
  ];
}

function nodeInfo(view: View, node: Node): NodeInfo {
  const use = new NodeUse(node);
  const faults = new Faults();
  const there = [...view.tasksOfNode(node.id)].filter(takesRoom);
  for (const task of there) faults.isolated('task', task.id, () => use.add(task));
  const { nanoCpus, memoryBytes } = use;
  const { description: has } = node;
  const free = has && {
    nanoCpus: Math.max(0, has.nanoCpus - nanoCpus),
    memoryBytes: Math.max(0, has.memoryBytes - memoryBytes),
  };
  return { ...node, tasks: there.length, reserved: { nanoCpus, memoryBytes }, ...(free && { free }) };
}

/** What the audit log says of a change to a node. */
function changeWords({ availability, address, role, labels = {} }: NodeChange): string[] {
  return [
    ...(address === undefined ? [] : [`address ${address}`]),
    ...(availability === undefined ? [] : [`availability ${availability}`]),
    ...(role === undefined ? [] : [`role ${role}`]),
    ...Object.entries(labels).map(([key, value]) =>
      value === null ? `no label ${key}` : `label ${key}=${value}`,
    ),
  ];
}

function isOf(spec: { application: string }, query: URLSearchParams): boolean {
  const application = query.get('application');
  return application === null || spec.application === application;
}

function listTasks(view: View, call: Call): TaskInfo[] {
  const { query } = call;
  const service = query.get('service');
  const node = query.get('node');
  const nodeId = node === null ? undefined : findNode(view, node).id;
  const found = [...view.tasks.values()]
    .filter((task) => isOf(task, query))
    .filter((task) => service === null || task.serviceId === service || task.serviceName === service)
    .filter((task) => nodeId === undefined || task.nodeId === nodeId)
    .map(taskInfo);
  return pageOf(call, found, { ...oldestFirst, descending: true });
}

/** Writes what `plan` makes of the view as it is then, again when somebody was faster. */
export async function writeAgain(database: Database, plan: () => Change[]): Promise<void> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const { conflicts } = await database.write([plan()]);
    if (conflicts === 0) return;
  }
  throw new ShoalError('conflict', 'Cannot write the change: others keep changing the same thing', {
    next: 'Try again.',
  });
}

/** A service by its id or full name. Throws `not_found`, also for one that is being removed unless that is no hindrance. */
export function findService(view: View, reference: string, alsoRemoving = false): Service {
  const service = view.services.get(reference) ?? view.serviceByName(reference);
  if (service !== undefined && (alsoRemoving || !service.removing)) return service;
  const why = service === undefined ? '' : ': it is being removed';
  throw new ShoalError('not_found', `Cannot find a service called ${JSON.stringify(reference)}${why}`, {
    next: 'See `shoal ps` for the services there are.',
  });
}

async function scale(database: Database, reference: string, replicas: number, by: string): Promise<Service> {
  const { id } = findService(database.view, reference);
  await writeAgain(database, () => {
    const service = findService(database.view, id);
    const object = scaled(database.view, service, { replicas, by });
    return object === service ? [] : [{ kind: 'service', action: 'update', object }];
  });
  return findService(database.view, id);
}

/** A node by its id or hostname. Throws `not_found`, and `invalid_argument` for a hostname that several nodes have. */
export function findNode(view: View, reference: string): Node {
  const byId = view.nodes.get(reference);
  if (byId !== undefined) return byId;
  const named = [...view.nodes.values()].filter((node) => nodeName(node) === reference);
  if (named.length === 1) return named[0]!;
  if (named.length > 1) {
    throw new ShoalError(
      'invalid_argument',
      `Cannot tell which node is meant by ${JSON.stringify(reference)}`,
      {
        next: `Use one of the ids: ${named.map(({ id }) => id).join(', ')}.`,
      },
    );
  }
  throw new ShoalError('not_found', `Cannot find a node called ${JSON.stringify(reference)}`, {
    next: 'See `shoal node ls`.',
  });
}

/**
 * Changes the node's availability, role or labels; gives it as it is then. `leader`: `HOST:PORT` of the manager that leads. Throws
 * `not_found`, and `failed_precondition` for a role that it cannot have.
 */
export async function changeNode(
  database: Database,
  reference: string,
  change: NodeChange,
  leader: string | undefined,
): Promise<Node> {
  const { id } = findNode(database.view, reference);
  await writeAgain(database, () => {
    const node = inRole(database.view, findNode(database.view, id), change.role, leader);
    if (change.address !== undefined) checkApproval(database.view, node, change.address);
    const labels = Object.entries({ ...node.labels, ...change.labels }).filter(
      (entry): entry is [string, string] => entry[1] !== null,
    );
    const availability = change.availability ?? node.availability;
    const approved = change.address === undefined ? {} : { approvedAddress: change.address };
    const object: Node = { ...node, ...approved, availability, labels: Object.fromEntries(labels) };
    return [{ kind: 'node', action: 'update', object }];
  });
  return findNode(database.view, id);
}

function inRole(view: View, node: Node, role: NodeRole | undefined, leader: string | undefined): Node {
  if (role === undefined || role === node.role) return node;
  const nodes = view.nodes.values();
  return role === 'manager' ? promoted(nodes, node) : demoted(nodes, node, leader);
}

async function removeNode(
  database: Database,
  reference: string,
  force: boolean,
  leader: string | undefined,
): Promise<void> {
  const { id } = findNode(database.view, reference);
  await writeAgain(database, () => {
    const node = findNode(database.view, id);
    const name = nodeName(node);
    const lives = [...database.view.tasksOfNode(id)].filter(({ status }) => !isTerminal(status.state));
    const away = node.status.state !== 'ready';
    if (node.role === 'manager') {
      checkGoesOnWithout([...database.view.nodes.values()], node, `remove node ${name}`, leader);
      if (!away) {
        throw new ShoalError('failed_precondition', `Cannot remove node ${name}: it is a manager and up`, {
          next: `Run \`shoal leave\` on it, or make it a worker first: \`shoal node demote ${name}\`.`,
        });
      }
    }
    if (!away && !(node.availability === 'drain' && (lives.length === 0 || force))) {
      const still = lives[0] === undefined ? '' : `; ${taskName(lives[0])} is on it`;
      throw new ShoalError('failed_precondition', `Cannot remove node ${name}: it is up${still}`, {
        next: `Run \`shoal node update --availability drain ${name}\` first and wait until its tasks have moved.`,
      });
    }
    return [{ kind: 'node', action: 'delete', object: node }];
  });
}
