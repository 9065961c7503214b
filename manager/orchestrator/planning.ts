import { nodeSatisfies, parseConstraint, type Constraint } from '../../src/spec/constraint.ts';
import type { Node } from '../../src/spec/node.ts';
import { mustRest } from '../../src/spec/resource.ts';
import type { Service } from '../../src/spec/service.ts';
import { anchorEndedWith, isTerminal, isWanted, type Task } from '../../src/spec/task.ts';
import { volumeNames } from '../../src/spec/volume-names.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Random } from '../../src/util/random.ts';
import { hasPassed } from '../../src/util/steady-clock.ts';
import { damageOfNode } from '../store/damage.ts';
import { Faults } from '../store/isolate.ts';
import type { View } from '../store/objects.ts';
import { Groups } from './groups.ts';

/** What one pass of planning sees, and the time at which it wants to be run again. */
export class Planning {
  readonly view: View;
  readonly now: number;
  readonly random: Random;
  readonly #constraints = new Map<string, Constraint[] | undefined>();
  readonly #groups: Groups;
  #wakeAt: number | undefined;
  #resting: ReadonlySet<string> | undefined;

  constructor(view: View, now: number, random: Random, faults = new Faults()) {
    this.view = view;
    this.now = now;
    this.random = random;
    this.#groups = new Groups(view, faults);
  }

  /** When something of what was planned since the last question will be due that no change announces (ms). */
  takeWakeAt(): number | undefined {
    const wakeAt = this.#wakeAt;
    this.#wakeAt = undefined;
    return wakeAt;
  }

  /** Whether the delay has passed since then (`hasPassed`); if not, the pass is run again when it has. */
  isDue(sinceMs: number, delayMs: number): boolean {
    if (hasPassed(sinceMs, delayMs, this.now)) return true;
    const atMs = sinceMs + delayMs;
    this.#wakeAt = Math.min(this.#wakeAt ?? atMs, atMs);
    return false;
  }

  /** Whether the task's node is down or was removed: nobody there obeys or reports. */
  isGone(task: Task): boolean {
    if (task.nodeId === undefined) return false;
    const node = this.view.nodes.get(task.nodeId);
    return node === undefined || node.status.state === 'down';
  }

  /** Whether the service's tasks run beside those of others, or others beside them: its slots are then 1, 2, … without gaps. */
  isGrouped(service: Service): boolean {
    return this.#groups.has(service.spec.name);
  }

  /** Whether a task that this one has taken something over from has ended, or is about to: it must be made anew. */
  hasLostAnchor(task: Task): boolean {
    // Its agent may have told so before it told the end of the anchor.
    if (anchorEndedWith(task) !== undefined) return true;
    return Object.values(task.anchors ?? {}).some((id) => {
      const anchor = this.view.tasks.get(id);
      return anchor === undefined || !isWanted(anchor) || isTerminal(anchor.status.state);
    });
  }

  /** Whether the task's node is down, and it could stay there if it were not. */
  isOnlySilent(task: Task): boolean {
    const node = this.view.nodes.get(task.nodeId ?? '');
    return node?.status.state === 'down' && !this.#mustLeave(task, node);
  }

  /** Whether the task must leave its node: gone, drained, no longer what the constraints ask for, apart from its anchors, or in the way of a move. */
  mustLeave(task: Task): boolean {
    if (task.nodeId === undefined) return false;
    if (this.isGone(task)) return true;
    return this.#mustLeave(task, this.view.nodes.get(task.nodeId)!);
  }

  #mustLeave(task: Task, node: Node): boolean {
    // What its labels say is not known: what runs there stays.
    if (damageOfNode(node) !== undefined) return false;
    if (node.availability === 'drain' || !this.satisfies(node, task.template.placement.constraints, true)) {
      return true;
    }
    return this.hasLostAnchor(task) || this.#groups.isApart(task) || this.#hasRestingVolume(task);
  }

  /** Whether a volume of the task is copied to another node, and nothing may write to it. Global services have copies of their own. */
  #hasRestingVolume({ slot, template }: Task): boolean {
    this.#resting ??= new Set(
      this.view.volumes.values().flatMap(({ spec, move }) => (mustRest(move) ? [spec?.name] : [])),
    );
    return (
      slot > 0 && this.#resting.size > 0 && volumeNames(template).some((name) => this.#resting!.has(name))
    );
  }

  /** Whether the constraints allow the node; `unreadable` is the answer when they cannot be read. */
  satisfies(node: Node, constraints: string[], unreadable: boolean): boolean {
    if (constraints.length === 0) return true;
    const parsed = this.#parse(constraints);
    return parsed === undefined ? unreadable : parsed.every((constraint) => nodeSatisfies(node, constraint));
  }

  /** One service's unreadable constraint (the API refuses those) must not stop the planning of all others. */
  #parse(texts: string[]): Constraint[] | undefined {
    const key = texts.join('\n');
    if (!this.#constraints.has(key)) {
      let parsed: Constraint[] | undefined;
      try {
        parsed = texts.map((text) => parseConstraint(text));
      } catch (error) {
        if (!(error instanceof ShoalError)) throw error;
      }
      this.#constraints.set(key, parsed);
    }
    return this.#constraints.get(key);
  }
}
