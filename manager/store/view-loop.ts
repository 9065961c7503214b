import { Loop, type LoopOptions } from '../../src/util/loop.ts';
import type { Database, ObjectKind } from './objects.ts';

export interface ViewLoopOptions extends LoopOptions {
  database: Database;
  /** Changes of these kinds ask for a pass. */
  kinds: readonly ObjectKind[];
}

/** A loop that plans from the view: it runs when the view has changed in a way that concerns it. */
export interface ViewLoop {
  start(): void;
  /** Asks for a pass without a change. */
  poke(): void;
  /** Resolves when no pass is under way any more. */
  stop(): Promise<void>;
}

/** Makes the loop; nothing runs before `start`. */
export function createViewLoop({ database, kinds, ...options }: ViewLoopOptions): ViewLoop {
  const loop = new Loop(options);
  let unsubscribe: (() => void) | undefined;
  return {
    start: () => {
      unsubscribe ??= database.onChange((changed) => {
        if (kinds.some((kind) => changed.kinds.has(kind))) loop.poke();
      });
      loop.start();
    },
    poke: () => loop.poke(),
    stop: async () => {
      unsubscribe?.();
      await loop.stop();
    },
  };
}
