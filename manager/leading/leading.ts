import { calledWithin } from '../api/view-change.ts';
import type { OtherSeat, OwnSeat, Seat } from '../api/site.ts';
import type { Leader, Leadership, Store } from '../store/store.ts';
import { withDeadline, type Clock } from '../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { systemRandom } from '../../src/util/random.ts';
import { backoffMs } from '../../src/util/retry.ts';
import { parseCandidate } from './candidate.ts';

/** Parts of a term that have not come to rest within this time are left behind: what they write is refused. */
const stopMsMax = 10_000;
/** A leader that said it does not lead is asked again after this, for news of another may be late. */
const refusedMs = 100;

/** What only the leader has, from its takeover to the end of its leadership. */
export interface Term {
  seat: OwnSeat;
  stop(): Promise<void>;
}

export interface LeadingParts {
  store: Pick<Store, 'campaign' | 'watchLeader'>;
  /** This manager, as the store tells the others of it; known once it listens. */
  candidate: () => string;
  clock: Clock;
  log: Logger;
  /** Begins a term, when everything that leaders of before have written is known. */
  begin: (leadership: Leadership) => Promise<Term>;
}

/** Campaigns for as long as the manager lives, runs a term each time it wins, and knows who leads otherwise. */
export class Leading {
  readonly #parts: LeadingParts;
  readonly #stop = new AbortController();
  readonly #waiting = new Set<() => void>();
  #own: OwnSeat | undefined;
  #other: { seat: OtherSeat; over: AbortController } | undefined;
  #leader: string | undefined;
  #done: Promise<unknown> | undefined;

  constructor(parts: LeadingParts) {
    this.#parts = parts;
  }

  get own(): OwnSeat | undefined {
    return this.#own;
  }

  /** `HOST:PORT` of the manager that leads, this one or another; undefined while none does, as far as is known here. */
  get leader(): string | undefined {
    return this.#own === undefined && this.#other === undefined ? undefined : this.#leader;
  }

  start(): void {
    this.#done ??= Promise.all([this.#campaign(), this.#watch()]);
  }

  /** Ends the term, so that another manager can begin one. */
  async stop(): Promise<void> {
    this.#stop.abort(new ShoalError('unavailable', 'The manager stops'));
    await this.#done;
  }

  /** See `Site.seat`. */
  async seat(wait: { untilMs: number; refused?: Seat | undefined; signal: AbortSignal }): Promise<Seat> {
    const { clock } = this.#parts;
    const signal = AbortSignal.any([wait.signal, this.#stop.signal]);
    const askAgainMs = clock.monotonic() + refusedMs;
    for (;;) {
      signal.throwIfAborted();
      if (this.#own !== undefined) return this.#own;
      const now = clock.monotonic();
      const other = this.#other?.seat;
      if (now >= wait.untilMs) throw nobodyLeads();
      if (other !== undefined && (other !== wait.refused || now >= askAgainMs)) return other;
      const untilMs = other === undefined ? wait.untilMs : Math.min(wait.untilMs, askAgainMs);
      await calledWithin(clock, Math.max(1, untilMs - now), signal, (call) => {
        this.#waiting.add(call);
        return () => this.#waiting.delete(call);
      });
    }
  }

  async #campaign(): Promise<void> {
    const { store, candidate, clock, log } = this.#parts;
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted;) {
      try {
        const leadership = await store.campaign(candidate(), signal);
        try {
          await this.#lead(leadership);
        } finally {
          await leadership.resign();
        }
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        failures++;
        log.warn('cannot lead, and will try again', { error: messageOf(error), failures });
        await clock.sleep(backoffMs(failures, systemRandom), signal).catch(() => undefined);
      }
    }
  }

  /** One term. Throws when it does not come to begin. */
  async #lead(leadership: Leadership): Promise<void> {
    const { log, begin } = this.#parts;
    const { fence, signal } = leadership;
    log.info('this manager was elected', { term: fence.revision });
    const term = await begin(leadership);
    if (!signal.aborted) {
      this.#own = term.seat;
      this.#tell();
      log.info('this manager leads', { term: fence.revision });
    }
    await aborted(AbortSignal.any([signal, this.#stop.signal]));
    this.#own = undefined;
    log.info('this manager no longer leads', { term: fence.revision, why: messageOf(signal.reason) });
    await withDeadline(stopMsMax, 'the end of the term', () => term.stop()).catch((error: unknown) => {
      log.error('parts of an ended term still run: what they write is refused', { error: messageOf(error) });
    });
  }

  async #watch(): Promise<void> {
    const { store, clock, log } = this.#parts;
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted;) {
      try {
        for await (const leader of store.watchLeader(signal)) {
          failures = 0;
          this.#heard(leader);
        }
      } catch (error) {
        // The last that was heard of counts until then.
        failures++;
        log.debug('cannot see who leads, and will look again', { error: messageOf(error), failures });
      }
      if (!signal.aborted)
        await clock.sleep(backoffMs(failures, systemRandom), signal).catch(() => undefined);
    }
    this.#heard(undefined);
  }

  #heard(leader: Leader | undefined): void {
    this.#other?.over.abort(new ShoalError('unavailable', 'Another manager leads the cluster now'));
    this.#other = undefined;
    const isOwn = leader?.candidate === this.#parts.candidate();
    const address = leader && parseCandidate(leader.candidate)?.address;
    this.#leader = address;
    if (address !== undefined && !isOwn) {
      const over = new AbortController();
      this.#other = { seat: { kind: 'other', address, over: over.signal }, over };
      this.#parts.log.info('another manager leads', { address, term: leader?.revision });
    }
    this.#tell();
  }

  #tell(): void {
    for (const wake of this.#waiting) wake();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function nobodyLeads(): ShoalError {
  return new ShoalError('unavailable', 'Cannot do this now: no manager leads the cluster', {
    next: 'Try again in a moment; `shoal node ls` shows the managers.',
  });
}
