import { parseAddress, parseSubnet } from '../../src/spec/address.ts';
import type { Network } from '../../src/spec/network.ts';
import type { Node } from '../../src/spec/node.ts';
import type { Volume } from '../../src/spec/resource.ts';
import type { Service, TaskTemplate } from '../../src/spec/service.ts';
import { taskName, taskStates, type Task } from '../../src/spec/task.ts';
import { messageOf, ShoalError, unreachable } from '../../src/util/errors.ts';
import type { ObjectKind, View } from './objects.ts';
import { isMissingTemplate } from './templates.ts';

/** What planners rely on in a value: a kind of value, a list or a map of them, or an object with at least these fields. */
type Shape =
  | 'text'
  | 'number'
  | 'address'
  | 'subnet'
  | 'state'
  | { list: Shape }
  /** A list that is not empty. */
  | { some: Shape }
  | { map: Shape }
  | Fields;
/** A name that ends in `?` may be absent. */
type Fields = { fields: Readonly<Record<string, Shape>> };

const texts: Shape = { list: 'text' };
const named: Shape = { list: { fields: { name: 'text' } } };
const port: Fields = { fields: { published: 'number', protocol: 'text', target: 'number' } };
const wantedPorts: Shape = { list: { fields: { protocol: 'text', target: 'number' } } };
const resources: Fields = { fields: { 'nanoCpus?': 'number', 'memoryBytes?': 'number' } };

const templateShape: Fields = {
  fields: {
    container: {
      fields: {
        mounts: { list: { fields: { type: 'text' } } },
        secrets: named,
        configs: named,
        'preStart?': { list: { fields: {} } },
      },
    },
    reservations: resources,
    restart: { fields: { condition: 'text', delayMs: 'number' } },
    placement: { fields: { constraints: texts, 'spread?': texts, 'with?': 'text' } },
    networks: { list: { fields: { name: 'text', aliases: texts, 'address?': 'address' } } },
    hostPorts: wantedPorts,
    'sharing?': { fields: { 'mounts?': { list: { fields: { service: 'text' } } } } },
  },
};

const taskShape: Fields = {
  fields: {
    serviceId: 'text',
    serviceName: 'text',
    slot: 'number',
    createdAt: 'number',
    desiredState: 'text',
    status: { fields: { state: 'state', at: 'number', message: 'text', 'hostPorts?': { list: port } } },
    attachments: { list: { fields: { networkId: 'text', address: 'address', aliases: texts } } },
    'anchors?': { map: 'text' },
    'nodeId?': 'text',
  },
};

const policy: Fields = { fields: { monitorMs: 'number', delayMs: 'number', order: 'text' } };

/** The template is looked at by itself. */
const specShape: Fields = {
  fields: {
    name: 'text',
    application: 'text',
    mode: { fields: { kind: 'text' } },
    ports: wantedPorts,
    dependsOn: { list: { fields: { service: 'text', condition: 'text' } } },
    update: policy,
    rollback: policy,
  },
};

const serviceShape: Fields = {
  fields: {
    spec: specShape,
    specVersion: 'number',
    'endpoint?': {
      fields: {
        virtualAddresses: { map: 'address' },
        ports: { list: port },
        'former?': { list: { fields: { upTo: 'number', ports: { list: port }, networks: named } } },
      },
    },
    'followed?': { map: 'number' },
    versions: { some: { fields: { version: 'number', state: 'text', createdAt: 'number' } } },
    'rollbackTarget?': { fields: { version: 'number', spec: specShape } },
    'earlierTargets?': { list: { fields: { version: 'number', spec: specShape } } },
    'updateStatus?': { fields: { id: 'text', state: 'text', specVersion: 'number' } },
  },
};

const networkShape: Fields = {
  fields: {
    spec: {
      fields: { name: 'text', 'subnet?': 'text', 'range?': 'text', 'reserved?': texts },
    },
    'vni?': 'number',
    'subnet?': 'subnet',
    'virtualSubnet?': 'subnet',
    'mtuBytes?': 'number',
    bridgeAddresses: { map: 'address' },
  },
};

const nodeShape: Fields = {
  fields: {
    labels: { map: 'text' },
    status: { fields: { state: 'text', since: 'number' } },
    'manager?': {
      fields: { address: 'text', 'member?': { fields: { id: 'text', phase: 'text', since: 'number' } } },
    },
    'conditions?': { list: { fields: { type: 'text' } } },
    'description?': {
      fields: {
        hostname: 'text',
        address: 'text',
        nanoCpus: 'number',
        memoryBytes: 'number',
        engine: { fields: { labels: { map: 'text' } } },
        'runtimes?': texts,
        'cdiDevices?': texts,
        'underlay?': {
          fields: { mtuBytes: 'number', connected: { list: 'subnet' }, routed: { list: 'subnet' } },
        },
      },
    },
  },
};

const volumeShape: Fields = {
  fields: {
    spec: { fields: { name: 'text' } },
    'home?': { fields: { nodeId: 'text', hostname: 'text' } },
    'nodeIds?': texts,
  },
};

const fileShape: Fields = { fields: { spec: { fields: { name: 'text', data: 'text' } } } };

/** Objects are replaced and not changed, so that each is looked at once; empty when it is sound. */
const known = new WeakMap<object, string>();

function remembered(object: object, look: () => string | undefined): string | undefined {
  const before = known.get(object);
  const found = before ?? look() ?? '';
  if (before === undefined) known.set(object, found);
  return found === '' ? undefined : found;
}

function damageOfTemplate(template: TaskTemplate): string | undefined {
  if (isMissingTemplate(template)) return 'the store does not have its template';
  return remembered(template, () => misfit(templateShape, template, 'template'));
}

/** What is wrong with a stored task, in words; undefined when nothing is. */
export function damageOfTask(task: Task): string | undefined {
  return damageOfTemplate(task.template) ?? remembered(task, () => misfit(taskShape, task, ''));
}

/** What is wrong with a stored network, in words. */
export function damageOfNetwork(network: Network): string | undefined {
  return remembered(network, () => misfit(networkShape, network, ''));
}

/** What is wrong with a stored node, in words. */
export function damageOfNode(node: Node): string | undefined {
  return remembered(node, () => misfit(nodeShape, node, ''));
}

/** What is wrong with a stored object itself, in words; nothing of kinds that planners do not read. */
export function damageOf(kind: ObjectKind, object: { id: string }): string | undefined {
  switch (kind) {
    case 'task':
      return damageOfTask(object as Task);
    case 'service':
      return damageOfServiceObject(object as Service);
    case 'network':
      return damageOfNetwork(object as Network);
    case 'node':
      return damageOfNode(object as Node);
    case 'secret':
    case 'config':
      return remembered(object, () => misfit(fileShape, object, ''));
    case 'volume':
      return damageOfVolume(object as Volume);
    case 'cluster':
    case 'application':
    case 'administrator':
    case 'template':
      return undefined;
    default:
      return unreachable(kind);
  }
}

/** What is wrong with a stored volume, in words. */
export function damageOfVolume(volume: Volume): string | undefined {
  return remembered(volume, () => misfit(volumeShape, volume, ''));
}

/** Throws when something is wrong with the stored network. */
export function checkNetwork(network: Network): void {
  const damage = damageOfNetwork(network);
  if (damage !== undefined)
    throw new ShoalError('failed_precondition', `network ${network.spec.name}: ${damage}`);
}

/** Throws when something is wrong with the stored node. */
export function checkNode(node: Node): void {
  const damage = damageOfNode(node);
  if (damage !== undefined) throw new ShoalError('failed_precondition', `node ${node.id}: ${damage}`);
}

/** What is wrong with a stored service itself, in words. */
export function damageOfServiceObject(service: Service): string | undefined {
  const own = remembered(service, () => misfit(serviceShape, service, ''));
  const { rollbackTarget, earlierTargets = [] } = service;
  const targets = rollbackTarget === undefined ? earlierTargets : [...earlierTargets, rollbackTarget];
  const specs = [service.spec, ...targets.map(({ spec }) => spec)];
  return own ?? first(specs, ({ task }) => damageOfTemplate(task));
}

/** What is wrong with what is stored of a service: with itself, its tasks, or networks that it is on. */
export function damageOfService(view: View, service: Service): string | undefined {
  const own = damageOfServiceObject(service);
  if (own !== undefined) return `service ${nameOf(service)}: ${own}`;
  for (const task of view.tasksOfService(service.id)) {
    const damage = damageOfTask(task);
    if (damage !== undefined) return `task ${taskName(task)}: ${damage}`;
  }
  for (const { name } of service.spec.task.networks) {
    const network = view.networkByName(name);
    const damage = network && damageOfNetwork(network);
    if (damage !== undefined) return `network ${name}: ${damage}`;
  }
  return undefined;
}

/** Why nothing is planned for the service, for a person; undefined when its stored objects are sound. */
export function damageReason(view: View, service: Service): string | undefined {
  const damage = damageOfService(view, service);
  return damage === undefined ? undefined : damageWords(damage);
}

/** The same of something that is known to be wrong. */
export function damageWords(damage: string): string {
  return `its stored objects are damaged: ${damage}; run \`shoal down\`, then \`shoal up\` again`;
}

function nameOf({ id, spec }: Service): string {
  return typeof spec?.name === 'string' ? spec.name : id;
}

/** `attachments is not a list`, the first that does not fit. */
function misfit(shape: Shape, value: unknown, at: string): string | undefined {
  if (typeof shape === 'string') return misfitOfOne(shape, value, at);
  if ('some' in shape) {
    return Array.isArray(value) && value.length === 0
      ? `${at} is empty`
      : misfit({ list: shape.some }, value, at);
  }
  if ('list' in shape) {
    if (!Array.isArray(value)) return `${at} is not a list`;
    return first(value.entries(), ([index, item]) => misfit(shape.list, item, `${at}[${index}]`));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return `${at || 'it'} is not an object`;
  const prefix = at === '' ? '' : `${at}.`;
  if ('map' in shape) {
    return first(Object.entries(value), ([key, item]) => misfit(shape.map, item, `${prefix}${key}`));
  }
  return first(Object.entries(shape.fields), ([field, inner]) => {
    const key = field.endsWith('?') ? field.slice(0, -1) : field;
    const held = (value as Record<string, unknown>)[key];
    return held === undefined && key !== field ? undefined : misfit(inner, held, `${prefix}${key}`);
  });
}

function misfitOfOne(shape: string, value: unknown, at: string): string | undefined {
  switch (shape) {
    case 'number':
      return Number.isFinite(value) ? undefined : `${at} is not a number`;
    case 'state':
      return taskStates.some((state) => state === value) ? undefined : `${at} is not a state`;
    default:
      if (typeof value !== 'string') return `${at} is not a text`;
  }
  if (shape === 'text') return undefined;
  try {
    if (shape === 'address') parseAddress(value);
    else parseSubnet(value);
    return undefined;
  } catch (error) {
    return `${at}: ${messageOf(error)}`;
  }
}

function first<T>(items: Iterable<T>, look: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const found = look(item);
    if (found !== undefined) return found;
  }
  return undefined;
}
