import type { Change, Database } from '../../manager/store/objects.ts';
import type { Network } from '../../src/spec/network.ts';
import type { Service } from '../../src/spec/service.ts';
import type { Task } from '../../src/spec/task.ts';
import {
  sampleCluster,
  sampleNetwork,
  sampleNode,
  sampleService,
  sampleTask,
  sampleTemplate,
} from '../samples.ts';

/** One application: so many services of so many replicas on a network of their own. */
const servicesPerApplication = 5;
const replicasPerService = 10;
/** One application in so many publishes a port, so that every node is part of its network. */
const applicationsPerPort = 10;
/** Objects written in one transaction. */
const groupObjects = 200;

/** Writes a cluster at rest: every task runs on its node and has its addresses. Gives the ids of the nodes. */
export async function loadCluster(database: Database, tasks: number, nodes: number): Promise<string[]> {
  const nodeIds = Array.from({ length: nodes }, (_, index) => `node-${String(index).padStart(4, '0')}`);
  const changes: Change[] = [{ kind: 'cluster', action: 'create', object: sampleCluster() }];
  for (const [index, id] of nodeIds.entries()) {
    const { description } = sampleNode(id);
    const address = `198.18.${Math.floor(index / 250)}.${(index % 250) + 1}`;
    const object = sampleNode(id, { description: { ...description!, address, memoryBytes: 2 ** 40 } });
    changes.push({ kind: 'node', action: 'create', object });
  }
  const applications = Math.ceil(tasks / (servicesPerApplication * replicasPerService));
  for (let index = 0; index < applications; index++) changes.push(...applicationOf(index, nodeIds));
  for (let from = 0; from < changes.length; from += groupObjects) {
    await database.write([changes.slice(from, from + groupObjects)]);
  }
  return nodeIds;
}

function applicationOf(index: number, nodeIds: string[]): Change[] {
  const network = networkOf(index, nodeIds);
  const changes: Change[] = [{ kind: 'network', action: 'create', object: network }];
  for (let number = 0; number < servicesPerApplication; number++) {
    const isPublished = number === 0 && index % applicationsPerPort === 0;
    const service = serviceOf(index, number, network, isPublished);
    changes.push({ kind: 'service', action: 'create', object: service });
    for (let slot = 1; slot <= replicasPerService; slot++) {
      const place = index * 7 + number * replicasPerService + slot;
      const object = taskOf(service, slot, number, network, nodeIds[place % nodeIds.length]!);
      changes.push({ kind: 'task', action: 'create', object });
    }
  }
  return changes;
}

/** The second and third byte of a network's addresses; a /20 of the cluster's pool. */
const subnetOf = (index: number) => ({ second: 64 + Math.floor(index / 16), third: (index % 16) * 16 });

function networkOf(index: number, nodeIds: string[]): Network {
  const { second, third } = subnetOf(index);
  const id = `network-${index}`;
  const bridgeAddresses = Object.fromEntries(
    nodeIds.map((nodeId, place) => [nodeId, `10.${second}.${third}.${place + 1}`]),
  );
  return sampleNetwork(id, undefined, {
    vni: 4096 + index,
    subnet: `10.${second}.${third}.0/20`,
    bridgeAddresses,
  });
}

function serviceOf(index: number, number: number, network: Network, isPublished: boolean): Service {
  const published = 1_024 + index;
  const ports = isPublished ? [{ target: 80, published, protocol: 'tcp' as const }] : [];
  const { second, third } = subnetOf(index);
  const address = `10.${second}.${third + 8}.${number + 1}`;
  const task = sampleTemplate({ networks: [{ name: network.spec.name, aliases: [] }] });
  return sampleService(
    `service-${index}-${number}`,
    {
      task,
      mode: { kind: 'replicated', replicas: replicasPerService },
      ports: ports.map((port) => ({ ...port, mode: 'ingress' as const })),
    },
    { endpoint: { virtualAddresses: { [network.id]: address }, ports } },
  );
}

function taskOf(service: Service, slot: number, number: number, network: Network, nodeId: string): Task {
  const [first, second, third] = network.subnet!.split('.');
  const address = `${first}.${second}.${Number(third) + 2}.${number * replicasPerService + slot}`;
  // The first slots are still to become endpoints: one of them is the change that is measured.
  const state = slot === 1 && number === 0 ? 'starting' : 'running';
  return sampleTask(service, slot, {
    createdAt: 1,
    nodeId,
    status: { state, at: 1, message: '', startedAt: 1 },
    attachments: [{ networkId: network.id, address, aliases: [] }],
  });
}
