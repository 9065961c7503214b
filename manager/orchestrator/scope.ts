import { mustRest } from '../../src/spec/resource.ts';
import type { Service } from '../../src/spec/service.ts';
import { anchorServices } from '../../src/spec/sharing.ts';
import type { Task } from '../../src/spec/task.ts';
import { Faults } from '../store/isolate.ts';
import type { View, ViewChange } from '../store/objects.ts';

/** The services that a pass looks at, by id, whether they exist or only have tasks; undefined: all there are. */
export type Services = ReadonlySet<string> | undefined;

/** The services to look at, of those that exist. */
export function servicesIn(view: View, services: Services): Iterable<Service> {
  if (services === undefined) return view.services.values();
  return [...services].flatMap((id) => view.services.get(id) ?? []);
}

/** The tasks of the services to look at. */
export function tasksIn(view: View, services: Services): Iterable<Task> {
  if (services === undefined) return view.tasks.values();
  return [...services].flatMap((id) => [...view.tasksOfService(id)]);
}

/**
 * Collects the services that a loop has to look at again: those that have changed or whose tasks have, with all that stand or
 * wait for them; all when a node has changed; and those for which the time has come. So a pass costs what has changed.
 */
export class Scope {
  readonly #view: View;
  #ids = new Set<string>();
  #isAll = true;
  /** When services are to be looked at though nothing has changed (ms). */
  readonly #due = new Map<string, number>();
  /** Other services by the id of a service that they stand on, wait for, or run beside; undefined: to be found out anew. */
  #related: Map<string, ReadonlySet<string>> | undefined;

  constructor(view: View) {
    this.#view = view;
  }

  note({ objects }: ViewChange): void {
    for (const change of objects) {
      if (change.kind === 'task') {
        const serviceId = (change.after ?? change.before)?.serviceId;
        if (serviceId !== undefined) this.#ids.add(serviceId);
      } else if (change.kind === 'service') {
        this.#ids.add(change.id);
        if (relationsOf(change.before) === relationsOf(change.after)) continue;
        // Who stood beside it until now cannot be told from what is there now.
        this.#isAll = true;
        this.#related = undefined;
      } else if (change.kind === 'volume') {
        if (mustRest(change.before?.move) !== mustRest(change.after?.move)) this.#isAll = true;
      } else if (change.kind === 'node' || change.kind === 'network') this.#isAll = true;
    }
  }

  /** Everything is looked at in the next pass. */
  noteAll(): void {
    this.#isAll = true;
  }

  /** What the next pass looks at; from here on anew. */
  take(now: number): Services {
    const ids = this.#ids;
    this.#ids = new Set();
    for (const [id, at] of this.#due) {
      if (at > now) continue;
      ids.add(id);
      this.#due.delete(id);
    }
    if (this.#isAll) {
      this.#isAll = false;
      this.#due.clear();
      return undefined;
    }
    // What is added on the way is related to just the same ones.
    for (const id of ids) for (const other of this.#relations().get(id) ?? []) ids.add(other);
    return ids;
  }

  /** What was taken was not written, or not all of it. */
  giveBack(services: Services): void {
    if (services === undefined) this.#isAll = true;
    else for (const id of services) this.#ids.add(id);
  }

  /** A pass that looked at these services found when they are to be looked at next. */
  set(services: Services, due: ReadonlyMap<string, number>): void {
    for (const id of services ?? []) this.#due.delete(id);
    for (const [id, at] of due) this.#due.set(id, at);
  }

  /** The next time at which anything is due (ms). */
  get wakeAt(): number | undefined {
    return this.#due.size === 0 ? undefined : Math.min(...this.#due.values());
  }

  #relations(): Map<string, ReadonlySet<string>> {
    return (this.#related ??= relatedServices([...this.#view.services.values()]));
  }
}

/** The names of services that the service stands on, waits for, or runs beside, with its own. */
function namesOf(service: Service): string[] {
  const names = new Faults().isolated('service', service.id, () => relatedNames(service));
  return names ?? [`damaged ${service.id}`]; // the planner says what is wrong with it
}

function relatedNames({ spec }: Service): string[] {
  const { with: leader } = spec.task.placement;
  const others = [...anchorServices(spec.task), ...spec.dependsOn.map(({ service }) => service)];
  return [spec.name, ...others, ...(leader === undefined ? [] : [leader])];
}

function relationsOf(service: Service | undefined): string {
  return service === undefined ? '' : namesOf(service).join();
}

/** All services that are related to each other, directly or by others, by the id of each of them that has any. */
function relatedServices(services: readonly Service[]): Map<string, ReadonlySet<string>> {
  const parents = new Map<string, string>();
  const rootOf = (name: string): string => {
    let root = name;
    for (let parent = parents.get(root); parent !== undefined; parent = parents.get(root)) root = parent;
    if (root !== name) parents.set(name, root);
    return root;
  };
  for (const service of services) {
    const names = namesOf(service);
    for (const name of names) {
      const [root, other] = [rootOf(names[0]!), rootOf(name)];
      if (root !== other) parents.set(other, root);
    }
  }
  const related = new Map<string, ReadonlySet<string>>();
  for (const group of Map.groupBy(services, (service) => rootOf(namesOf(service)[0]!)).values()) {
    if (group.length === 1) continue;
    const ids = new Set(group.map(({ id }) => id));
    for (const id of ids) related.set(id, ids);
  }
  return related;
}
