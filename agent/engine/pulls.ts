import type { PullProgress } from './engine.ts';

export interface PullOptions {
  onProgress?: (progress: PullProgress) => void;
  signal?: AbortSignal;
}

interface Shared<T> {
  result: Promise<T>;
  listeners: Set<(progress: PullProgress) => void>;
  controller: AbortController;
  waiting: number;
  last?: PullProgress;
}

/** Lets callers that want the same thing at the same time share one piece of work, which ends when all have given up. */
export class SharedPulls<T> {
  readonly #running = new Map<string, Shared<T>>();

  /** How many pieces of work are under way. */
  get size(): number {
    return this.#running.size;
  }

  async run(
    key: string,
    options: PullOptions,
    work: (report: (progress: PullProgress) => void, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { onProgress, signal } = options;
    signal?.throwIfAborted();
    const shared = this.#running.get(key) ?? this.#start(key, work);
    shared.waiting++;
    if (onProgress) {
      shared.listeners.add(onProgress);
      if (shared.last) onProgress(shared.last);
    }
    const given = Promise.withResolvers<never>();
    const giveUp = () => given.reject(signal!.reason as Error);
    signal?.addEventListener('abort', giveUp, { once: true });
    try {
      return await Promise.race([shared.result, given.promise]);
    } finally {
      signal?.removeEventListener('abort', giveUp);
      if (onProgress) shared.listeners.delete(onProgress);
      shared.waiting--;
      if (shared.waiting === 0) {
        if (this.#running.get(key) === shared) this.#running.delete(key);
        shared.controller.abort(signal?.reason ?? new Error('nobody waits for this pull any more'));
      }
    }
  }

  #start(
    key: string,
    work: (report: (progress: PullProgress) => void, signal: AbortSignal) => Promise<T>,
  ): Shared<T> {
    const controller = new AbortController();
    const listeners = new Set<(progress: PullProgress) => void>();
    const shared: Shared<T> = {
      listeners,
      controller,
      waiting: 0,
      result: Promise.resolve().then(() =>
        work((progress) => {
          shared.last = progress;
          for (const listener of listeners) listener(progress);
        }, controller.signal),
      ),
    };
    this.#running.set(key, shared);
    const forget = () => {
      if (this.#running.get(key) === shared) this.#running.delete(key);
    };
    shared.result.then(forget, forget);
    return shared;
  }
}
