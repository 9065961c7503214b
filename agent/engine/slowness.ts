import type { Clock } from '../../src/util/clock.ts';
import type { CallEnd } from './client.ts';

/** A call that only asks, or only sends a signal, and has no answer after this long: its shim or the engine is slow. */
export const slowCallMs = 5_000;
/** The same for a call that makes the shim do work. */
export const slowWorkMs = 30_000;

/** Calls that are watched, and how long each may take. The others (pulls, waiting for an end) take what they take. */
const watched: Record<string, number> = {
  'Version.Version': slowCallMs,
  'Containers.List': slowCallMs,
  'Containers.Get': slowCallMs,
  'Tasks.List': slowCallMs,
  'Tasks.Get': slowCallMs,
  'Tasks.Kill': slowCallMs,
  'Tasks.Exec': slowCallMs,
  'Tasks.Create': slowWorkMs,
  'Tasks.Start': slowWorkMs,
  'Tasks.Delete': slowWorkMs,
  'Tasks.DeleteProcess': slowWorkMs,
};

/** What does not answer. */
export interface Slow {
  /** Whether the engine itself does not. */
  engine: boolean;
  /** Containers whose shim does not. */
  containers: string[];
}

/**
 * Notices calls that hang. What was slow once is slow until it has answered: the engine any call, a shim when the engine
 * knows again what its containers do.
 */
export class Slowness {
  readonly #clock: Clock;
  readonly #report: (slow: Slow) => void;
  readonly #late = new Map<symbol, string | undefined>();
  readonly #containers = new Set<string>();
  #engine = false;
  /** When the engine was found to be away first. */
  #awaySince: number | undefined;
  #told = '';

  /** `report` is called with every change; with nothing in it when all answers again. */
  constructor(clock: Clock, report: (slow: Slow) => void) {
    this.#clock = clock;
    this.#report = report;
  }

  /** A call begins. Returns what to call at its end. */
  begin(name: string, id: string | undefined): (end: CallEnd) => void {
    // the engine answers that itself, for a shim that does not
    const containerId = name === 'Tasks.Get' ? undefined : id;
    const limitMs = watched[name];
    if (limitMs === undefined) return () => undefined;
    const call = Symbol(name);
    const cancel = this.#clock.after(limitMs, () => {
      this.#late.set(call, containerId);
      this.#tell();
    });
    return (end) => {
      cancel();
      const wasLate = this.#late.delete(call);
      if (end === 'away') this.#noteAway();
      else if (end === 'answered') this.#noteAnswer();
      else if (containerId === undefined) this.#engine = true;
      else this.#containers.add(containerId);
      if (wasLate || this.#told !== '') this.#tell();
    };
  }

  /** The engine was asked what all its containers do, and their shims did not say of these. */
  seen(silent: readonly string[]): void {
    this.#containers.clear();
    for (const id of silent) this.#containers.add(id);
    this.#tell();
  }

  /** Whether the container's shim did not answer when it was asked last. */
  doubts(containerId: string): boolean {
    return this.#containers.has(containerId) || [...this.#late.values()].includes(containerId);
  }

  #noteAway(): void {
    this.#awaySince ??= this.#clock.monotonic();
    if (this.#clock.monotonic() - this.#awaySince >= slowCallMs) this.#engine = true;
    this.#tell();
  }

  #noteAnswer(): void {
    this.#engine = false;
    this.#awaySince = undefined;
  }

  #tell(): void {
    const late = [...this.#late.values()];
    const slow = {
      engine: this.#engine || late.includes(undefined),
      containers: [...new Set([...this.#containers, ...late.filter((id) => id !== undefined)])].sort(),
    };
    const words = slow.engine || slow.containers.length > 0 ? JSON.stringify(slow) : '';
    if (words === this.#told) return;
    this.#told = words;
    this.#report(slow);
  }
}
