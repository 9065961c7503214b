import type {
  EndpointAssignment,
  NetworkAssignment,
  PeerAssignment,
  ServiceAssignment,
} from '../../src/wire/session.ts';
import type { NetworkAttachment } from '../../src/spec/task.ts';
import type { AllocatedPort } from '../../src/spec/service.ts';
import type { Underlay } from './underlay.ts';

/** What the manager says of networks, by id within each kind; the whole of it. */
export interface NetworkAssignments {
  networks: ReadonlyMap<string, NetworkAssignment>;
  peers: ReadonlyMap<string, PeerAssignment>;
  services: ReadonlyMap<string, ServiceAssignment>;
  endpoints: ReadonlyMap<string, EndpointAssignment>;
}

export interface TaskNetwork {
  taskId: string;
  serviceId: string;
  attachments: NetworkAttachment[];
  /** Host-mode ports of this task. */
  hostPorts: AllocatedPort[];
  /** Asked for names of the outside world in place of the host's own servers. */
  dnsServers?: string[];
}

/**
 * The host's part of the overlay: bridges, VXLAN ports, namespaces of tasks, nftables, DNS. One user at a time per host.
 * What an earlier process left is taken over by the first call.
 */
export interface HostNetwork {
  /**
   * Watches the host's own network from now on: `onChange` is told what is there, and then of each change, which the next
   * `apply` takes up.
   */
  watch(onChange: (underlay: Underlay) => void): void;
  /** The host's own network, as last seen. */
  underlay(): Promise<Underlay>;
  /** Sets the kernel's switches and makes it match. Resolves when it does: an endpoint that is gone gets no new connection from this host. Calls are serialised. */
  apply(assignments: NetworkAssignments): Promise<void>;
  /** Of the networks of the last `apply` those that would cut this host off its own network, by id, with the reason. */
  refused(): ReadonlyMap<string, string>;
  /**
   * Makes the task's namespace with its interfaces, addresses and routes, ready before the process starts. Idempotent.
   * `dnsServer` is what its resolv.conf must name; absent when it joins no network.
   * Errors: `port_taken`, `network_failed`.
   */
  attach(task: TaskNetwork): Promise<{ namespacePath: string; dnsServer?: string }>;
  /** Removes namespace and interfaces; no error when there is nothing. */
  detach(taskId: string): Promise<void>;
  /** The TCP ports on which a task answers others: in the network namespace of that process of it. None when it has ended. */
  listening(pid: number): Promise<ReadonlySet<number>>;
  /** Ids of the tasks that have a namespace here, whoever made it. */
  list(): Promise<string[]>;
  /** Stops watching and the DNS server; leaves the kernel's state as it is, for containers live on. */
  stop(): Promise<void>;
  /** Removes every trace from the kernel: for leaving a cluster. */
  purge(): Promise<void>;
}
