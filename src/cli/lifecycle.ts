import { canRollBack, isPaused } from '../spec/change.ts';
import type { Service } from '../spec/service.ts';
import { currentVersion } from '../spec/versions.ts';
import { ShoalError, unreachable } from '../util/errors.ts';
import type { ServiceAction } from '../wire/api.ts';

/** The services of an application that an action on all of it is about. Throws `failed_precondition` when there are none. */
export function servicesFor(
  action: ServiceAction,
  services: readonly Service[],
  application: string,
): Service[] {
  const live = services.filter(({ removing }) => !removing);
  const found = live.filter(choiceOf(action, live));
  if (found.length > 0) return found;
  throw new ShoalError(
    'failed_precondition',
    `Cannot ${action === 'rollback' ? 'roll back' : action} anything of ${application}: ${nothing[action]}`,
    {
      next: `See \`shoal service history -p ${application}\`, or name the services.`,
    },
  );
}

const none = 'it has no services';
const nothing: Record<ServiceAction, string> = {
  rollback: 'its last `shoal up` changed no service that has an earlier completed version',
  restart: 'all of its services are stopped',
  pause: 'no update is under way',
  resume: 'no update is paused',
  stop: none,
  start: none,
};

function choiceOf(action: ServiceAction, live: readonly Service[]): (service: Service) => boolean {
  switch (action) {
    case 'rollback': {
      const last = lastUp(live);
      return (service) => isOfUp(service, last) && canRollBack(service);
    }
    case 'pause':
      return ({ updateStatus: status }) =>
        status !== undefined && (status.state === 'updating' || status.state === 'rollback_started');
    case 'resume':
      return ({ updateStatus: status }) => status !== undefined && isPaused(status);
    case 'restart':
      return ({ stopped }) => stopped !== true;
    case 'stop':
    case 'start':
      return () => true;
    default:
      return unreachable(action);
  }
}

/** When the application was last changed by a file; all that one `up` changes has the same time. */
function lastUp(services: readonly Service[]): number {
  const times = services.flatMap(({ versions }) =>
    versions.filter(({ cause }) => cause === 'up').map(({ createdAt }) => createdAt),
  );
  return Math.max(...times);
}

/** Whether the service is as that `up` made it. */
function isOfUp(service: Service, at: number): boolean {
  const { cause, createdAt } = currentVersion(service);
  return cause === 'up' && createdAt === at;
}
