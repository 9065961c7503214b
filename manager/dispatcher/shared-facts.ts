import type { Service } from '../../src/spec/service.ts';
import type { Task } from '../../src/spec/task.ts';
import type { View } from '../store/objects.ts';
import {
  endpointAssignment,
  ingressIds,
  networksOf,
  serviceAssignment,
  type ServiceNetworks,
} from './assignments.ts';
import { Fragment } from './fragment.ts';

/** Which of the networks are among those: what is seen from nodes with the same answer is the same. */
function sightOf(networkIds: readonly string[], networks: ReadonlySet<string>): string {
  return networkIds.map((id) => (networks.has(id) ? '1' : '0')).join('');
}

/** One service as it is told to the nodes, by the networks that they are part of. A changed service is another object. */
export class ServiceFact {
  readonly service: Service;
  readonly networkIds: readonly string[];
  /** By which every node is part of the networks that its published ports lead to. */
  readonly ingressNetworkIds: readonly string[];
  readonly #networks: ServiceNetworks;
  readonly #fragments = new Map<string, Fragment>();

  constructor(view: View, service: Service) {
    this.service = service;
    this.#networks = networksOf(view, service);
    this.networkIds = this.#networks.joined.map(({ networkId }) => networkId);
    this.ingressNetworkIds = ingressIds(this.#networks);
  }

  /** Whether a node on these networks is told of the service at all. */
  isSeenFrom(networks: ReadonlySet<string>): boolean {
    // A service that wants a virtual IP is not named before it has one, or its name would resolve to tasks.
    return this.service.endpoint !== undefined && this.networkIds.some((id) => networks.has(id));
  }

  seenFrom(networks: ReadonlySet<string>): Fragment | undefined {
    if (!this.isSeenFrom(networks)) return undefined;
    const sight = sightOf(this.networkIds, networks);
    const known = this.#fragments.get(sight);
    if (known !== undefined) return known;
    const value = serviceAssignment(this.service, this.#networks, networks);
    const fragment = new Fragment({ kind: 'service', value });
    this.#fragments.set(sight, fragment);
    return fragment;
  }

  /** Whether the same nodes see both. */
  isSeenAs(other: ServiceFact | undefined): boolean {
    return (
      other !== undefined &&
      (this.service.endpoint === undefined) === (other.service.endpoint === undefined) &&
      this.networkIds.join() === other.networkIds.join()
    );
  }
}

/** One task to which connections may go, as it is told to the nodes. */
export class EndpointFact {
  readonly task: Task;
  readonly networkIds: readonly string[];
  readonly #fragments = new Map<string, Fragment>();

  constructor(task: Task) {
    this.task = task;
    this.networkIds = task.attachments.map(({ networkId }) => networkId);
  }

  /** What a node on these networks is told, if it is told of the service. */
  seenFrom(networks: ReadonlySet<string>, service: ServiceFact | undefined): Fragment | undefined {
    if (service?.isSeenFrom(networks) !== true) return undefined;
    const sight = sightOf(this.networkIds, networks);
    const known = this.#fragments.get(sight);
    if (known !== undefined) return known;
    const value = endpointAssignment(this.task, networks);
    if (value === undefined) return undefined;
    const fragment = new Fragment({ kind: 'endpoint', value });
    this.#fragments.set(sight, fragment);
    return fragment;
  }

  /** Whether the endpoint is told in the same words. */
  isSameAs({ slot, nodeId, serviceId, specVersion, attachments }: Task): boolean {
    const own = this.task;
    return (
      own.specVersion === specVersion &&
      own.slot === slot &&
      own.nodeId === nodeId &&
      own.serviceId === serviceId &&
      own.attachments.length === attachments.length &&
      own.attachments.every(
        ({ networkId, address }, index) =>
          networkId === attachments[index]!.networkId && address === attachments[index]!.address,
      )
    );
  }
}
