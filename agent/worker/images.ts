import type { Engine, Image, PullProgress } from '../engine/engine.ts';
import type { PullPolicy } from '../../src/spec/settings.ts';
import { parseReference } from '../../src/registry/reference.ts';
import { codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Clock } from '../../src/util/clock.ts';
import type { Logger } from '../../src/util/log.ts';
import { Limiter } from '../../src/util/queue.ts';
import type { Random } from '../../src/util/random.ts';
import { retry } from '../../src/util/retry.ts';

/** Pulls at a time from one registry, so that one that answers badly keeps no other waiting. */
export const pullsPerRegistryMax = 3;
/** Pulls at a time on one host. */
const pullsMax = 24;
/** The engine asks a silent registry several times itself; it is told to do so this often before the task is refused. */
const pullAttempts = 2;

interface Pull {
  done: Promise<Image>;
  controller: AbortController;
  /** Everyone who waits for it. */
  listeners: Set<(progress: PullProgress) => void>;
}

/** Gets images: from the engine when they are here, else by one pull that all who want the image share. */
export class Images {
  readonly #engine: Engine;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Logger;
  readonly #limiter = new Limiter(pullsMax);
  /** By registry, for those that something is pulled from. */
  readonly #registries = new Map<string, { limiter: Limiter; pulls: number }>();
  readonly #pulls = new Map<string, Pull>();

  constructor(parts: { engine: Engine; clock: Clock; random: Random; log: Logger }) {
    this.#engine = parts.engine;
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.#log = parts.log;
  }

  /**
   * The image, pulled if need be or if the policy wants it. The pull ends early only when nobody wants it any more.
   * Throws as `Engine.pull` does.
   */
  async get(
    reference: string,
    policy: PullPolicy | undefined,
    onProgress: (progress: PullProgress) => void,
    signal: AbortSignal,
  ): Promise<Image> {
    const here = policy?.kind === 'always' ? undefined : await this.#engine.image(reference);
    signal.throwIfAborted();
    if (here && !(policy?.kind === 'every' && this.#isOlder(here, policy.intervalMs))) return here;
    if (policy?.kind === 'never') {
      throw new ShoalError(
        'image_not_found',
        `Cannot use ${reference}: it is not on this host, and may not be pulled`,
        {
          next: 'Put it there, or let pull_policy be missing.',
        },
      );
    }
    const pull = this.#pulls.get(reference) ?? this.#startPull(reference);
    pull.listeners.add(onProgress);
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([pull.done, aborted]);
    } finally {
      signal.removeEventListener('abort', onAbort);
      pull.listeners.delete(onProgress);
      if (pull.listeners.size === 0) pull.controller.abort(new Error('nobody wants the image any more'));
    }
  }

  #isOlder({ pulledAt = 0 }: Image, intervalMs: number): boolean {
    return this.#clock.now() - pulledAt >= intervalMs;
  }

  async #inTurn<T>(reference: string, work: () => Promise<T>): Promise<T> {
    const name = registryOf(reference);
    const registry = this.#registries.get(name) ?? { limiter: new Limiter(pullsPerRegistryMax), pulls: 0 };
    this.#registries.set(name, registry);
    registry.pulls++;
    try {
      return await registry.limiter.run(() => this.#limiter.run(work));
    } finally {
      if (--registry.pulls === 0) this.#registries.delete(name);
    }
  }

  #startPull(reference: string): Pull {
    const controller = new AbortController();
    const listeners = new Set<(progress: PullProgress) => void>();
    const onProgress = (progress: PullProgress) => {
      for (const listener of listeners) listener(progress);
    };
    const attempt = () =>
      this.#inTurn(reference, () => {
        controller.signal.throwIfAborted();
        return this.#engine.pull(reference, { onProgress, signal: controller.signal });
      });
    const done = retry(attempt, {
      attempts: pullAttempts,
      retryable: (error) => {
        this.#log.debug('a pull failed', { image: reference, error: messageOf(error) });
        return codeOf(error) === 'unavailable' || codeOf(error) === 'deadline_exceeded';
      },
      signal: controller.signal,
      clock: this.#clock,
      random: this.#random,
    });
    const pull: Pull = { done, controller, listeners };
    this.#pulls.set(reference, pull);
    const forget = () => {
      if (this.#pulls.get(reference) === pull) this.#pulls.delete(reference);
    };
    // An aborted pull must not be joined by a newcomer, and its failure has been told to all who waited.
    controller.signal.addEventListener('abort', forget, { once: true });
    done.then(forget, forget);
    return pull;
  }
}

/** The registry that an image comes from; what is no image's name is refused by the engine. */
function registryOf(reference: string): string {
  try {
    return parseReference(reference).registry;
  } catch {
    return '';
  }
}

/** How far a pull is, in a person's words. */
export function pullWords(reference: string, progress: PullProgress): string {
  const { phase, doneBytes, totalBytes, trouble } = progress;
  if (trouble !== undefined) return `${trouble}; it is tried again`;
  if (phase === 'resolving') return `pulling ${reference}: asking the registry`;
  if (phase === 'unpacking' || phase === 'done') return `pulling ${reference}: unpacking`;
  const mebibytes = (bytes: number) => (bytes / 1024 / 1024).toFixed(1);
  const share = totalBytes > 0 ? ` (${Math.floor((doneBytes / totalBytes) * 100)} %)` : '';
  return `pulling ${reference}: ${mebibytes(doneBytes)} of ${mebibytes(totalBytes)} MiB${share}`;
}
