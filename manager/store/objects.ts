import type { Administrator } from '../../src/spec/administrator.ts';
import type { Cluster } from '../../src/spec/cluster.ts';
import type { Network } from '../../src/spec/network.ts';
import type { Node } from '../../src/spec/node.ts';
import type { Application } from '../../src/spec/project-origin.ts';
import type { Config, Secret, Volume } from '../../src/spec/resource.ts';
import type { Service } from '../../src/spec/service.ts';
import type { Task } from '../../src/spec/task.ts';
import type { StoredTemplate } from './templates.ts';
import type { ShoalError } from '../../src/util/errors.ts';

/** Everything the store holds, by kind; the key of an object is `KIND/ID`. */
export interface ObjectKinds {
  cluster: Cluster;
  application: Application;
  node: Node;
  service: Service;
  task: Task;
  network: Network;
  volume: Volume;
  secret: Secret;
  config: Config;
  administrator: Administrator;
  /** Written and read with the tasks that refer to it, by the database alone. */
  template: StoredTemplate;
}

export type ObjectKind = keyof ObjectKinds;

/**
 * One wished change. `revision` (from the object that was read) guards it: when somebody was faster, all is planned again. A
 * `check` changes nothing: what else is in its group is written only while the object is as it was read.
 */
export type Change = {
  [Kind in ObjectKind]:
    | { kind: Kind; action: 'create'; object: ObjectKinds[Kind] }
    | { kind: Kind; action: 'update'; object: ObjectKinds[Kind] }
    | { kind: Kind; action: 'delete'; object: ObjectKinds[Kind] }
    | { kind: Kind; action: 'check'; object: ObjectKinds[Kind] };
}[ObjectKind];

/** One object of the view that is there, gone, or another one now. */
export type ObjectChange = {
  [Kind in ObjectKind]: {
    kind: Kind;
    id: string;
    before: ObjectKinds[Kind] | undefined;
    after: ObjectKinds[Kind] | undefined;
  };
}[ObjectKind];

/** What one step of the view has changed. */
export interface ViewChange {
  kinds: ReadonlySet<ObjectKind>;
  objects: readonly ObjectChange[];
}

/**
 * All objects in memory with their indexes, as of one revision. What the pure functions plan from. Never modified by its
 * readers; objects in it are replaced, not changed.
 */
export interface View {
  readonly revision: number;
  readonly cluster: Cluster | undefined;
  readonly applications: ReadonlyMap<string, Application>;
  readonly nodes: ReadonlyMap<string, Node>;
  readonly services: ReadonlyMap<string, Service>;
  readonly tasks: ReadonlyMap<string, Task>;
  readonly networks: ReadonlyMap<string, Network>;
  readonly volumes: ReadonlyMap<string, Volume>;
  readonly secrets: ReadonlyMap<string, Secret>;
  readonly configs: ReadonlyMap<string, Config>;
  readonly administrators: ReadonlyMap<string, Administrator>;
  readonly templates: ReadonlyMap<string, StoredTemplate>;
  serviceByName(name: string): Service | undefined;
  networkByName(name: string): Network | undefined;
  tasksOfService(serviceId: string): Iterable<Task>;
  tasksOfNode(nodeId: string): Iterable<Task>;
  /** Templates that no task refers to. */
  unusedTemplates(): StoredTemplate[];
}

/** What a planner gives: changes that only make sense together come in one group (at most 1,024 changes); groups are independent. */
export type Plan = Change[][];

/** How a write ended for the groups of a plan. */
export interface WriteResult {
  /** Groups that were planned from what is not so any more: the caller plans again. */
  conflicts: number;
  /** Why groups can never be written as they are: too large, or not to be put into words. The others were written. */
  refused: Error[];
}

/**
 * What every loop works with: the view, a way to write a plan, and to hear of changes. `write` applies each group in one
 * transaction guarded by the revisions of the objects in it, sets `updatedAt`, and resolves once the view holds the
 * result. A group that cannot be written never keeps the others from being written.
 */
export interface Database {
  readonly view: View;
  /** Why nothing can be written now; absent when it can. */
  readonly problem?: ShoalError | undefined;
  /** Throws why the first of the groups that cannot be written cannot. */
  write(plan: Plan): Promise<{ conflicts: number }>;
  /** The same for loops, which go on: throws only what holds for every group, such as a full disk. */
  writeEach(plan: Plan): Promise<WriteResult>;
  /** Calls back after each change of the view with what has changed; returns how to stop. */
  onChange(callback: (change: ViewChange) => void): () => void;
}
