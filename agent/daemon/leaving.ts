import type { Clock } from '../../src/util/clock.ts';
import { codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { LeaveAnswer } from '../../src/wire/api.ts';
import { askManagers, ManagerOrder } from '../session/manager-order.ts';
import type { Credentials } from '../session/session.ts';
import { askToLeave } from './joining.ts';

/** How long the cluster may take to run the tasks of a host that leaves elsewhere. What is still here then is stopped. */
export const leaveMsMax = 90_000;
/** How long the others may take to go on without a manager that leaves. */
export const demotionMsMax = 90_000;
const lookMs = 250;
const volumesShown = 5;

export interface LeaveOptions {
  managerAddresses: readonly string[];
  credentials: Credentials;
  isManager: boolean;
  /** Leaves also when nobody can be told of it, and the last manager with the whole cluster. */
  force: boolean;
  clock: Clock;
  log: Logger;
}

/** What leaving comes to: the host goes out of a cluster that goes on, or the cluster ends with it. */
export type Departure = 'leaves' | 'ends-cluster';

/** What is to be known before anything is done: the managers' answer, or undefined when none of them gives any. */
export async function askBeforeLeaving(options: LeaveOptions): Promise<LeaveAnswer | undefined> {
  const { managerAddresses, credentials, log } = options;
  try {
    return await askManagers(managerAddresses, (address) => askToLeave(address, credentials, 'GET'));
  } catch (error) {
    log.warn('no manager tells what leaving would mean', { error: messageOf(error) });
    return undefined;
  }
}

/** Whether the host may go, and what comes of it. Throws `failed_precondition` or `unavailable` with the way out. */
export function departureOf(
  answer: LeaveAnswer | undefined,
  { isManager, force, managerAddresses }: Pick<LeaveOptions, 'isManager' | 'force' | 'managerAddresses'>,
): Departure {
  if (!isManager) return 'leaves';
  const managers = answer === undefined ? managerAddresses.length : (answer.managers ?? 1);
  if (managers <= 1) {
    if (force) return 'ends-cluster';
    throw new ShoalError(
      'failed_precondition',
      'Cannot leave: this host is the only manager, and the cluster ends with it',
      {
        next: 'Run `shoal leave --force` to end the cluster, or make another host a manager first: `shoal node promote NODE`.',
      },
    );
  }
  if (answer !== undefined || force) return 'leaves';
  throw new ShoalError('unavailable', 'Cannot leave: none of the other managers answers', {
    next: 'See `shoal doctor`. With --force this host leaves without their knowing; remove it there: `shoal node rm`.',
  });
}

/** Throws `failed_precondition` when volumes are on this host, which the cluster would be without. */
export function refuseForVolumes({ volumes = [] }: Pick<LeaveAnswer, 'volumes'>): void {
  if (volumes.length === 0) return;
  const more = volumes.length - volumesShown;
  const shown = volumes.slice(0, volumesShown).join(', ') + (more > 0 ? ` and ${more} more` : '');
  throw new ShoalError(
    'failed_precondition',
    `Cannot leave: ${shown} ${volumes.length === 1 ? 'is' : 'are'} on this host`,
    {
      details: { volumes },
      next: 'Move them with `shoal volume move`, or say --yes: their data goes with the host.',
    },
  );
}

/**
 * Tells a manager that this host leaves, and waits until none of its tasks is here any more: no other host sends them
 * anything by then. A manager becomes a worker meanwhile, and has no member of the store once this resolves. Throws why the
 * others do not let it go. A worker leaves without a manager that answers, and says so: they find out by themselves.
 */
export async function drainByManager(options: LeaveOptions): Promise<void> {
  const { managerAddresses, credentials, isManager, clock, log } = options;
  const began = clock.monotonic();
  const order = new ManagerOrder();
  const ask = () =>
    askManagers(managerAddresses, (address) => askToLeave(address, credentials, 'POST'), order);
  for (;;) {
    const isOver = () => clock.monotonic() - began >= (isManager ? demotionMsMax : leaveMsMax);
    try {
      const { tasks, isManager: isStill = false, problem } = await ask();
      if (tasks === 0 && !isStill) return;
      if (isOver() && isStill) throw stillManager(problem);
      if (isOver()) return log.warn('tasks that are still here are stopped', { tasks });
    } catch (error) {
      // Between two leaders nobody answers for a while, and one manager's leaving may make another one the leader.
      if (isManager && (codeOf(error) === 'failed_precondition' || isOver())) throw error;
      if (!isManager) {
        return log.warn('no manager was told that this host leaves', { error: messageOf(error) });
      }
    }
    await clock.sleep(lookMs);
  }
}

function stillManager(problem: string | undefined): ShoalError {
  const why = problem === undefined ? '' : `: ${problem}`;
  return new ShoalError(
    'failed_precondition',
    `Cannot leave: the other managers have not let this one go yet${why}`,
    { next: 'See `shoal node ls` and `shoal doctor`, then run `shoal leave` again.' },
  );
}
