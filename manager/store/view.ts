import type { Administrator } from '../../src/spec/administrator.ts';
import type { Cluster } from '../../src/spec/cluster.ts';
import type { Network } from '../../src/spec/network.ts';
import type { Node } from '../../src/spec/node.ts';
import type { Application } from '../../src/spec/project-origin.ts';
import type { Config, Secret, Volume } from '../../src/spec/resource.ts';
import type { Service } from '../../src/spec/service.ts';
import type { Task } from '../../src/spec/task.ts';
import { openUnsealed, type Sealer } from '../sealing/sealer.ts';
import type { Change, ObjectChange, ObjectKind, ObjectKinds, Plan, View, ViewChange } from './objects.ts';
import type { StoredValue, WatchBatch } from './store.ts';
import {
  isMissingTemplate,
  missingTemplate,
  noteTemplateId,
  storedTemplateId,
  templateId,
  type StoredTemplate,
} from './templates.ts';

/** Every kind; those that others refer to come first. */
export const objectKinds: readonly ObjectKind[] = [
  'template',
  'cluster',
  'application',
  'node',
  'service',
  'task',
  'network',
  'volume',
  'secret',
  'config',
  'administrator',
];

const knownKinds: ReadonlySet<string> = new Set(objectKinds);

/** The store's key of an object. */
export function keyOf(kind: ObjectKind, id: string): string {
  return `${kind}/${id}`;
}

/** Kind and id of a store key; undefined for keys that hold no object of ours (a newer version's, an election's). */
export function parseKey(key: string): { kind: ObjectKind; id: string } | undefined {
  const slash = key.indexOf('/');
  const kind = key.slice(0, slash);
  return knownKinds.has(kind) ? { kind: kind as ObjectKind, id: key.slice(slash + 1) } : undefined;
}

/** An object as the store keeps it: without its revision, which the store knows better. */
export function encodeObject(object: ObjectKinds[ObjectKind]): string {
  return JSON.stringify({ ...object, revision: undefined });
}

/** Kinds that hold secrets or keys: what the store, its log and its copies have of them is sealed. */
export const sealedKinds: ReadonlySet<ObjectKind> = new Set(['cluster', 'secret']);

/** A task as the store keeps it: it refers to its template. */
type StoredTask = Task & { templateId?: string };

export function encodeTask(task: Task): string {
  return JSON.stringify({
    ...task,
    template: undefined,
    templateId: isMissingTemplate(task.template)
      ? storedTemplateId(task.template)
      : templateId(task.template),
    revision: undefined,
  });
}

/** All that a store held at one revision. */
export interface Listing {
  lineage: string;
  revision: number;
  values: StoredValue[];
}

type Objects = { [Kind in ObjectKind]: Map<string, ObjectKinds[Kind]> };

/**
 * The view that a database keeps up to date: each stored object parsed once, with indexes by name, service and node.
 * Its readers get it as `View`.
 */
export class MutableView implements View {
  revision = 0;
  /** Of the store that it was last made from. */
  lineage = '';
  /** Batches that told nothing new, and so were passed over. */
  repeated = 0;
  readonly #objects: Objects = {
    cluster: new Map(),
    application: new Map(),
    node: new Map(),
    service: new Map(),
    task: new Map(),
    network: new Map(),
    volume: new Map(),
    secret: new Map(),
    config: new Map(),
    administrator: new Map(),
    template: new Map(),
  };
  /** How many tasks refer to each template. */
  readonly #templateUses = new Map<string, number>();
  readonly #serviceIds = new Map<string, string>();
  readonly #networkIds = new Map<string, string>();
  readonly #byService = new Map<string, Map<string, Task>>();
  readonly #byNode = new Map<string, Map<string, Task>>();
  readonly #sealer: Sealer | undefined;
  /** Keys of values that are to be sealed and are not, or with an older key. */
  readonly #unsealed = new Set<string>();

  /** Without a sealer what is sealed cannot be read. */
  constructor(sealer?: Sealer) {
    this.#sealer = sealer;
  }

  get cluster(): Cluster | undefined {
    return this.#objects.cluster.get('cluster');
  }
  get applications(): ReadonlyMap<string, Application> {
    return this.#objects.application;
  }
  get nodes(): ReadonlyMap<string, Node> {
    return this.#objects.node;
  }
  get services(): ReadonlyMap<string, Service> {
    return this.#objects.service;
  }
  get tasks(): ReadonlyMap<string, Task> {
    return this.#objects.task;
  }
  get networks(): ReadonlyMap<string, Network> {
    return this.#objects.network;
  }
  get volumes(): ReadonlyMap<string, Volume> {
    return this.#objects.volume;
  }
  get secrets(): ReadonlyMap<string, Secret> {
    return this.#objects.secret;
  }
  get configs(): ReadonlyMap<string, Config> {
    return this.#objects.config;
  }
  get administrators(): ReadonlyMap<string, Administrator> {
    return this.#objects.administrator;
  }

  get templates(): ReadonlyMap<string, StoredTemplate> {
    return this.#objects.template;
  }

  unusedTemplates(): StoredTemplate[] {
    return [...this.#objects.template.values()].filter(({ id }) => !this.#templateUses.has(id));
  }

  serviceByName(name: string): Service | undefined {
    return this.#objects.service.get(this.#serviceIds.get(name) ?? '');
  }

  networkByName(name: string): Network | undefined {
    return this.#objects.network.get(this.#networkIds.get(name) ?? '');
  }

  tasksOfService(serviceId: string): Iterable<Task> {
    return this.#byService.get(serviceId)?.values() ?? [];
  }

  tasksOfNode(nodeId: string): Iterable<Task> {
    return this.#byNode.get(nodeId)?.values() ?? [];
  }

  /**
   * Takes over one transaction's events; gives what they changed. One that repeats what is known, or comes from before it, is passed
   * over: etcd before 3.4.25 may do both (etcd-io/etcd 15271, 15275).
   */
  apply(batch: WatchBatch): ViewChange {
    if (batch.revision <= this.revision) {
      this.repeated++;
      return changeOf([]);
    }
    const objects: ObjectChange[] = [];
    for (const event of batch.events) {
      const parsed = parseKey(event.key);
      if (parsed === undefined) continue;
      if (event.type === 'delete') objects.push(this.remove(parsed.kind, parsed.id));
      else objects.push(this.#putStored(parsed.kind, event.key, event.value, batch.revision));
    }
    this.revision = batch.revision;
    return changeOf(objects);
  }

  /**
   * Becomes exactly what a listing of the whole store holds; gives what that changed. Of another lineage everything is made
   * anew: equal revisions say nothing then.
   */
  reset({ lineage, revision, values }: Listing): ViewChange {
    const isOther = lineage !== this.lineage;
    const objects: ObjectChange[] = [];
    const listed = new Set<string>();
    // Tasks are made whole with their templates.
    const isTemplate = ({ key }: StoredValue) => key.startsWith('template/');
    const ordered = [...values.filter(isTemplate), ...values.filter((value) => !isTemplate(value))];
    for (const { key, value, revision } of ordered) {
      const parsed = parseKey(key);
      if (parsed === undefined) continue;
      listed.add(key);
      if (!isOther && this.#objects[parsed.kind].get(parsed.id)?.revision === revision) continue;
      objects.push(this.#putStored(parsed.kind, key, value, revision));
    }
    for (const kind of objectKinds) {
      for (const id of this.#objects[kind].keys()) {
        if (listed.has(keyOf(kind, id))) continue;
        objects.push(this.remove(kind, id));
      }
    }
    this.lineage = lineage;
    this.revision = revision;
    return changeOf(objects);
  }

  /** Of each object that a listing of the store would have, by its key. */
  revisions(): Map<string, number> {
    const revisions = new Map<string, number>();
    for (const kind of objectKinds) {
      for (const { id, revision } of this.#objects[kind].values()) revisions.set(keyOf(kind, id), revision);
    }
    return revisions;
  }

  #putStored<Kind extends ObjectKind>(
    kind: Kind,
    key: string,
    stored: string,
    revision: number,
  ): ObjectChange {
    const isSealedKind = sealedKinds.has(kind);
    const text = isSealedKind ? this.#opened(key, stored) : stored;
    const object = JSON.parse(text) as ObjectKinds[Kind];
    object.revision = revision;
    if (kind === 'template') noteTemplateId((object as StoredTemplate).template, object.id);
    if (kind === 'task') this.#complete(object as StoredTask);
    const change = this.put(kind, object);
    if (isSealedKind && this.#sealer?.isCurrent(stored) === false) this.#unsealed.add(key);
    return change;
  }

  #opened(key: string, stored: string): string {
    return this.#sealer === undefined ? openUnsealed(stored, key) : this.#sealer.open(stored, key);
  }

  /** What is to be written once more as it is, to be sealed with the key of now: one change each. */
  unsealed(): Plan {
    return [...this.#unsealed].flatMap((key) => {
      const { kind, id } = parseKey(key)!;
      const object = this.#objects[kind].get(id);
      return object === undefined ? [] : [[{ kind, action: 'update', object } as Change]];
    });
  }

  /**
   * Gives the task the template that it refers to, which all its equals share, or what stands for one that is not there. A task
   * from an older store has its own.
   */
  #complete(task: StoredTask): void {
    const id = task.templateId;
    if (id === undefined) return;
    const stored = this.#objects.template.get(id);
    task.template = stored?.template ?? missingTemplate(id);
    delete task.templateId;
  }

  #countTemplate({ template }: Task, sign: 1 | -1): void {
    const id = storedTemplateId(template);
    if (id === undefined) return;
    const uses = (this.#templateUses.get(id) ?? 0) + sign;
    if (uses > 0) this.#templateUses.set(id, uses);
    else this.#templateUses.delete(id);
  }

  /** Adds or replaces one object as it is. */
  put<Kind extends ObjectKind>(kind: Kind, object: ObjectKinds[Kind]): ObjectChange {
    const { before } = this.remove(kind, object.id);
    (this.#objects[kind] as Map<string, ObjectKinds[Kind]>).set(object.id, object);
    if (kind === 'service') this.#serviceIds.set(nameOf(object as Service), object.id);
    if (kind === 'network') this.#networkIds.set(nameOf(object as Network), object.id);
    if (kind === 'task') {
      const task = object as Task;
      this.#countTemplate(task, 1);
      addTo(this.#byService, task.serviceId, task);
      if (task.nodeId !== undefined) addTo(this.#byNode, task.nodeId, task);
    }
    return { kind, id: object.id, before, after: object } as ObjectChange;
  }

  /** Removes one object; one that is not there is no fault. */
  remove(kind: ObjectKind, id: string): ObjectChange {
    const object = this.#objects[kind].get(id);
    const change = { kind, id, before: object, after: undefined } as ObjectChange;
    if (object === undefined) return change;
    this.#objects[kind].delete(id);
    // Put back by who has read it from the store, if need be.
    if (sealedKinds.has(kind)) this.#unsealed.delete(keyOf(kind, id));
    if (kind === 'service') dropName(this.#serviceIds, nameOf(object as Service), id);
    if (kind === 'network') dropName(this.#networkIds, nameOf(object as Network), id);
    if (kind === 'task') {
      const task = object as Task;
      this.#countTemplate(task, -1);
      dropFrom(this.#byService, task.serviceId, id);
      if (task.nodeId !== undefined) dropFrom(this.#byNode, task.nodeId, id);
    }
    return change;
  }
}

function changeOf(objects: ObjectChange[]): ViewChange {
  return { kinds: new Set(objects.map(({ kind }) => kind)), objects };
}

function addTo(index: Map<string, Map<string, Task>>, key: string, task: Task): void {
  const tasks = index.get(key);
  if (tasks === undefined) index.set(key, new Map([[task.id, task]]));
  else tasks.set(task.id, task);
}

function dropFrom(index: Map<string, Map<string, Task>>, key: string, id: string): void {
  const tasks = index.get(key);
  tasks?.delete(id);
  if (tasks?.size === 0) index.delete(key);
}

/** One that is damaged may have none, and is found by its id alone. */
function nameOf({ spec }: Service | Network): string {
  return (spec as Service['spec'] | undefined)?.name ?? '';
}

/** A name may have passed to another object before the old one is gone. */
function dropName(index: Map<string, string>, name: string, id: string): void {
  if (index.get(name) === id) index.delete(name);
}

/** Plain objects for a view, by kind. */
export interface ViewObjects {
  cluster?: Cluster;
  applications?: Iterable<Application>;
  nodes?: Iterable<Node>;
  services?: Iterable<Service>;
  tasks?: Iterable<Task>;
  networks?: Iterable<Network>;
  volumes?: Iterable<Volume>;
  secrets?: Iterable<Secret>;
  configs?: Iterable<Config>;
  administrators?: Iterable<Administrator>;
}

/** A view of just these objects, without a store: for the unit tests of pure planners. */
export function viewOf(objects: ViewObjects): MutableView {
  const view = new MutableView();
  const add = <Kind extends ObjectKind>(kind: Kind, list: Iterable<ObjectKinds[Kind]> = []) => {
    for (const object of list) {
      view.put(kind, object);
      view.revision = Math.max(view.revision, object.revision);
    }
  };
  add('cluster', objects.cluster && [objects.cluster]);
  add('application', objects.applications);
  add('node', objects.nodes);
  add('service', objects.services);
  add('task', objects.tasks);
  add('network', objects.networks);
  add('volume', objects.volumes);
  add('secret', objects.secrets);
  add('config', objects.configs);
  add('administrator', objects.administrators);
  return view;
}

/** Changes the view as if the plan had been written, one revision a group; gives what has changed. For tests of pure planners. */
export function applyPlan(view: MutableView, plan: Plan): ViewChange {
  const objects: ObjectChange[] = [];
  for (const group of plan) {
    view.revision++;
    for (const { kind, action, object } of group) {
      if (action === 'check') continue;
      if (action === 'delete') objects.push(view.remove(kind, object.id));
      else objects.push(view.put(kind, { ...object, revision: view.revision }));
    }
  }
  return changeOf(objects);
}
