import { defaultRestart, defaultUpdate } from '../src/spec/defaults.ts';
import type { Service, ServiceSpec } from '../src/spec/service.ts';
import type { Task, TaskStatus } from '../src/spec/task.ts';
import type { ApplicationStatus, ServiceStatus } from '../src/wire/api.ts';

const meta = { id: 'abcdefghijkl', createdAt: 0, updatedAt: 0, revision: 1 };

/** A service as the API shows it, for tests of what the command line makes of it. */
export function sampleService(changes: Partial<Service> = {}, spec: Partial<ServiceSpec> = {}): Service {
  return {
    ...meta,
    spec: {
      name: 'shop_web',
      application: 'shop',
      key: 'web',
      labels: {},
      mode: { kind: 'replicated', replicas: 2 },
      task: {
        container: {
          image: 'web',
          environment: {},
          labels: {},
          mounts: [],
          secrets: [],
          configs: [],
          stopGracePeriodMs: 10_000,
        },
        limits: {},
        reservations: {},
        restart: defaultRestart,
        placement: { constraints: [], maxReplicasPerNode: 0 },
        networks: [],
        hostPorts: [],
        forceUpdate: 0,
      },
      update: defaultUpdate,
      rollback: defaultUpdate,
      ports: [],
      endpointMode: 'vip',
      dependsOn: [],
      ...spec,
    },
    specVersion: 1,
    dependenciesMet: true,
    removing: false,
    ...changes,
  };
}

export function sampleTask(
  slot: number,
  status: Partial<TaskStatus> = {},
  changes: Partial<Task> = {},
): Task {
  const service = sampleService();
  return {
    ...meta,
    id: `task${String(slot).padStart(8, '0')}`,
    application: 'shop',
    serviceId: service.id,
    serviceName: service.spec.name,
    slot,
    nodeId: 'node00000001',
    specVersion: 1,
    template: service.spec.task,
    desiredState: 'running',
    status: { state: 'running', at: 0, startedAt: 0, message: 'running', ...status },
    attachments: [],
    ...changes,
  };
}

export function sampleStatus(changes: Partial<ServiceStatus> = {}): ServiceStatus {
  return {
    service: sampleService(),
    desired: 2,
    running: 2,
    converged: true,
    tasks: [sampleTask(1), sampleTask(2)],
    ...changes,
  };
}

export function sampleApplication(services: ServiceStatus[]): ApplicationStatus {
  return { name: 'shop', revision: 1, services, networks: [], nodes: [] };
}
