import type { Service, TaskTemplate } from '../../src/spec/service.ts';
import { isTerminal } from '../../src/spec/task.ts';
import { currentVersion } from '../../src/spec/versions.ts';
import { Faults } from '../store/isolate.ts';
import type { View } from '../store/objects.ts';

/** What outlives applications, or is shared between them. */
export type ResourceKind = 'network' | 'volume' | 'secret' | 'config';

/** A service that uses something. */
export interface User {
  application: string;
  /** Its full name. */
  service: string;
  /** It is being removed, or has tasks that are, and nothing else of it uses the thing. */
  isLeaving: boolean;
}

/** Full names of the things of one kind that the template uses. */
export function namesIn(kind: ResourceKind, { networks, container }: TaskTemplate): string[] {
  if (kind === 'network') return networks.map(({ name }) => name);
  if (kind === 'secret') return container.secrets.map(({ name }) => name);
  if (kind === 'config') return container.configs.map(({ name }) => name);
  return container.mounts.flatMap((mount) =>
    mount.type === 'volume' && mount.source !== undefined ? [mount.source] : [],
  );
}

/**
 * Who uses things of one kind, by their full names, in order of their own: services as they are, services as they were while an update may still
 * roll them back, and tasks that have not ended.
 */
export function usersByName(view: View, kind: ResourceKind): Map<string, User[]> {
  const users = new Map<string, Map<string, User>>();
  const use = (name: string, user: User) => {
    const others = users.get(name) ?? new Map<string, User>();
    const known = others.get(user.service);
    others.set(user.service, { ...user, isLeaving: user.isLeaving && known?.isLeaving !== false });
    users.set(name, others);
  };
  // What a damaged one uses is not known, and must not keep all others from being looked up.
  const faults = new Faults();
  faults.forEach('service', view.services.values(), (service) => {
    const { name, application } = service.spec;
    for (const task of wishesOf(service)) {
      for (const used of namesIn(kind, task)) {
        use(used, { application, service: name, isLeaving: service.removing });
      }
    }
  });
  faults.forEach('task', view.tasks.values(), ({ application, serviceName, template, status }) => {
    if (isTerminal(status.state)) return;
    for (const used of namesIn(kind, template)) {
      use(used, { application, service: serviceName, isLeaving: true });
    }
  });
  const inOrder = (others: Map<string, User>) =>
    [...others.values()].sort((left, right) => (left.service < right.service ? -1 : 1));
  return new Map([...users].map(([name, others]) => [name, inOrder(others)]));
}

/** What the service asks for, and what it may be rolled back to. */
function wishesOf(service: Service): TaskTemplate[] {
  const { spec, rollbackTarget: target } = service;
  const isCompleted = currentVersion(service).state === 'completed';
  return isCompleted || target === undefined ? [spec.task] : [spec.task, target.spec.task];
}
