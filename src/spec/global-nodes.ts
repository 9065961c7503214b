import { nodeSatisfies, parseConstraint, type Constraint } from './constraint.ts';
import { ShoalError } from '../util/errors.ts';
import { hostNeeds, type HostNeed } from './host-features.ts';
import { keepsTasksAway, type Node } from './node.ts';
import type { ServiceSpec } from './service.ts';
import { withAnchors } from './sharing.ts';

/**
 * Which nodes have a task of a global service. The one rule for it: tasks are made by it, and as many are expected as it
 * says.
 */
export class GlobalNodes {
  /** Undefined: they cannot be read (the API refuses those). */
  readonly #constraints: Constraint[] | undefined;
  readonly #needs: HostNeed[];

  constructor(spec: ServiceSpec, specOf: (name: string) => ServiceSpec | undefined) {
    const specs = withAnchors(spec, specOf);
    this.#constraints = readConstraints(specs);
    this.#needs = specs.flatMap(({ task }) => hostNeeds(task));
  }

  /** Whether a task is made on the node when it has none. */
  takes(node: Node): boolean {
    return (
      node.status.state === 'ready' &&
      node.availability === 'active' &&
      !keepsTasksAway(node) &&
      this.#constraints !== undefined &&
      this.#allows(node) &&
      this.#needs.every(({ isMet }) => isMet(node.description))
    );
  }

  /** Whether a task that is on the node stays wanted there. On one that is down it does, for it may only be cut off. */
  keeps(node: Node): boolean {
    return node.availability !== 'drain' && this.#allows(node);
  }

  /** Whether the node counts among those that should have one that runs. */
  expects(node: Node, hasTask: boolean): boolean {
    return this.takes(node) || (hasTask && node.status.state === 'ready' && this.keeps(node));
  }

  #allows(node: Node): boolean {
    return this.#constraints?.every((constraint) => nodeSatisfies(node, constraint)) ?? true;
  }
}

/** One service's unreadable constraint must not stop the planning of all others. */
function readConstraints(specs: ServiceSpec[]): Constraint[] | undefined {
  try {
    return specs.flatMap(({ task }) => task.placement.constraints).map(parseConstraint);
  } catch (error) {
    if (error instanceof ShoalError) return undefined;
    throw error;
  }
}
