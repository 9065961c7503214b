/** Sees to it that the kernel has what was applied: soon after any change, and now and then when none was heard of. */
import type { ConditionReporter } from '../conditions/conditions.ts';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { Loop } from '../../src/util/loop.ts';
import { KernelWatch, type KernelChange } from './kernel-watch.ts';

/** Changes that come together are looked at together. */
const gatherMs = 100;
/** Without a change that was heard of: links, chains and switches, which costs about 20 ms of the processor. */
const lookIntervalMs = 15_000;
/** All elements of the packet filter too. */
const fullIntervalMs = 60_000;
/** Looking takes at most one part in so many of the time, however often something changes and however much there is. */
const restFactor = 50;
/** But what is cheap to look at is looked at after this long: a repair comes within 5 s. */
const restMsMax = 1_000;
/** And after this long while the changes that are heard of are our own, as when many tasks start. */
const ownRestMs = 2_500;
/** A host whose network was just repaired gets no new tasks until it has stayed whole for so long. */
const settleMs = 5_000;

export interface KernelCheckerOptions {
  clock: Clock;
  log: Logger;
  conditions: ConditionReporter;
  /** Compares, and repairs what is wrong after telling `broken`; throws when it cannot. `all`: with all elements. */
  check: (all: boolean) => Promise<void>;
  /** Told when somebody else's rules change. */
  onForeignRules: () => void;
}

export class KernelChecker {
  readonly #options: KernelCheckerOptions;
  readonly #watch: KernelWatch;
  readonly #loop: Loop;
  /** A rule of ours was changed, which only a full look shows. */
  #rulesChanged = true;
  #lastFullAt = -Infinity;
  #lastFullTookMs = 0;
  #brokenAt: number | undefined;
  /** We have changed something since the last look. */
  #isOwn = false;

  constructor(options: KernelCheckerOptions) {
    this.#options = options;
    const { clock, log } = options;
    this.#watch = new KernelWatch({ clock, log, onChange: (change) => this.#onChange(change) });
    this.#loop = new Loop({
      name: "checking the host's network",
      clock,
      log,
      debounceMs: gatherMs,
      intervalMs: lookIntervalMs,
      tick: (signal) => this.#look(signal),
    });
  }

  start(): void {
    this.#watch.start();
    this.#loop.start();
  }

  async stop(): Promise<void> {
    await Promise.all([this.#watch.stop(), this.#loop.stop()]);
  }

  /** We are about to change the kernel, which will be heard of. */
  changing(): void {
    this.#isOwn = true;
  }

  /** Something is not as it was applied; it is about to be repaired. */
  broken(wrong: readonly string[]): void {
    const { clock, conditions, log } = this.#options;
    const more = wrong.length > 1 ? ` and ${wrong.length - 1} more` : '';
    log.warn("The host's network is not as it was set up; it is repaired", { wrong: wrong.slice(0, 10) });
    conditions.set('NetworkBroken', 'kernel', `${wrong[0]}${more}; it is being repaired`);
    this.#brokenAt = clock.monotonic();
  }

  #onChange(change: KernelChange): void {
    if (change === 'foreign rules') return this.#options.onForeignRules();
    if (change === 'rules') this.#rulesChanged = true;
    this.#loop.poke();
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { clock, conditions } = this.#options;
    const startedAt = clock.monotonic();
    const full = this.#isFullDue(startedAt);
    this.#isOwn = false;
    if (full) this.#rulesChanged = false;
    try {
      await this.#options.check(full);
    } catch (error) {
      this.#brokenAt = clock.monotonic();
      conditions.set('NetworkBroken', 'kernel', messageOf(error));
      throw error;
    }
    const endedAt = clock.monotonic();
    if (full) {
      this.#lastFullAt = endedAt;
      this.#lastFullTookMs = endedAt - startedAt;
    }
    const restMs = Math.min(restMsMax, (endedAt - startedAt) * restFactor);
    await clock.sleep(restMs, signal).catch(() => undefined);
    if (this.#isOwn) await clock.sleep(ownRestMs - restMs, signal).catch(() => undefined);
    this.#settle();
    if (this.#rulesChanged) this.#loop.poke();
  }

  #isFullDue(now: number): boolean {
    const rest = now - this.#lastFullAt;
    // A rule of ours is changed by nobody who has a reason to: that cannot wait as long.
    if (this.#rulesChanged && rest >= this.#lastFullTookMs) return true;
    return rest >= Math.max(fullIntervalMs, this.#lastFullTookMs * restFactor);
  }

  #settle(): void {
    if (this.#brokenAt === undefined) return;
    const { clock, conditions } = this.#options;
    const restMs = this.#brokenAt + settleMs - clock.monotonic();
    if (restMs <= 0) {
      this.#brokenAt = undefined;
      conditions.clear('NetworkBroken', 'kernel');
    } else clock.after(restMs, () => this.#loop.poke());
  }
}
