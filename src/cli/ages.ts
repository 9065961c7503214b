import type { Client } from '../wire/client.ts';
import type { ClusterInfo } from '../wire/api.ts';
import { formatDuration } from '../util/text.ts';

/**
 * Tells how long ago something was. Stored times are the manager's, and so is the time that they are compared with: the
 * clock of this machine may show another.
 */
export async function agesOf(client: Client): Promise<(at: number) => string> {
  const { now } = await client.request<ClusterInfo>('GET', '/cluster');
  return (at) => formatDuration(now - at);
}
