import { formatDuration } from '../util/text.ts';
import type { ClusterInfo } from '../wire/api.ts';
import type { Client } from '../wire/client.ts';

/**
 * The manager's time (ms). Stored times are the manager's, and so must be the time that they are compared with: the clock of
 * this machine may show another.
 */
export async function nowOf(client: Client): Promise<number> {
  return (await client.request<ClusterInfo>('GET', '/cluster')).now;
}

/** How long ago something was. */
export function formatAge(at: number, now: number): string {
  return formatDuration(now - at);
}

/** The same for many of one list. */
export async function agesOf(client: Client): Promise<(at: number) => string> {
  const now = await nowOf(client);
  return (at) => formatAge(at, now);
}
