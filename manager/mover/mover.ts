import { isUnderWay, type Volume, type VolumeMove } from '../../src/spec/resource.ts';
import { taskName } from '../../src/spec/task.ts';
import type { Clock } from '../../src/util/clock.ts';
import { codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { Limiter, type KeyedQueue } from '../../src/util/queue.ts';
import type { Random } from '../../src/util/random.ts';
import { backoffMs } from '../../src/util/retry.ts';
import { createViewLoop, type ViewLoop } from '../store/view-loop.ts';
import type { Database } from '../store/objects.ts';
import { runPass, type Hosts, type PassSummary } from './pass.ts';
import { settleOn } from './settle.ts';
import {
  abandoned,
  advanced,
  arrived,
  copyingWords,
  isCloseEnough,
  limitOf,
  missingNode,
  released,
  stopping,
  tasksWith,
} from './state.ts';

/** Moves that copy at a time: their data goes through this process. Further ones wait. */
const movesMax = 2;
/** A node that is away for longer ends the move: its tasks are not kept waiting for it. */
const awayMsMax = 30_000;
/** Failures in a row of what may go better the next time. */
const failuresMax = 10;
/** Passes with everything stopped; the last one must find nothing that is not the same. */
const stillPassesMax = 4;
/** How often it is looked whether tasks have stopped. */
const lookMs = 100;
/** How often what was sent is told while it goes on. */
const tellMs = 2_000;
const loopIntervalMs = 10_000;
/** Attempts to write a step while others change the volume. */
const writesMax = 100;

export interface MoverOptions {
  database: Database;
  hosts: Hosts;
  clock: Clock;
  random: Random;
  log: Logger;
  /** Changes of one volume that take several writes take turns in it, under `volume ID`. */
  queue: KeyedQueue;
}

/** Carries out the moves and copies that volumes say, each until it is over; after a restart from where it was. */
export function createMover(options: MoverOptions): { start(): void; stop(): Promise<void> } {
  const mover = new Mover(options, () => loop.poke());
  const loop: ViewLoop = createViewLoop({
    database: options.database,
    clock: options.clock,
    log: options.log,
    name: 'volume mover',
    concerns: ({ kinds }) => kinds.has('volume'),
    intervalMs: loopIntervalMs,
    tick: () => mover.look(),
  });
  return {
    start: () => loop.start(),
    stop: async () => {
      await loop.stop();
      await mover.stop();
    },
  };
}

interface Work {
  moveId: string;
  stop: AbortController;
  done: Promise<void>;
}

class Mover {
  readonly #options: MoverOptions;
  readonly #works = new Map<string, Work>();
  readonly #limiter = new Limiter(movesMax);
  #stopped = false;
  #isFirst = true;

  readonly #poke: () => void;

  constructor(options: MoverOptions, poke: () => void) {
    this.#options = options;
    this.#poke = poke;
  }

  /** Begins what is to be done, and ends what is over. */
  async look(): Promise<void> {
    const { view } = this.#options.database;
    if (this.#isFirst) await this.#releaseLeft();
    this.#isFirst = false;
    for (const [id, { moveId, stop }] of this.#works) {
      const move = view.volumes.get(id)?.move;
      if (!isUnderWay(move) || move.id !== moveId)
        stop.abort(new ShoalError('overtaken', 'The move is over'));
    }
    for (const { id, move } of view.volumes.values()) {
      if (this.#stopped || !isUnderWay(move) || this.#works.has(id)) continue;
      const stop = new AbortController();
      const done = this.#limiter
        .run(() => this.#carryOut(id, move.id, stop.signal))
        .finally(() => {
          this.#works.delete(id);
          // Another one may have been asked for while this one was coming to its end.
          if (view.volumes.get(id)?.move?.id !== move.id) this.#poke();
        });
      this.#works.set(id, { moveId: move.id, stop, done });
    }
  }

  /** What a manager that ended in the middle of `volume use` has held is held by nobody any more. */
  async #releaseLeft(): Promise<void> {
    const { database, queue } = this.#options;
    const isLeft = (volume: Volume | undefined) => volume?.held === true && !isUnderWay(volume.move);
    for (const { id } of [...database.view.volumes.values()].filter(isLeft)) {
      await queue.run(`volume ${id}`, async () => {
        const volume = database.view.volumes.get(id);
        if (!isLeft(volume)) return;
        await database.write([[{ kind: 'volume', action: 'update', object: released(volume!) }]]);
      });
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const works = [...this.#works.values()];
    for (const { stop } of works) stop.abort(new Error('the manager stops'));
    await Promise.all(works.map(({ done }) => done));
  }

  /** Never throws: what fails ends the move, which says why. */
  async #carryOut(id: string, moveId: string, signal: AbortSignal): Promise<void> {
    const { log, clock } = this.#options;
    const job = new Job(this.#options, id, moveId, signal);
    try {
      await job.run();
    } catch (error) {
      if (signal.aborted || codeOf(error) === 'overtaken') return;
      const message = messageOf(error);
      log.warn('a volume was not moved', { volume: id, error: message });
      const how = { state: 'failed' as const, message };
      await job
        .write((volume) => abandoned(volume, moveId, { ...how, now: clock.now() }))
        // The move is tried again at the next look.
        .catch((reason: unknown) => log.warn('a failed move cannot be ended', { error: messageOf(reason) }));
    }
  }
}

/** One move, from where the store says that it is to its end. */
class Job {
  readonly #options: MoverOptions;
  readonly #id: string;
  readonly #moveId: string;
  readonly #signal: AbortSignal;

  constructor(options: MoverOptions, id: string, moveId: string, signal: AbortSignal) {
    this.#options = options;
    this.#id = id;
    this.#moveId = moveId;
    this.#signal = signal;
  }

  /** Throws why it cannot be done; then nothing has changed but what has arrived so far. */
  async run(): Promise<void> {
    const { clock } = this.#options;
    if (this.#move.state === 'copying') {
      await this.#inTime((signal) => this.#copyBeside(signal));
      await this.write((volume) => stopping(volume, this.#moveId, clock.now()));
    }
    if (this.#move.state === 'stopping') {
      await this.#inTime(async (signal) => {
        await this.#untilStopped(signal);
        await this.#copyStill(signal);
      });
      await this.#advance({ state: 'switching', message: 'verified: both sides are the same' });
    }
    await this.#inTime((signal) => this.#settle('to', 'arrived', signal));
    await this.write((volume) => arrived(volume, this.#moveId, clock.now()));
    // What was kept for further passes; left behind it goes with the copy.
    await this.#settle('from', 'drop', this.#signal).catch((error: unknown) =>
      this.#options.log.debug('what a move has left stays', { error: messageOf(error) }),
    );
  }

  get #volume(): Volume {
    const volume = this.#options.database.view.volumes.get(this.#id);
    if (volume === undefined) throw new ShoalError('overtaken', 'The volume was removed');
    return volume;
  }

  get #move(): VolumeMove {
    return advanced(this.#volume, this.#moveId, {}).move!;
  }

  /** Writes what `change` makes of the volume as it is then. Throws what that throws. */
  async write(change: (volume: Volume) => Volume): Promise<void> {
    for (let attempt = 1; attempt <= writesMax; attempt++) {
      const object = change(this.#volume);
      const { conflicts } = await this.#options.database.write([
        [{ kind: 'volume', action: 'update', object }],
      ]);
      if (conflicts === 0) return;
      this.#signal.throwIfAborted();
    }
    throw new ShoalError('conflict', 'Cannot write the move: others keep changing the volume');
  }

  async #advance(changes: Partial<VolumeMove>): Promise<void> {
    await this.write((volume) => advanced(volume, this.#moveId, changes));
  }

  /** Work within the time that the move has left. */
  async #inTime(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { remainingMs, what } = limitOf(this.#move, this.#options.clock.now());
    const limit = new AbortController();
    const cancel = this.#options.clock.after(Math.max(1, remainingMs), () =>
      limit.abort(new ShoalError('deadline_exceeded', what)),
    );
    try {
      await work(AbortSignal.any([this.#signal, limit.signal]));
    } catch (error) {
      this.#signal.throwIfAborted();
      limit.signal.throwIfAborted();
      throw error;
    } finally {
      cancel();
    }
  }

  async #copyBeside(signal: AbortSignal): Promise<void> {
    const sent: number[] = [];
    do {
      sent.push((await this.#pass(false, signal)).bytes);
    } while (!isCloseEnough(sent));
  }

  async #untilStopped(signal: AbortSignal): Promise<void> {
    const { database, clock } = this.#options;
    const { name } = this.#volume.spec;
    for (let said = ''; ;) {
      const tasks = tasksWith(database.view, name).map(taskName);
      if (tasks.length === 0) return;
      const message = `waiting for ${tasks.slice(0, 5).join(', ')} to stop`;
      if (message !== said) await this.#advance({ message });
      said = message;
      await this.#untilBack(signal);
      await clock.sleep(lookMs, signal);
    }
  }

  /** Sends the last difference, and compares once more. */
  async #copyStill(signal: AbortSignal): Promise<void> {
    await this.#advance({ message: 'copying the last difference' });
    let last: PassSummary | undefined;
    for (let pass = 1; pass <= stillPassesMax; pass++) {
      last = await this.#pass(true, signal);
      if (last.changed === 0) return;
    }
    const { changed } = last!;
    throw new ShoalError(
      'failed_precondition',
      `Cannot make both sides the same: ${changed} files still differ`,
    );
  }

  async #pass(still: boolean, signal: AbortSignal): Promise<PassSummary> {
    const { hosts, clock } = this.#options;
    const { from, to, passes, sentBytes } = this.#move;
    let bytes = 0;
    let cancelTell: (() => void) | undefined;
    const tell = () => {
      const sum = sentBytes + bytes;
      const words = still ? {} : { message: copyingWords(sum) };
      if (sum > this.#move.sentBytes) this.#advance({ sentBytes: sum, ...words }).catch(() => undefined); // told at the end
      cancelTell = clock.after(tellMs, () => attempt(tell));
    };
    cancelTell = clock.after(tellMs, () => attempt(tell));
    try {
      const volume = { name: this.#volume.spec.name, id: this.#id };
      const summary = await this.#patiently(signal, () =>
        runPass(hosts, {
          volume,
          from: from.nodeId,
          to: to.nodeId,
          still,
          signal,
          onBytes: (count) => (bytes += count),
        }),
      );
      const words = still ? {} : { message: copyingWords(sentBytes + bytes) };
      await this.#advance({ passes: passes + 1, sentBytes: sentBytes + bytes, ...words });
      return summary;
    } finally {
      cancelTell();
    }
  }

  async #settle(side: 'from' | 'to', how: 'arrived' | 'drop', signal: AbortSignal): Promise<void> {
    const { hosts } = this.#options;
    const { id, spec, move } = this.#volume;
    const request = { name: spec.name, id, moveId: this.#moveId, how };
    await this.#patiently(signal, () => settleOn(hosts, move![side].nodeId, request, signal));
  }

  /** Does it again after failures that may be over the next time, as long as both nodes are there most of the time. */
  async #patiently<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const { clock, random } = this.#options;
    for (let failures = 1; ; failures++) {
      try {
        return await work();
      } catch (error) {
        signal.throwIfAborted();
        const mayPass = codeOf(error) === 'unavailable' || codeOf(error) === 'deadline_exceeded';
        if (!mayPass || failures >= failuresMax) throw error;
        this.#options.log.info('a pass of a move is made again', {
          volume: this.#id,
          error: messageOf(error),
        });
        await clock.sleep(backoffMs(failures, random, { minMs: 100, maxMs: 3_000 }), signal);
        await this.#untilBack(signal);
      }
    }
  }

  /** Waits a while for a node that is away. */
  async #untilBack(signal: AbortSignal): Promise<void> {
    const { database, clock } = this.#options;
    const until = clock.monotonic() + awayMsMax;
    while (missingNode(database.view, this.#move) !== undefined && clock.monotonic() < until) {
      await clock.sleep(lookMs, signal);
    }
    const missing = missingNode(this.#options.database.view, this.#move);
    if (missing !== undefined) throw new ShoalError('unavailable', `Cannot go on: ${missing}`);
  }
}

/** A timer has nobody to tell of a move that is over. */
function attempt(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (codeOf(error) !== 'overtaken') throw error;
  }
}
