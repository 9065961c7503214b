import { Loop, type LoopOptions } from '../../src/util/loop.ts';
import type { Database, ViewChange } from './objects.ts';

export interface ViewLoopOptions extends LoopOptions {
  database: Database;
  /** Whether a change asks for a pass. Asked of every change from the moment the loop is made. */
  concerns: (change: ViewChange) => boolean;
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
export function createViewLoop({ database, concerns, ...options }: ViewLoopOptions): ViewLoop {
  const loop = new Loop(options);
  const unsubscribe = database.onChange((change) => {
    if (concerns(change)) loop.poke();
  });
  return {
    start: () => loop.start(),
    poke: () => loop.poke(),
    stop: async () => {
      unsubscribe();
      await loop.stop();
    },
  };
}
