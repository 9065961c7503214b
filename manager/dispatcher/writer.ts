import type { Clock } from '../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { Loop } from '../../src/util/loop.ts';
import type { Database } from '../store/objects.ts';
import { planStatuses, type StatusReport } from './statuses.ts';

/** Reports taken in and not yet written, over all nodes. */
export const waitingReportsMax = 50_000;
const attemptsMax = 5;

interface Batch {
  nodeId: string;
  reports: StatusReport[];
  answer: Answer;
}

/** What becomes of a batch: written, or not taken, so that its agent has to tell it again. */
export interface Answer {
  acknowledge(): void;
  decline(): void;
}

/** The oldest batch of each node, and what has to wait: whoever reports much delays nobody but itself. */
export function nextTurn<Item extends { nodeId: string }>(batches: readonly Item[]): [Item[], Item[]] {
  const turn = new Map<string, Item>();
  const rest: Item[] = [];
  for (const batch of batches) {
    if (turn.has(batch.nodeId)) rest.push(batch);
    else turn.set(batch.nodeId, batch);
  }
  return [[...turn.values()], rest];
}

/**
 * Writes the agents' status reports: those that come while a write is under way share the next one. What cannot be written is
 * given back to its agents, who know better by then; nothing waits here for a disk.
 */
export class StatusWriter {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #loop: Loop;
  #batches: Batch[] = [];
  #waiting = 0;

  constructor(database: Database, clock: Clock, log: Logger) {
    this.#database = database;
    this.#clock = clock;
    this.#log = log;
    this.#loop = new Loop({ name: 'status writer', clock, log, tick: () => this.#tick() });
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** Takes a batch, which is acknowledged once it is durable. Throws `resource_exhausted` when too much waits. */
  push(nodeId: string, reports: StatusReport[], answer: Answer): void {
    if (this.#waiting + reports.length > waitingReportsMax) {
      throw new ShoalError('resource_exhausted', `Cannot take more than ${waitingReportsMax} status reports`);
    }
    this.#waiting += reports.length;
    this.#batches.push({ nodeId, reports, answer });
    this.#loop.poke();
  }

  async #tick(): Promise<void> {
    const [batches, rest] = nextTurn(this.#batches);
    if (batches.length === 0) return;
    this.#batches = rest;
    try {
      await this.#write(batches.flatMap(({ reports }) => reports));
    } catch (error) {
      const waiting = this.#batches;
      this.#batches = [];
      for (const { reports, answer } of [...batches, ...waiting]) {
        this.#waiting -= reports.length;
        answer.decline();
      }
      throw error;
    }
    for (const { reports, answer } of batches) {
      this.#waiting -= reports.length;
      answer.acknowledge();
    }
    if (rest.length > 0) this.#loop.poke();
  }

  async #write(reports: StatusReport[]): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const { plan, ignored } = planStatuses(this.#database.view, reports, this.#clock.now());
      if (attempt === 1) {
        for (const { nodeId, taskId, status } of ignored) {
          this.#log.debug('status report ignored', { nodeId, taskId, state: status.state });
        }
      }
      const { conflicts, refused } = await this.#database.writeEach(plan);
      // Told again it would be refused again.
      for (const error of refused) this.#log.warn('statuses cannot be written', { error: messageOf(error) });
      if (conflicts === 0) return;
      if (attempt === attemptsMax)
        throw new ShoalError('conflict', 'Cannot write status reports: others keep writing');
    }
  }
}
