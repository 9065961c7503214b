import type { Administrator } from '../src/spec/administrator.ts';
import type { ApplicationSpec } from '../src/spec/application.ts';
import type { Cluster } from '../src/spec/cluster.ts';
import {
  defaultAddressPool,
  defaultRestart,
  defaultStopGracePeriodMs,
  defaultSubnetPrefix,
  defaultUpdate,
} from '../src/spec/defaults.ts';
import type { Network } from '../src/spec/network.ts';
import type { Node } from '../src/spec/node.ts';
import type { Volume } from '../src/spec/resource.ts';
import type { ContainerSpec, Service, ServiceSpec, TaskTemplate } from '../src/spec/service.ts';
import type { Task } from '../src/spec/task.ts';

/** Small whole objects for tests: what a test does not name is what a plain small application has. */
const meta = (id: string) => ({ id, createdAt: 0, updatedAt: 0, revision: 0 });

/** A cluster without secrets, with the default networks. */
export function sampleCluster(changes: Partial<Cluster> = {}): Cluster {
  return {
    ...meta('cluster'),
    clusterId: 'sample',
    certificateAuthority: { certificatePem: '', privateKeyPem: '' },
    joinSecrets: { manager: '', worker: '' },
    addressPool: defaultAddressPool,
    subnetPrefix: defaultSubnetPrefix,
    ...changes,
  };
}

/** A ready worker with 2 CPUs and 4 GiB whose hostname is its id. */
export function sampleNode(id: string, changes: Partial<Node> = {}): Node {
  return {
    ...meta(id),
    role: 'worker',
    availability: 'active',
    labels: {},
    description: {
      hostname: id,
      address: '192.0.2.1',
      os: 'linux',
      architecture: 'x86_64',
      nanoCpus: 2e9,
      memoryBytes: 4 * 2 ** 30,
      engine: { name: 'containerd', version: '1.6', labels: {} },
      shoalVersion: '0.1.0',
    },
    status: { state: 'ready', since: 0, message: '' },
    ...changes,
  };
}

/** A viewer whose certificate nobody has. */
export function sampleAdministrator(name: string, changes: Partial<Administrator> = {}): Administrator {
  return { ...meta(name), name, role: 'viewer', fingerprint: name, expiresAt: 1, ...changes };
}

/** A volume of the application `app`, with nothing on any node. */
export function sampleVolume(key: string, changes: Partial<Volume> = {}): Volume {
  return { ...meta(key), spec: { name: `app_${key}`, application: 'app', labels: {} }, ...changes };
}

/** A container of the image, all else as the image says. */
export function sampleContainer(changes: Partial<ContainerSpec> = {}): ContainerSpec {
  return {
    image: 'docker.io/library/busybox:latest',
    environment: {},
    labels: {},
    mounts: [],
    secrets: [],
    configs: [],
    stopGracePeriodMs: defaultStopGracePeriodMs,
    ...changes,
  };
}

/** A template without networks, ports, mounts or limits. */
export function sampleTemplate(changes: Partial<TaskTemplate> = {}): TaskTemplate {
  return {
    container: sampleContainer(),
    limits: {},
    reservations: {},
    restart: defaultRestart,
    placement: { constraints: [], maxReplicasPerNode: 0 },
    networks: [],
    hostPorts: [],
    forceUpdate: 0,
    ...changes,
  };
}

/** A replicated service of one task, of the application `app`, called `app_KEY`. */
export function sampleSpec(key: string, changes: Partial<ServiceSpec> = {}): ServiceSpec {
  return {
    name: `app_${key}`,
    application: 'app',
    key,
    labels: {},
    mode: { kind: 'replicated', replicas: 1 },
    task: sampleTemplate(),
    update: defaultUpdate,
    rollback: defaultUpdate,
    ports: [],
    endpointMode: 'vip',
    dependsOn: [],
    ...changes,
  };
}

/** A replicated service of the application `app`, called `app_ID`, whose dependencies hold. */
export function sampleService(
  id: string,
  spec: Partial<ServiceSpec> = {},
  changes: Partial<Service> = {},
): Service {
  return {
    ...meta(id),
    spec: sampleSpec(id, spec),
    versions: [{ version: 1, cause: 'up', state: 'completed', createdAt: 0, endedAt: 0 }],
    specVersion: 1,
    dependenciesMet: true,
    removing: false,
    ...changes,
  };
}

/** A new task of the service, made from its spec. */
export function sampleTask(service: Service, slot: number, changes: Partial<Task> = {}): Task {
  return {
    ...meta(`${service.id}-${slot}`),
    application: service.spec.application,
    serviceId: service.id,
    serviceName: service.spec.name,
    slot,
    specVersion: service.specVersion,
    template: service.spec.task,
    desiredState: 'running',
    status: { state: 'new', at: 0, message: '' },
    attachments: [],
    ...changes,
  };
}

/** A network of the application `app`, called `app_ID`, that the allocator has not seen yet. */
export function sampleNetwork(id: string, subnet?: string, changes: Partial<Network> = {}): Network {
  return {
    ...meta(id),
    spec: { name: `app_${id}`, application: 'app', labels: {}, internal: false, subnet },
    bridgeAddresses: {},
    removing: false,
    ...changes,
  };
}

/** Services `NAME_s0`, `NAME_s1`, … on one network, `NAME_net`. */
export function sampleApplication(name: string, ...services: Partial<ServiceSpec>[]): ApplicationSpec {
  return {
    name,
    services: services.map((changes, index) => ({
      ...sampleService(`s${index}`).spec,
      application: name,
      name: `${name}_s${index}`,
      task: sampleTemplate({ networks: [{ name: `${name}_net`, aliases: [] }] }),
      ...changes,
    })),
    networks: [{ name: `${name}_net`, application: name, labels: {}, internal: false }],
    volumes: [],
    secrets: [],
    configs: [],
  };
}
