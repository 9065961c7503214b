import type { Network } from '../../src/spec/network.ts';
import type { Service } from '../../src/spec/service.ts';
import type { Change, View } from './objects.ts';

/**
 * The view as it would be with these changes of services and networks, once what is being removed has gone. Costs a copy of
 * those two maps; everything else is the view's own, as it is now.
 */
export function trialView(view: View, changes: Iterable<Change>): View {
  const services = new Map([...view.services].filter(([, { removing }]) => !removing));
  const networks = new Map([...view.networks].filter(([, { removing }]) => !removing));
  for (const { kind, object } of changes) {
    if (kind === 'service') put(services, object);
    else if (kind === 'network') put(networks, object);
  }
  const servicesByName = byName(services);
  const networksByName = byName(networks);
  const {
    revision,
    cluster,
    applications,
    nodes,
    tasks,
    volumes,
    secrets,
    configs,
    administrators,
    templates,
  } = view;
  return {
    revision,
    cluster,
    applications,
    nodes,
    services,
    tasks,
    networks,
    volumes,
    secrets,
    configs,
    administrators,
    templates,
    serviceByName: (name) => servicesByName.get(name),
    networkByName: (name) => networksByName.get(name),
    tasksOfService: (serviceId) => view.tasksOfService(serviceId),
    tasksOfNode: (nodeId) => view.tasksOfNode(nodeId),
    unusedTemplates: () => view.unusedTemplates(),
  };
}

function put<T extends Service | Network>(objects: Map<string, T>, object: T): void {
  if (object.removing) objects.delete(object.id);
  else objects.set(object.id, object);
}

/** A damaged object may have no name. */
function byName<T extends { spec?: { name?: string } }>(objects: Map<string, T>): Map<string | undefined, T> {
  return new Map(objects.values().map((object) => [object.spec?.name, object]));
}
