import { heartbeatIntervalMs } from '../../src/spec/defaults.ts';

/** A look at the nodes that comes this much later than it should says that the manager itself stood still. */
export const pauseMsMin = heartbeatIntervalMs;
/**
 * So many pauses of the manager, of whatever length, are not counted against a node that is not heard in between. One
 * that is there is heard after each: what it sent meanwhile waits in the kernel. So a load that stalls the manager again and
 * again delays finding a dead node, and does not prevent it.
 */
export const pausesExcusedMax = 3;

/** What is known of one node's silence. All times are monotonic, in ms. */
interface Ear {
  since: number;
  /** Its connection was closed, by whomever. */
  isClosed: boolean;
  /** Its own side closed the connection: it was heard in that, and its silence since says nothing of the network. */
  hasLeft: boolean;
  /** It led until it was lost: it is not taken for one whose agent has just ended, as long as its host does not answer. */
  isLost?: boolean;
  excuses: number;
}

export interface Absence {
  silentMs: number;
  isClosed: boolean;
  hasLeft: boolean;
}

/** Since when each node has not been heard, without the time for which the manager itself did not listen. */
export class Hearing {
  readonly #ears = new Map<string, Ear>();
  /** When the nodes were called down. */
  readonly #calledDown = new Map<string, number>();
  #now: number;
  /** For nodes not heard since the manager's start. */
  readonly #unheard: Ear;
  readonly #intervalMs: number;

  /** `now`: the manager's start; `intervalMs`: how often `look` is called. */
  constructor(now: number, intervalMs: number) {
    this.#now = now;
    this.#unheard = { since: now, isClosed: true, hasLeft: false, excuses: 0 };
    this.#intervalMs = intervalMs;
  }

  heard(nodeId: string, now: number): void {
    this.#calledDown.delete(nodeId);
    this.#ears.set(nodeId, { since: now, isClosed: false, hasLeft: false, excuses: 0 });
  }

  /** `hasLeft`: by the node's own side. */
  closed(nodeId: string, now: number, hasLeft = false): void {
    this.#ears.set(nodeId, { since: now, isClosed: true, hasLeft, excuses: 0 });
  }

  /** The node's manager was lost, and this one has taken over from it. */
  lost(nodeId: string, now: number): void {
    this.#ears.set(nodeId, { since: now, isClosed: false, hasLeft: false, isLost: true, excuses: 0 });
  }

  /** Nodes whose managers were lost and that have not been heard since. */
  get lostNodeIds(): string[] {
    return [...this.#ears].filter(([, { isLost }]) => isLost === true).map(([nodeId]) => nodeId);
  }

  /** The host of such a node answers, so its manager alone was lost: its agent has as long to come back as the others. */
  answered(nodeId: string): void {
    const ear = this.#ears.get(nodeId);
    if (ear?.isLost !== true) return;
    ear.isClosed = true;
    delete ear.isLost;
  }

  calledDown(nodeId: string): void {
    this.#calledDown.set(nodeId, this.#now);
  }

  /** Forgets all nodes but these. */
  keep(nodeIds: { has(nodeId: string): boolean }): void {
    for (const nodeId of this.#ears.keys()) if (!nodeIds.has(nodeId)) this.#ears.delete(nodeId);
    for (const nodeId of this.#calledDown.keys()) if (!nodeIds.has(nodeId)) this.#calledDown.delete(nodeId);
  }

  /** The time of the next questions. A look that comes late makes up for the pause. */
  look(now: number): void {
    const lateMs = now - this.#now - this.#intervalMs;
    this.#now = now;
    if (lateMs < pauseMsMin) return;
    for (const ear of [this.#unheard, ...this.#ears.values()]) {
      if (ear.excuses >= pausesExcusedMax) continue;
      ear.excuses++;
      ear.since = Math.min(now, ear.since + lateMs);
    }
  }

  /** The manager hears again after it heard nobody: who is not heard yet has as long to come back as after its start. */
  regain(freshMs: number): void {
    for (const ear of [this.#unheard, ...this.#ears.values()]) {
      if (this.#now - ear.since < freshMs) continue;
      ear.since = this.#now;
      ear.isClosed = ear.isLost !== true;
    }
  }

  absenceOf(nodeId: string): Absence {
    const { since, isClosed, hasLeft } = this.#ears.get(nodeId) ?? this.#unheard;
    return { silentMs: this.#now - since, isClosed, hasLeft };
  }

  /** How many nodes were called down in the last `ms` and have not been heard since. */
  calledDownWithin(ms: number): number {
    return [...this.#calledDown.values()].filter((at) => this.#now - at < ms).length;
  }
}
