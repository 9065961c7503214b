import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unreachable } from '../../../src/util/errors.ts';
import type { Cluster } from '../../harness/cluster.ts';
import { busyboxImage, buildImage, nodeImage } from '../../harness/image.ts';
import { paths } from '../../harness/state.ts';
import {
  application,
  serviceKeys,
  variantOf,
  type Change,
  type Fault,
  type ServiceKey,
  type State,
  type Variant,
} from './model.ts';
import { changedVariant } from './oracle.ts';

/** The Compose files of the project under load, with what may be wrong in them. */

export const port = 18_080;
export const secondPort = 18_082;
/** Belongs to another project. */
const takenPort = 18_081;
const innerPort = 8_080;
/** `web` listens on another port in every other version: whoever asks finds each task where its own version listens. */
const webPorts = 2;
/** Versions go round so many tags of one image, so that it shows which image runs. */
const tags = 3;

/** Names of the images, as hosts pull them. */
export interface Images {
  server: string;
  store: string;
}

/** Pushes the images and brings up the project that has the other port. */
export async function prepare(cluster: Cluster): Promise<Images> {
  const directory = paths(cluster.directory).images;
  const source = join(import.meta.dirname, 'server.mts');
  const server = await buildImage({
    directory,
    from: await nodeImage(directory),
    files: { '/app/server.mts': { content: await readFile(source, 'utf8') } },
    command: ['node', '/app/server.mts'],
  });
  const busybox = await busyboxImage(directory);
  for (let tag = 0; tag < tags; tag++) {
    await cluster.push(`hurt/server:${tag}`, server);
    await cluster.push(`hurt/store:${tag}`, busybox);
  }
  return { server: `${cluster.registry}/hurt/server`, store: `${cluster.registry}/hurt/store` };
}

/** The image of a service's version. */
export function imageOf(images: Images, key: ServiceKey, version: string): string {
  return `${key === 'store' ? images.store : images.server}:${Number.parseInt(version, 10) % tags}`;
}

/** The project that has the port which the other one may not take. */
export function otherProject(images: Images): string {
  const holder = {
    image: `${images.server}:0`,
    ports: [`${takenPort}:${innerPort}`],
    stop_grace_period: '2s',
    environment: { VERSION: 'other' },
  };
  return JSON.stringify({ name: 'other', services: { holder } });
}

/** The file of a change, written when all was as `state`; without one the file of the state. */
export function fileFor(
  images: Images,
  { services }: Pick<State, 'services'>,
  change?: Extract<Change, { kind: 'up' }>,
  /** Memory that each of its tasks reserves. */
  reservedBytes?: number,
): string {
  const entries = serviceKeys.map((key) => {
    const own = change?.service === key ? change : undefined;
    const variant = own === undefined ? variantOf(services[key]) : changedVariant(services[key], own);
    const service = serviceOf(images, key, variant, own?.replicas);
    if (own !== undefined && reservedBytes !== undefined) {
      service.deploy.resources = { reservations: { memory: `${reservedBytes}` } };
    }
    return [key, own?.fault === undefined ? service : withFault(service, own.fault)];
  });
  const file = {
    name: application,
    services: Object.fromEntries(entries) as Record<ServiceKey, ServiceText>,
    volumes: { data: {} },
    ...(change?.fault === 'secret' && { secrets: { nowhere: { external: true } } }),
  };
  return JSON.stringify(file, null, 2);
}

interface ServiceText {
  image: string;
  environment: Record<string, string>;
  command?: string[];
  ports?: string[];
  secrets?: string[];
  volumes?: string[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck: Record<string, string | number | string[]>;
  stop_grace_period: string;
  deploy: {
    replicas?: number;
    placement?: { constraints: string[] };
    resources?: { limits?: { memory: string }; reservations?: { memory: string } };
    restart_policy: { condition: string; delay: string };
    update_config: Record<string, string | number>;
    rollback_config: Record<string, string | number>;
  };
}

function serviceOf(images: Images, key: ServiceKey, variant: Variant, replicas?: number): ServiceText {
  const order = key === 'store' ? 'stop-first' : 'start-first';
  const rollout = { parallelism: 2, order, monitor: '1s' };
  const common = {
    image: imageOf(images, key, variant.version),
    environment: { VERSION: variant.version },
    stop_grace_period: '5s',
    deploy: {
      ...(replicas !== undefined && { replicas }),
      restart_policy: { condition: 'any', delay: '500ms' },
      update_config: { ...rollout, failure_action: 'rollback' },
      rollback_config: rollout,
    },
  };
  if (key === 'store') return { ...common, ...storeParts };
  const isWeb = key === 'web';
  const inner = isWeb ? webPortOf(variant.version) : innerPort;
  const ports = [`${port}:${inner}`, ...(variant.secondPort ? [`${secondPort}:${inner}`] : [])];
  const health = `http://127.0.0.1:${inner}/health`;
  return {
    ...common,
    environment: {
      ...common.environment,
      PORT: `${inner}`,
      ...(isWeb && { ASKS: `http://api:${innerPort}/` }),
    },
    healthcheck: { test: ['CMD', 'wget', '-q', '-O', '/dev/null', health], ...checkTimes },
    depends_on: isWeb
      ? { api: { condition: 'service_healthy' } }
      : { store: { condition: 'service_started' } },
    ...(isWeb && { ports }),
  };
}

function webPortOf(version: string): number {
  return innerPort + (Number.parseInt(version, 10) % webPorts);
}

const checkTimes = {
  interval: '2s',
  timeout: '5s',
  retries: 3,
  start_period: '20s',
  start_interval: '300ms',
};

/** Notes each start in its volume: whether all of them are there tells whether it is still the same one. */
const storeParts = {
  command: [
    'sh',
    '-c',
    `if [ -n "$$CRASH" ]; then exit 7; fi
    if [ -n "$$HUNGRY" ]; then exec dd if=/dev/zero of=/dev/null bs=64M count=1; fi
    echo $$VERSION >>/data/starts
    trap "exit 0" TERM
    while :; do sleep 1 & wait $$!; done`,
  ],
  volumes: ['data:/data'],
  healthcheck: { test: ['CMD', 'test', '-s', '/data/starts'], ...checkTimes },
};

function withFault(service: ServiceText, fault: Fault): ServiceText {
  const { deploy, environment } = service;
  switch (fault) {
    case 'port':
      return { ...service, ports: [...(service.ports ?? []), `${takenPort}:${innerPort}`] };
    case 'constraint':
      return { ...service, deploy: { ...deploy, placement: { constraints: ['node.labels.disk == none'] } } };
    case 'reservation':
      return { ...service, deploy: { ...deploy, resources: { reservations: { memory: '4000G' } } } };
    case 'secret':
      return { ...service, secrets: ['nowhere'] };
    case 'image':
      return { ...service, image: `${service.image}-is-not-there` };
    case 'health':
      return {
        ...service,
        healthcheck: { test: ['CMD', 'false'], interval: '300ms', retries: 2, start_period: '0s' },
      };
    case 'crash':
      return { ...service, environment: { ...environment, CRASH: 'yes' } };
    case 'memory':
      return {
        ...service,
        environment: { ...environment, HUNGRY: 'yes' },
        deploy: { ...deploy, resources: { limits: { memory: tooLittle } } },
      };
    default:
      return unreachable(fault);
  }
}

/** Enough for a container to be made, and too little for Node to start, or for what the store does when it is hungry. */
const tooLittle = '12M';
