import { Faults } from '../store/isolate.ts';
import type { ObjectKind, View, ViewChange } from '../store/objects.ts';
import { AssignmentIndex } from './assignment-index.ts';
import { planDrain, type Drains } from './drain.ts';
import type { Fragment, Increment } from './fragment.ts';
import type { SentState } from './knowledge.ts';
import { addTo } from './sets.ts';
import { SoundView } from './sound-view.ts';

/** Nodes that are sent their complete sets at a time: after a storm of reconnections the others wait for their turn. */
export const completesMax = 8;

/** A session as far as assignments are sent on it. */
export interface Recipient {
  readonly nodeId: string;
  readonly state: SentState;
  /** Is to get everything anew, and no increments before. */
  wantsComplete: boolean;
  /** Something that it was sent has not gone out yet. */
  readonly isBusy: boolean;
  complete(fragments: readonly Fragment[]): void;
  advance(increment: Increment): void;
}

/** What a pass leaves to do. */
export interface PassResult {
  /** Running tasks that may stop. */
  drained: ReadonlySet<string>;
  /** Tasks that were let go though an agent did not confirm in time. */
  overdue: string[];
  /** When to look again, in ms from now, if nothing happens before. */
  againInMs: number | undefined;
  /** What could not be worked with: nodes go on with what they were told of it. */
  faults: Faults;
}

/** Decides what each session is sent: from what has changed since the last pass, and from what its node has confirmed. */
export class Assigner {
  readonly #view: SoundView;
  readonly #index: AssignmentIndex;
  readonly #recipients = new Map<string, Recipient>();
  /** How many nodes have not confirmed the removal of an endpoint, by task. */
  readonly #unconfirmed = new Map<string, number>();
  readonly #completing = new Set<Recipient>();
  #changed = new Map<ObjectKind, Set<string>>();
  #drained: ReadonlySet<string> = new Set();
  #waiting: Drains = new Map();

  /** Knows the view as it is now; every change from here on must be noted. */
  constructor(view: View) {
    this.#view = new SoundView(view);
    this.#index = new AssignmentIndex(this.#view);
    const kinds = [
      ['network', view.networks],
      ['service', view.services],
      ['task', view.tasks],
      ['node', view.nodes],
      ['secret', view.secrets],
      ['config', view.configs],
    ] as const;
    for (const [kind, objects] of kinds) this.#changed.set(kind, new Set(objects.keys()));
  }

  note(change: ViewChange): void {
    this.#view.note(change);
    for (const { kind, id } of change.objects) addTo(this.#changed, kind, id);
  }

  /** Whether a confirmation may let a task stop. */
  get awaitsConfirmation(): boolean {
    return this.#waiting.size > 0;
  }

  /** Begins to send to it; a complete set first. */
  add(recipient: Recipient): void {
    this.#recipients.set(recipient.nodeId, recipient);
  }

  remove(recipient: Recipient): void {
    if (this.#recipients.get(recipient.nodeId) !== recipient) return;
    this.#recipients.delete(recipient.nodeId);
    this.#completing.delete(recipient);
    this.#confirm(recipient.state.end());
  }

  /** A node says how far it is; gives whether that was news. */
  applied({ state }: Recipient, sequence: number): boolean {
    const confirmed = state.applied(sequence);
    this.#confirm(confirmed ?? []);
    return confirmed !== undefined;
  }

  /** Sends what has changed; `now` is monotonic, in ms. */
  pass(now: number): PassResult {
    const changed = this.#changed;
    this.#changed = new Map();
    const listening = (nodeId: string) => this.#recipients.get(nodeId)?.wantsComplete === false;
    const faults = new Faults();
    const increments = this.#index.update(changed, listening, faults);
    for (const { nodeId, state } of this.#recipients.values()) {
      for (const taskId of state.removing(increments.get(nodeId)?.removedEndpoints ?? [])) {
        this.#unconfirmed.set(taskId, (this.#unconfirmed.get(taskId) ?? 0) + 1);
      }
    }
    const before = { drained: this.#drained, waiting: this.#waiting };
    const { drained, waiting, overdue, againInMs } = planDrain(
      this.#index.stopping.values(),
      this.#knowledge(faults),
      before,
      now,
    );
    this.#drained = drained;
    this.#waiting = waiting;
    const news = [...drained].filter((taskId) => !before.drained.has(taskId));
    this.#index.tellTasks(drained, news, increments, listening, faults);
    for (const recipient of this.#recipients.values()) {
      const increment = increments.get(recipient.nodeId);
      if (increment !== undefined && !increment.isEmpty) recipient.advance(increment);
    }
    this.#complete();
    return { drained, overdue, againInMs, faults };
  }

  #knowledge(faults: Faults) {
    const recipients = [...this.#recipients.values()];
    const unsettled = recipients.some(({ state, wantsComplete }) => wantsComplete || !state.isSettled);
    const ready = faults.filter('node', this.#view.nodes.values(), ({ status }) => status.state === 'ready');
    const absent = ready.some(({ id }) => !this.#recipients.has(id));
    return { mayBeUsed: (taskId: string) => unsettled || this.#unconfirmed.has(taskId), absent };
  }

  /** Sends complete sets to as many as may have them under way. */
  #complete(): void {
    for (const recipient of this.#completing) if (!recipient.isBusy) this.#completing.delete(recipient);
    for (const recipient of this.#recipients.values()) {
      if (!recipient.wantsComplete) continue;
      if (this.#completing.size >= completesMax) return;
      this.#completing.add(recipient);
      recipient.wantsComplete = false;
      this.#confirm(recipient.state.completing());
      recipient.complete(this.#index.complete(recipient.nodeId));
    }
  }

  /** One node less that has not confirmed the removals. */
  #confirm(taskIds: Iterable<string>): void {
    for (const taskId of taskIds) {
      const count = (this.#unconfirmed.get(taskId) ?? 0) - 1;
      if (count > 0) this.#unconfirmed.set(taskId, count);
      else this.#unconfirmed.delete(taskId);
    }
  }

  /** Whether a session waits for its complete set. */
  get hasWaiting(): boolean {
    return this.#recipients.values().some(({ wantsComplete }) => wantsComplete);
  }
}
