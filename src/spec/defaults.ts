import type { Healthcheck, RestartPolicy, UpdatePolicy } from './service.ts';

/** Defaults as SwarmKit has them, so that the same file behaves the same (shared reference: Swarm's exact defaults). */
export const defaultRestart: RestartPolicy = {
  condition: 'any',
  delayMs: 5_000,
  maxAttempts: 0,
  windowMs: 0,
};

export const defaultUpdate: UpdatePolicy = {
  parallelism: 1,
  delayMs: 0,
  failureAction: 'pause',
  monitorMs: 5_000,
  maxFailureRatio: 0,
  order: 'stop-first',
};

/** The engine's defaults for what a healthcheck leaves out. */
export const defaultHealthcheck: Required<Omit<Healthcheck, 'test'>> = {
  intervalMs: 30_000,
  timeoutMs: 30_000,
  startPeriodMs: 0,
  startIntervalMs: 5_000,
  retries: 3,
};

export const defaultStopGracePeriodMs = 10_000;
export const defaultAddressPool = '10.64.0.0/10';
export const defaultSubnetPrefix = 20;
export const dynamicPorts = { first: 30_000, last: 32_767 } as const;
export const firstVni = 4096;

export const secretBytesMax = 500 * 1024;
export const configBytesMax = 1000 * 1024;

/** Services, networks, volumes, secrets and configs of one application: they are written in one transaction. */
export const applicationObjectsMax = 1_000;

/** A service as JSON; one that is larger would not fit into what is sent to a host at a time. */
export const serviceBytesMax = 3 * 1024 * 1024;

/** Finished tasks kept per slot, so that `ps` and `logs` can tell what happened. */
export const taskHistoryPerSlot = 5;

/** A node whose agent has been silent this long is down. Heartbeats come four times as often. */
export const nodeSilenceMs = 2_400;
export const heartbeatIntervalMs = nodeSilenceMs / 4;

/**
 * A host whose agent has ended is not silent: its kernel closes the connection. It has this long to start the agent again
 * before its tasks are replaced, for they run on meanwhile. So have agents that a manager has not heard since its own start.
 */
export const agentReturnMs = 10_000;

export const managerPort = 2377;
export const vxlanPort = 4789;

/** What the place where things live is called unless an option says otherwise. */
export const defaultPaths = {
  state: '/var/lib/shoal',
  run: '/run/shoal',
  engine: '/run/containerd/containerd.sock',
} as const;
