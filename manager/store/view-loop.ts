import { messageOf } from '../../src/util/errors.ts';
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
  const { name, log } = options;
  const unsubscribe = database.onChange((change) => {
    try {
      if (!concerns(change)) return;
    } catch (error) {
      // Whoever else hears of the change must hear of it, and a pass looks at everything by itself.
      log.warn(`${name} does not understand a change`, { error: messageOf(error) });
    }
    loop.poke();
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
