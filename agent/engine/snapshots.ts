import { grpcDetails, type CallControl, type ContainerdClient } from './client.ts';
import type { Calls, Mount } from './messages.ts';

const attemptsMax = 3;

/**
 * Makes a snapshot, read-only (`View`) or to be written (`Prepare`), and gives its mounts. A containerd that was killed
 * between making a snapshot's folder and noting it gives the same number again, finds the folder in its way, fails, and
 * clears it as it does: the next attempt succeeds. Throws what the client throws.
 */
export async function makeSnapshot(
  client: Pick<ContainerdClient, 'call'>,
  kind: 'View' | 'Prepare',
  request: Calls['Snapshots.Prepare'][0],
  control: CallControl = {},
): Promise<Mount[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      return (await client.call(`Snapshots.${kind}`, request, control)).mounts;
    } catch (error) {
      const inTheWay = /failed to rename: rename \S+ \S+: file exists/.test(grpcDetails(error));
      if (!inTheWay || attempt === attemptsMax) throw error;
    }
  }
}
