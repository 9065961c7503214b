import { ShoalError } from '../../src/util/errors.ts';
import { sessionProtocol, type AgentMessage } from '../../src/wire/session.ts';

export type Hello = Extract<AgentMessage, { type: 'hello' }>;

/** An agent that is connected: what it said of itself, from where, and for how long it has been silent. */
export interface Incumbent {
  hello: Pick<Hello, 'instance' | 'host'>;
  remoteAddress: string;
  silentMs: number;
}

/** An agent that is connected and has been silent for this long has most likely gone; another one takes its place. */
export const incumbentSilenceMs = 1_200;

/** Refuses an agent that follows older rules than this manager. Throws `failed_precondition`. */
export function checkProtocol({ protocol, description }: Pick<Hello, 'protocol' | 'description'>): void {
  if (protocol >= sessionProtocol) return;
  throw new ShoalError(
    'failed_precondition',
    `the manager does not speak the protocol of an agent as old as Shoal ${description.shoalVersion}`,
    { next: 'Upgrade Shoal on this host: what runs there goes on meanwhile.' },
  );
}

/**
 * Refuses a second host with the certificate of a node whose agent is connected from another one: a copy of its disk. The
 * same agent, or a new one on the same host, takes over at once. Throws `already_exists`.
 */
export function checkRival(
  nodeId: string,
  hello: Pick<Hello, 'instance' | 'host'>,
  incumbent: Incumbent | undefined,
): void {
  if (incumbent === undefined || incumbent.silentMs >= incumbentSilenceMs) return;
  if (incumbent.hello.instance === hello.instance || incumbent.hello.host === hello.host) return;
  throw new ShoalError(
    'already_exists',
    `node ${nodeId} is already connected from ${incumbent.remoteAddress}, by another host with the same certificate`,
    {
      next: 'A host that is a copy of another one must leave the cluster and join it anew: `shoal leave --force`, `shoal join`.',
    },
  );
}
