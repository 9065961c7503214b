import { formatSubnet, parseSubnet, subnetsOverlap } from '../../src/spec/address.ts';
import { configBytesMax, secretBytesMax } from '../../src/spec/defaults.ts';
import type { Network, NetworkSpec } from '../../src/spec/network.ts';
import type { Labels } from '../../src/spec/object.ts';
import type { Config, FileSpec, Secret, Volume, VolumeSpec } from '../../src/spec/resource.ts';
import { driverOptionsFault } from '../../src/spec/volume-options.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { UsedBy, VolumeRemoval } from '../../src/wire/api.ts';
import type { Change, View } from '../store/objects.ts';
import { fileBodyBytesMax } from './bodies.ts';
import type { ApiContext } from './context.ts';
import { applyQueueKey } from './janitor.ts';
import { findNode, writeAgain } from './objects.ts';
import { byName, pageOf } from './pages.ts';
import type { Call, Route } from './router.ts';
import { fileCreateSchema, networkCreateSchema, volumeCreateSchema, volumeUseSchema } from './schema.ts';
import { usersByName, type ResourceKind, type User } from './users.ts';
import { checkFileContent, checkSchema } from './validate.ts';
import { copiesOf } from './volume-copies.ts';
import { checkNotMoving, findVolume, useVolume } from './volume-home.ts';
import { adoptCopy, removeVolumeCopy, removeVolumeData } from './volume-data.ts';

interface Stored {
  id: string;
  spec: { name: string; application?: string; labels: Labels; data?: string };
}

/** What makes the difference between networks, volumes, secrets and configs. */
interface Kind<T extends Stored> {
  kind: ResourceKind;
  stored: () => ReadonlyMap<string, T>;
  change: (action: 'create' | 'delete', object: T) => Change;
  /** What is stored for a request. Throws what it takes exception to. */
  create: (body: unknown) => T;
  /** Throws when it cannot be beside what is there. */
  check?: (object: T) => void;
}

/** Routes of what outlives applications or is shared between them. */
export function resourceRoutes(context: ApiContext): Route[] {
  const { view } = context.database;
  const meta = () => {
    const now = context.clock.now();
    return { id: context.random.id(), createdAt: now, updatedAt: now, revision: 0 };
  };
  const networks: Kind<Network> = {
    kind: 'network',
    stored: () => view.networks,
    change: (action, object) => ({ kind: 'network', action, object }),
    create: (body) => {
      const spec = newNetwork(body);
      return { ...meta(), spec, bridgeAddresses: {}, removing: false };
    },
    check: ({ spec }) => checkSubnet(view, spec),
  };
  const volumes: Kind<Volume> = {
    kind: 'volume',
    stored: () => view.volumes,
    change: (action, object) => ({ kind: 'volume', action, object }),
    create: (body) => ({ ...meta(), spec: newVolume(body) }),
  };
  const secrets: Kind<Secret> = {
    kind: 'secret',
    stored: () => view.secrets,
    change: (action, object) => ({ kind: 'secret', action, object }),
    create: (body) => ({ ...meta(), spec: newFile(body, secretBytesMax) }),
  };
  const configs: Kind<Config> = {
    kind: 'config',
    stored: () => view.configs,
    change: (action, object) => ({ kind: 'config', action, object }),
    create: (body) => ({ ...meta(), spec: newFile(body, configBytesMax) }),
  };
  return [
    {
      method: 'POST',
      pattern: '/volumes/:ref/use',
      access: 'operator',
      handle: async ({ parameters, body, objects }) => {
        const wish = checkSchema(volumeUseSchema, await body());
        const { id, spec } = findVolume(view, parameters.ref!);
        objects.push(`use volume ${spec.name} on ${wish.node}`);
        await context.queue.run(`volume ${id}`, async () => {
          await useVolume(context.database, id, wish);
          await adoptCopy(context, findVolume(view, id));
        });
        return withUsers(findVolume(view, id), usersByName(view, 'volume'));
      },
    },
    ...routesOf(context, networks),
    ...routesOf(context, volumes),
    ...routesOf(context, secrets),
    ...routesOf(context, configs),
  ];
}

function routesOf<T extends Stored>(context: ApiContext, kind: Kind<T>): Route[] {
  const { database, queue } = context;
  const path = `/${kind.kind}s`;
  const one = (reference: string) => {
    const object = find(kind, reference);
    const using = usersByName(database.view, kind.kind);
    return withUsers(kind.kind === 'secret' ? withoutData(object) : object, using);
  };
  return [
    {
      method: 'GET',
      pattern: path,
      from: copiesFrom,
      access: 'viewer',
      handle: async (call) => {
        const application = call.query.get('application');
        const using = usersByName(database.view, kind.kind);
        const found = [...kind.stored().values()]
          .filter(({ spec }) => application === null || spec.application === application)
          .map((object) => withUsers(withoutData(object), using));
        return await withCopies(context, kind.kind, call, pageOf(call, found, byName));
      },
    },
    {
      method: 'GET',
      pattern: `${path}/:ref`,
      from: copiesFrom,
      access: 'viewer',
      handle: async (call) => {
        const [found] = await withCopies(context, kind.kind, call, [one(call.parameters.ref!)]);
        return found;
      },
    },
    {
      method: 'POST',
      pattern: path,
      access: 'operator',
      bodyBytesMax: fileBodyBytesMax,
      status: 201,
      handle: async ({ body, objects }) => {
        const given = await body();
        // In turn with whole applications: nobody else makes one of the same name meanwhile.
        return await queue.run(applyQueueKey, async () => one(await create(context, kind, given, objects)));
      },
    },
    {
      method: 'DELETE',
      pattern: `${path}/:ref`,
      access: 'operator',
      handle: ({ parameters, query, signal }): Promise<VolumeRemoval> => {
        const reference = parameters.ref!;
        if (kind.kind === 'volume') {
          const how = { force: query.get('force') === 'true', signal };
          const node = query.get('node');
          if (node === null) return removeVolume(context, reference, how);
          return removeOneCopy(context, reference, { ...how, node });
        }
        // In turn with whole applications: none begins to use meanwhile what nobody uses now.
        return queue.run(applyQueueKey, () => remove(context, kind, reference));
      },
    },
  ];
}

/** Hosts are asked by the manager that leads. */
function copiesFrom(query: URLSearchParams): 'view' | 'leader' {
  return query.get('copies') === 'true' ? 'leader' : 'view';
}

/** The volumes with what hosts have of them, if that is asked for. */
async function withCopies<T extends Stored>(
  context: ApiContext,
  kind: ResourceKind,
  { query, signal }: Pick<Call, 'query' | 'signal'>,
  objects: T[],
): Promise<T[]> {
  if (kind !== 'volume' || query.get('copies') !== 'true' || objects.length === 0) return objects;
  const copies = await copiesOf(context, objects as unknown as Volume[], signal);
  return objects.map((object) => ({ ...object, copies: copies.get(object.id) ?? [] }));
}

/** Gives the id. */
async function create<T extends Stored>(
  context: ApiContext,
  kind: Kind<T>,
  body: unknown,
  objects: string[],
): Promise<string> {
  const object = kind.create(body);
  const { name } = object.spec;
  objects.push(`create ${kind.kind} ${name}`);
  if (
    kind
      .stored()
      .values()
      .some(({ spec }) => spec.name === name)
  ) {
    throw new ShoalError('already_exists', `Cannot make ${kind.kind} ${name}: there is one of this name`, {
      next: `See \`shoal ${kind.kind} inspect ${name}\`, or choose another name.`,
    });
  }
  kind.check?.(object);
  await writeAgain(context.database, () => [kind.change('create', object)]);
  return object.id;
}

async function remove<T extends Stored>(
  context: ApiContext,
  kind: Kind<T>,
  reference: string,
): Promise<VolumeRemoval> {
  const { id, spec } = find(kind, reference);
  checkUnused(kind.kind, spec, usersByName(context.database.view, kind.kind).get(spec.name) ?? []);
  // As it is then: the allocator or the scheduler may have written it meanwhile.
  await writeAgain(context.database, () => [kind.change('delete', find(kind, id))]);
  return { keptOn: [] };
}

/**
 * Removes a volume, its data on the hosts first. Hosts may take long, and applications do not wait for them: it is only
 * marked in turn with those, and nothing can begin to use it as long as it is marked.
 */
async function removeVolume(
  { database, queue, ...context }: ApiContext,
  reference: string,
  { force, signal }: { force: boolean; signal: AbortSignal },
): Promise<VolumeRemoval> {
  const volumes = { kind: 'volume' as const, stored: () => database.view.volumes };
  const { id } = find(volumes, reference);
  const mark = (removing: true | undefined) =>
    writeAgain(database, () => {
      const { removing: _, ...volume } = find(volumes, id);
      return [{ kind: 'volume', action: 'update', object: removing ? { ...volume, removing } : volume }];
    });
  return await queue.run(`volume ${id}`, async () => {
    await queue.run(applyQueueKey, async () => {
      const { spec } = find(volumes, id);
      checkNotMoving(find(volumes, id), `Cannot remove volume ${spec.name}`);
      checkUnused('volume', spec, usersByName(database.view, 'volume').get(spec.name) ?? []);
      await mark(true);
    });
    let keptOn: string[];
    try {
      keptOn = await removeVolumeData({ database, queue, ...context }, find(volumes, id), force, signal);
    } catch (error) {
      await mark(undefined);
      throw error;
    }
    await writeAgain(database, () => [{ kind: 'volume', action: 'delete', object: find(volumes, id) }]);
    return { keptOn };
  });
}

async function removeOneCopy(
  context: ApiContext,
  reference: string,
  { node: wanted, ...how }: { node: string; force: boolean; signal: AbortSignal },
): Promise<VolumeRemoval> {
  const { view } = context.database;
  const { id } = findVolume(view, reference);
  const node = findNode(view, wanted);
  await context.queue.run(`volume ${id}`, () => removeVolumeCopy(context, findVolume(view, id), node, how));
  return { keptOn: [] };
}

/** By its id or its full name. Throws `not_found`. */
function find<T extends Stored>({ kind, stored }: Pick<Kind<T>, 'kind' | 'stored'>, reference: string): T {
  const found =
    stored().get(reference) ??
    stored()
      .values()
      .find(({ spec }) => spec.name === reference);
  if (found !== undefined) return found;
  throw new ShoalError('not_found', `Cannot find a ${kind} called ${JSON.stringify(reference)}`, {
    next: `See \`shoal ${kind} ls\`.`,
  });
}

function checkUnused(kind: ResourceKind, { name, application }: Stored['spec'], users: User[]): void {
  const staying = users.filter(({ isLeaving }) => !isLeaving);
  if (users.length > 0) {
    const names = (staying.length > 0 ? staying : users).map(({ service }) => service);
    const next =
      staying.length > 0
        ? 'Take it out of their Compose files and run `shoal up`, or run `shoal down`.'
        : 'They are being stopped: try again when they have gone.';
    const uses = names.length === 1 ? 'uses' : 'use';
    throw new ShoalError(
      'failed_precondition',
      `Cannot remove ${kind} ${name}: ${names.join(', ')} ${uses} it`,
      { next },
    );
  }
  // The network of an application is part of it, and would be made again by its next `up`.
  if (kind !== 'network' || application === undefined) return;
  throw new ShoalError(
    'failed_precondition',
    `Cannot remove network ${name}: it is part of the application ${application}`,
    { next: `It goes with \`shoal down -p ${application}\`.` },
  );
}

function withUsers<T extends Stored>(object: T, using: ReadonlyMap<string, User[]>): T & UsedBy {
  return { ...object, usedBy: (using.get(object.spec.name) ?? []).map(({ service }) => service) };
}

function withoutData<T extends Stored>(object: T): T {
  const { data: _, ...spec } = object.spec;
  return { ...object, spec };
}

function newFile(body: unknown, bytesMax: number): FileSpec {
  const { name, labels = {}, data } = checkSchema(fileCreateSchema, body);
  if (data === '') throw new ShoalError('invalid_argument', `Cannot make ${name}: it has no content`);
  checkFileContent('/data', data, bytesMax);
  return { name, labels, data };
}

function newVolume(body: unknown): VolumeSpec {
  const { name, labels = {}, driverOptions, perNode } = checkSchema(volumeCreateSchema, body);
  if (driverOptions === undefined) return { name, labels, ...(perNode && { perNode }) };
  const fault = driverOptionsFault(driverOptions);
  if (fault === undefined) return { name, labels, driverOptions };
  throw new ShoalError('invalid_argument', `Cannot make volume ${name}: ${fault.why}`, {
    next: `Do this: ${fault.hint}.`,
  });
}

/** Names that mean something else to whoever knows Docker. */
const predefinedNetworks: ReadonlySet<string> = new Set(['host', 'none', 'bridge', 'ingress']);
/** As the allocator has it: half of a /28 leaves six addresses for bridges and tasks. */
const subnetPrefixMax = 28;

function newNetwork(body: unknown): NetworkSpec {
  const given = checkSchema(networkCreateSchema, body);
  const { name, labels = {}, internal = false, subnet } = given;
  if (predefinedNetworks.has(name)) {
    throw new ShoalError('invalid_argument', `Cannot make a network called ${name}: the name means another`, {
      next: 'Choose another name.',
    });
  }
  if (subnet === undefined) return { name, labels, internal };
  const wished = parseSubnet(subnet);
  if (wished.prefix > subnetPrefixMax) {
    throw new ShoalError(
      'invalid_argument',
      `Cannot make network ${name}: the subnet ${subnet} is too small`,
      {
        next: `Give it a prefix of at most /${subnetPrefixMax}.`,
      },
    );
  }
  return { name, labels, internal, subnet };
}

function checkSubnet(view: View, { name, subnet }: NetworkSpec): void {
  if (subnet === undefined) return;
  const wished = parseSubnet(subnet);
  for (const other of view.networks.values()) {
    const taken = other.subnet ?? other.spec.subnet;
    if (taken === undefined || !subnetsOverlap(parseSubnet(taken), wished)) continue;
    throw new ShoalError(
      'failed_precondition',
      `Cannot make network ${name}: ${formatSubnet(wished)} overlaps ${taken} of network ${other.spec.name}`,
      { next: 'Give it another subnet, or none, for one that is free.' },
    );
  }
}
