import { withDeadline } from '../../src/util/clock.ts';
import type { StreamRequest } from '../../src/wire/session.ts';
import { askHost } from '../api/host-stream.ts';
import type { Hosts } from './pass.ts';

/** A host writes out what has arrived before it puts it in its place. */
const answerMs = 10 * 60_000;

/** Has a host put what has arrived in its place, or clear up, and waits until it has. Throws what it answers. */
export async function settleOn(
  hosts: Hosts,
  nodeId: string,
  request: Omit<Extract<StreamRequest, { kind: 'settle-volume' }>, 'kind'>,
  signal: AbortSignal,
): Promise<void> {
  const work = (limit: AbortSignal) =>
    askHost({ agents: hosts }, nodeId, { kind: 'settle-volume', ...request }, limit);
  await withDeadline(answerMs, 'Putting a volume in its place', work, signal);
}
