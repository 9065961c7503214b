import { newestFirst } from '../spec/task.ts';
import { ShoalError } from '../util/errors.ts';
import type {
  ApplicationStatus,
  ServiceStatus,
  TaskInfo,
  WatchedKind,
  WatchedKinds,
  WatchLine,
  WatchPut,
} from './api.ts';
import type { Client } from './client.ts';

type Known<Kind extends Exclude<WatchedKind, 'task'>> = Map<string, WatchedKinds[Kind]>;

/** Adds the lines of a watch up to statuses. */
export class ApplicationPicture {
  readonly #services: Known<'service'> = new Map();
  readonly #progress: Known<'progress'> = new Map();
  readonly #networks: Known<'network'> = new Map();
  readonly #nodes: Known<'node'> = new Map();
  readonly #serviceOfTask = new Map<string, string>();
  readonly #tasks = new Map<string, Map<string, TaskInfo>>();
  /** The tasks of services as the last status had them; those that have changed since are not there. */
  readonly #sorted = new Map<string, TaskInfo[]>();

  /** Takes the next line; gives the status when the picture is whole. A line of a kind that is not known is passed over. */
  take({ put, remove, whole }: WatchLine): ApplicationStatus | undefined {
    for (const { kind, id } of remove) this.#remove(kind, id);
    for (const each of put) this.#put(each);
    if (whole === undefined) return undefined;
    const { name, revision, now } = whole;
    const networks = [...this.#networks.values()];
    return { name, revision, now, services: this.#statuses(), networks, nodes: [...this.#nodes.values()] };
  }

  #put({ kind, value }: WatchPut): void {
    if (kind === 'task') {
      const tasks = this.#tasks.get(value.serviceId) ?? new Map<string, TaskInfo>();
      this.#tasks.set(value.serviceId, tasks.set(value.id, value));
      this.#serviceOfTask.set(value.id, value.serviceId);
      this.#sorted.delete(value.serviceId);
    } else this.#of(kind)?.set(value.id, value);
  }

  #remove(kind: WatchedKind, id: string): void {
    if (kind !== 'task') return void this.#of(kind)?.delete(id);
    const serviceId = this.#serviceOfTask.get(id) ?? '';
    this.#serviceOfTask.delete(id);
    this.#sorted.delete(serviceId);
    const tasks = this.#tasks.get(serviceId);
    tasks?.delete(id);
    if (tasks?.size === 0) this.#tasks.delete(serviceId);
  }

  #of(kind: Exclude<WatchedKind, 'task'>): Map<string, unknown> | undefined {
    const known = {
      service: this.#services,
      progress: this.#progress,
      network: this.#networks,
      node: this.#nodes,
    };
    return Object.hasOwn(known, kind) ? known[kind] : undefined;
  }

  #statuses(): ServiceStatus[] {
    const services = [...this.#services.values()].sort((left, right) =>
      left.spec.name < right.spec.name ? -1 : 1,
    );
    return services.flatMap((service) => {
      const progress = this.#progress.get(service.id);
      if (progress === undefined) return [];
      const { id: _, ...rest } = progress;
      return [{ service, ...rest, tasks: this.#tasksOf(service.id) }];
    });
  }

  #tasksOf(serviceId: string): TaskInfo[] {
    const known = this.#sorted.get(serviceId);
    if (known !== undefined) return known;
    const tasks = [...(this.#tasks.get(serviceId)?.values() ?? [])].sort(newestFirst);
    this.#sorted.set(serviceId, tasks);
    return tasks;
  }
}

/**
 * The status of an application now and after every change, until the signal aborts. Throws as `Client.stream` does; what is then
 * known only in part is dropped.
 */
export async function* watchApplication(
  client: Client,
  name: string,
  signal?: AbortSignal,
): AsyncGenerator<ApplicationStatus, void, undefined> {
  const picture = new ApplicationPicture();
  const path = `/applications/${encodeURIComponent(name)}/watch`;
  for await (const line of client.stream<WatchLine>(path, signal)) {
    const status = picture.take(line);
    if (status !== undefined) yield status;
  }
}

/** The status of an application as it is now. Throws `not_found`, and `deadline_exceeded` when it has not come within `timeoutMs`. */
export async function applicationNow(
  client: Client,
  name: string,
  timeoutMs = 30_000,
): Promise<ApplicationStatus> {
  const picture = new ApplicationPicture();
  const path = `/applications/${encodeURIComponent(name)}`;
  for await (const line of client.stream<WatchLine>(path, AbortSignal.timeout(timeoutMs))) {
    const status = picture.take(line);
    if (status !== undefined) return status;
  }
  throw new ShoalError('deadline_exceeded', `Cannot get the status of ${name} within ${timeoutMs / 1_000} s`);
}
