/** What a manager would tell each host, worked out from a list of tasks: just enough of one for the network tests. */
import type { TaskNetwork } from '../../agent/network/network.ts';
import type { AllocatedPort, ServiceLink } from '../../src/spec/service.ts';
import type { AssignmentLists } from './network-host.ts';

export interface TestTask {
  id: string;
  service: string;
  /** Index into the hosts. */
  host: number;
  slot: number;
  /** Network name to address. */
  addresses: Record<string, string>;
  /** Whether it may receive new connections. */
  ready: boolean;
  hostPorts?: AllocatedPort[];
}

export interface TestService {
  name: string;
  application: string;
  networks: { name: string; virtualAddress?: string; aliases?: string[] }[];
  ports?: AllocatedPort[];
  links?: ServiceLink[];
}

export interface TestNetwork {
  vni: number;
  subnet: string;
  internal: boolean;
  /** Of each host's bridge: the first three bytes of its address. */
  bridges: string;
}

export class TestCluster {
  readonly networks: Record<string, TestNetwork>;
  readonly services: TestService[];
  tasks: TestTask[] = [];
  readonly hostAddresses: string[];

  constructor(hostAddresses: string[], networks: Record<string, TestNetwork>, services: TestService[]) {
    this.hostAddresses = hostAddresses;
    this.networks = networks;
    this.services = services;
  }

  /** The whole assignment of one host. Every host is part of every network here. */
  assignments(host: number): AssignmentLists {
    const bridgeOf = (network: TestNetwork, index: number) => `${network.bridges}.${index + 1}`;
    const networks = Object.entries(this.networks).map(([name, network]) => ({
      id: networkId(name),
      name: `app_${name}`,
      vni: network.vni,
      subnet: network.subnet,
      internal: network.internal,
      bridgeAddress: bridgeOf(network, host),
      peers: this.hostAddresses
        .map((hostAddress, index) => ({
          nodeId: `node${index}`,
          bridgeAddress: bridgeOf(network, index),
          hostAddress,
        }))
        .filter((_, index) => index !== host),
    }));
    const peers = this.tasks
      .filter((task) => task.host !== host)
      .flatMap((task) =>
        Object.entries(task.addresses).map(([name, address]) => ({
          id: `${networkId(name)}/${task.id}`,
          networkId: networkId(name),
          address,
          hostAddress: this.hostAddresses[task.host]!,
        })),
      );
    const services = this.services.map((service) => ({
      id: service.name,
      name: service.name,
      key: service.name.replace(/^[^_]*_/, ''),
      application: service.application,
      networks: service.networks.map(({ name, virtualAddress, aliases = [] }) => ({
        networkId: networkId(name),
        ...(virtualAddress && { virtualAddress }),
        aliases,
      })),
      ports: service.ports ?? [],
      ...(service.links && { links: service.links }),
      ...(service.ports && { ingressNetworkId: networkId(service.networks[0]!.name) }),
    }));
    const endpoints = this.tasks
      .filter((task) => task.ready)
      .map((task) => ({
        id: task.id,
        serviceId: task.service,
        slot: task.slot,
        nodeId: `node${task.host}`,
        addresses: byNetworkId(task.addresses),
      }));
    return { networks, peers, services, endpoints };
  }

  attachments(task: TestTask): TaskNetwork {
    return {
      taskId: task.id,
      serviceId: task.service,
      hostPorts: task.hostPorts ?? [],
      attachments: Object.entries(task.addresses).map(([name, address]) => ({
        networkId: networkId(name),
        address,
        aliases: [],
      })),
    };
  }
}

function byNetworkId(addresses: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(addresses).map(([name, address]) => [networkId(name), address]));
}

/** Ids have 12 characters. */
export function networkId(name: string): string {
  return `${name}network000000`.slice(0, 12);
}
