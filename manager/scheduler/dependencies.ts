import type { Dependency, Service } from '../../src/spec/service.ts';
import type { Task } from '../../src/spec/task.ts';
import { unreachable } from '../../src/util/errors.ts';
import type { Faults } from '../store/isolate.ts';
import type { Plan, View } from '../store/objects.ts';

/** The services whose dependencies hold as of now, and what the others wait for, by service id. */
export interface DependencyPlan {
  plan: Plan;
  waiting: Map<string, string>;
}

/** Looks at every service whose dependencies have not held so far. */
export function planDependencies(view: View, faults: Faults): DependencyPlan {
  const plan: Plan = [];
  const waiting = new Map<string, string>();
  faults.forEach('service', view.services.values(), (service) => {
    if (service.dependenciesMet || service.removing || service.damage !== undefined) return;
    const reason = unmetDependencies(service, view);
    if (reason !== undefined) waiting.set(service.id, reason);
    else if (service.endpoint !== undefined) {
      // Not before: the allocator is about to write the same new service, and one of the two would meet a conflict.
      plan.push([{ kind: 'service', action: 'update', object: { ...service, dependenciesMet: true } }]);
    }
  });
  return { plan, waiting };
}

function unmetDependencies(service: Service, view: View): string | undefined {
  const unmet = service.spec.dependsOn.filter((dependency) => !holds(dependency, view));
  if (unmet.length === 0) return undefined;
  return `waiting for ${unmet.map(({ service, condition }) => `${service} ${wanted[condition]}`).join(' and ')}`;
}

const wanted: Record<Dependency['condition'], string> = {
  started: 'to start',
  healthy: 'to be healthy',
  completed: 'to complete',
};

function holds({ service: name, condition }: Dependency, view: View): boolean {
  const service = view.serviceByName(name);
  if (service === undefined) return false;
  return Iterator.from(view.tasksOfService(service.id)).some((task) => taskMeets(task, condition));
}

/** A task with a healthcheck is `running` only once it is healthy. */
function taskMeets({ status }: Task, condition: Dependency['condition']): boolean {
  const completed = status.state === 'complete' && (status.exitCode ?? 0) === 0;
  switch (condition) {
    case 'started':
      return status.state === 'running' || completed;
    case 'healthy':
      return status.state === 'running';
    case 'completed':
      return completed;
    default:
      return unreachable(condition);
  }
}
