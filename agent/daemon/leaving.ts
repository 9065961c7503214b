import type { Clock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { LeaveAnswer } from '../../src/wire/api.ts';
import type { Credentials } from '../session/session.ts';
import { askToLeave } from './joining.ts';

/** How long the cluster may take to run the tasks of a host that leaves elsewhere. What is still here then is stopped. */
export const leaveMsMax = 90_000;
const lookMs = 250;

export interface LeaveOptions {
  managerAddresses: readonly string[];
  credentials: Credentials;
  clock: Clock;
  log: Logger;
}

/**
 * Tells a manager that this host leaves, and waits until none of its tasks is here any more: no other host sends them
 * anything by then. Without a manager that answers it does nothing, and says so: the others find out by themselves.
 */
export async function drainByManager({
  managerAddresses,
  credentials,
  clock,
  log,
}: LeaveOptions): Promise<void> {
  const until = clock.monotonic() + leaveMsMax;
  try {
    for (;;) {
      const { tasks } = await askAny(managerAddresses, credentials, 'POST');
      if (tasks === 0) return;
      if (clock.monotonic() >= until) {
        log.warn('tasks that are still here are stopped', { tasks });
        return;
      }
      await clock.sleep(lookMs);
    }
  } catch (error) {
    log.warn('no manager was told that this host leaves', { error: messageOf(error) });
  }
}

/** Full names of the volumes that are on this host and nowhere else; none when no manager answers, which is logged. */
export async function volumesHere({ managerAddresses, credentials, log }: LeaveOptions): Promise<string[]> {
  try {
    return (await askAny(managerAddresses, credentials, 'GET')).volumes ?? [];
  } catch (error) {
    log.warn('no manager told which volumes are on this host', { error: messageOf(error) });
    return [];
  }
}

async function askAny(
  addresses: readonly string[],
  credentials: Credentials,
  method: 'GET' | 'POST',
): Promise<LeaveAnswer> {
  let failure: unknown;
  for (const address of addresses) {
    try {
      return await askToLeave(address, credentials, method);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}
