import type { Task } from '../../src/spec/task.ts';
import type { Network } from '../../src/spec/network.ts';
import type { Service } from '../../src/spec/service.ts';
import { damageOf } from '../store/damage.ts';
import type { ObjectKind, ObjectKinds, View, ViewChange } from '../store/objects.ts';

type SoundKind = 'service' | 'task' | 'network' | 'secret' | 'config';
const lists = {
  service: 'services',
  task: 'tasks',
  network: 'networks',
  secret: 'secrets',
  config: 'configs',
} as const satisfies Record<SoundKind, keyof View>;

/**
 * A view without damaged objects: in the place of each is what it was before, so that nodes go on with what they were told; one
 * that was never sound is not there. As long as nothing is damaged it is the view itself.
 */
export class SoundView implements View {
  readonly #view: View;
  /** What stands for the damaged objects, by kind and id. */
  readonly #damaged = new Map<ObjectKind, Map<string, { id: string } | undefined>>();
  /** The lists as they are to be seen, each as of one revision. */
  readonly #seen = new Map<SoundKind, { revision: number; objects: ReadonlyMap<string, unknown> }>();

  /** Every change from here on must be noted. */
  constructor(view: View) {
    this.#view = view;
    for (const kind of Object.keys(lists) as SoundKind[]) {
      for (const object of view[lists[kind]].values()) this.#note(kind, object.id, undefined, object);
    }
  }

  note({ objects }: ViewChange): void {
    for (const { kind, id, before, after } of objects) if (kind in lists) this.#note(kind, id, before, after);
  }

  #note(kind: ObjectKind, id: string, before: { id: string } | undefined, after: { id: string } | undefined) {
    const damaged = this.#damaged.get(kind);
    if (after === undefined || damageOf(kind, after) === undefined) {
      damaged?.delete(id);
      return;
    }
    if (damaged?.has(id) === true) return; // what it was when it was sound
    const held = before !== undefined && damageOf(kind, before) === undefined ? before : undefined;
    if (damaged === undefined) this.#damaged.set(kind, new Map([[id, held]]));
    else damaged.set(id, held);
  }

  #list<Kind extends SoundKind>(kind: Kind): ReadonlyMap<string, ObjectKinds[Kind]> {
    const all = this.#view[lists[kind]] as ReadonlyMap<string, ObjectKinds[Kind]>;
    const damaged = this.#damaged.get(kind);
    if (damaged === undefined || damaged.size === 0) return all;
    const { revision } = this.#view;
    const seen = this.#seen.get(kind);
    if (seen?.revision === revision) return seen.objects as ReadonlyMap<string, ObjectKinds[Kind]>;
    const objects = new Map(all);
    for (const [id, held] of damaged) {
      if (held === undefined) objects.delete(id);
      else objects.set(id, held as ObjectKinds[Kind]);
    }
    this.#seen.set(kind, { revision, objects });
    return objects;
  }

  #sound<Kind extends SoundKind>(kind: Kind, object: ObjectKinds[Kind] | undefined) {
    const damaged = this.#damaged.get(kind);
    if (object === undefined || damaged?.has(object.id) !== true) return object;
    return damaged.get(object.id) as ObjectKinds[Kind] | undefined;
  }

  *#soundTasks(tasks: Iterable<Task>): Iterable<Task> {
    for (const task of tasks) {
      const sound = this.#sound('task', task);
      if (sound !== undefined) yield sound;
    }
  }

  get revision(): number {
    return this.#view.revision;
  }
  get cluster(): View['cluster'] {
    return this.#view.cluster;
  }
  get applications(): View['applications'] {
    return this.#view.applications;
  }
  get nodes(): View['nodes'] {
    return this.#view.nodes;
  }
  get services(): View['services'] {
    return this.#list('service');
  }
  get tasks(): View['tasks'] {
    return this.#list('task');
  }
  get networks(): View['networks'] {
    return this.#list('network');
  }
  get secrets(): View['secrets'] {
    return this.#list('secret');
  }
  get configs(): View['configs'] {
    return this.#list('config');
  }
  get volumes(): View['volumes'] {
    return this.#view.volumes;
  }
  get administrators(): View['administrators'] {
    return this.#view.administrators;
  }
  get templates(): View['templates'] {
    return this.#view.templates;
  }

  serviceByName(name: string): Service | undefined {
    return this.#sound('service', this.#view.serviceByName(name));
  }

  networkByName(name: string): Network | undefined {
    return this.#sound('network', this.#view.networkByName(name));
  }

  tasksOfService(serviceId: string): Iterable<Task> {
    return this.#soundTasks(this.#view.tasksOfService(serviceId));
  }

  tasksOfNode(nodeId: string): Iterable<Task> {
    return this.#soundTasks(this.#view.tasksOfNode(nodeId));
  }

  unusedTemplates(): ReturnType<View['unusedTemplates']> {
    return this.#view.unusedTemplates();
  }
}
