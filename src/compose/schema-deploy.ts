import { bytes, duration, integerFrom, labels, object, oneOf, refused, text, textList } from './attribute.ts';
import type { Attribute } from './attribute.ts';
import { genericResources, reservedDevices } from './schema-devices.ts';

/** What the manager takes. */
export const replicasMax = 10_000;

/** A number of CPUs. */
export const cpus: Attribute = {
  type: 'number',
  form: 'number',
  minimum: 0,
  maximum: 1e6,
  says: 'a number of CPUs, such as 0.5',
};

function updatePolicy(...failureActions: string[]): Attribute {
  return object({
    parallelism: integerFrom(0),
    delay: duration,
    failure_action: oneOf(...failureActions),
    monitor: duration,
    max_failure_ratio: {
      type: 'number',
      form: 'number',
      minimum: 0,
      maximum: 1,
      says: 'a share from 0 to 1',
    },
    order: oneOf('stop-first', 'start-first'),
  });
}

/** What a cluster does with a service (Compose Deploy specification). */
const deployAttributes: Record<string, Attribute> = {
  mode: {
    ...oneOf('replicated', 'global', 'replicated-job', 'global-job'),
    cluster:
      'global: one replica on every host that fits; a job: its programs run to their ends, those that fail again as restart_policy says; a changed one runs anew',
  },
  replicas: integerFrom(0, replicasMax),
  endpoint_mode: oneOf('vip', 'dnsrr'),
  labels: { ...labels, cluster: 'on the service, not on its containers' },
  placement: object({
    constraints: { ...textList, merge: 'append', says: 'a list such as node.labels.disk == ssd' },
    max_replicas_per_node: integerFrom(0),
    preferences: {
      type: 'array',
      items: object({ spread: { ...text, says: 'a label of the nodes, such as node.labels.zone' } }),
      merge: 'append',
      says: 'a list of maps with spread',
      cluster:
        'new replicas go to the nodes with the value of the label that has fewest of them; nodes without it are one value as well',
    },
  }),
  resources: object({
    limits: object({ cpus, memory: bytes, pids: integerFrom(0) }),
    reservations: object({
      cpus,
      memory: bytes,
      generic_resources: refused(
        genericResources,
        'the scheduler does not count them; label the nodes, and use a constraint',
      ),
      devices: reservedDevices,
    }),
  }),
  restart_policy: object({
    condition: oneOf('none', 'on-failure', 'any'),
    delay: duration,
    max_attempts: integerFrom(0),
    window: duration,
  }),
  update_config: updatePolicy('continue', 'rollback', 'pause'),
  rollback_config: updatePolicy('continue', 'pause'),
};

export const deploy: Attribute = object(deployAttributes, { type: ['object', 'null'] });
