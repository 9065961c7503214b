import type { Clock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { Loop } from '../../src/util/loop.ts';
import type { AuditEntry, AuditPage } from '../../src/wire/audit.ts';
import { AttemptBudget } from '../../src/util/attempts.ts';
import { AuditFiles, type AuditFileLimits } from './files.ts';

/** Entries that wait for a disk that cannot be written; of more, the newest are counted and left out. */
export const waitingEntriesMax = 1_000;
const failedFrom = 400;
/**
 * Attempts without success that one caller has in the log in a minute, so that nobody who may do nothing can push out of it
 * what was done. All callers without a certificate are one. Of a node its successes count as well: it may do little, and do
 * that again and again.
 */
export const failuresPerMinuteMax = 60;

export interface AuditOptions extends AuditFileLimits {
  /** Holds the log alone. */
  folder: string;
  clock: Clock;
  log: Logger;
}

/**
 * The audit log of a manager. An attempt is recorded once its outcome is known, and is on disk a moment later. A log that
 * cannot be written (a full disk) refuses nothing: what is done stays possible, the entries wait in memory, and reading
 * says so.
 */
export class Audit {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #files: AuditFiles;
  readonly #budget = new AttemptBudget(failuresPerMinuteMax);
  readonly #loop: Loop;
  #nextId = 1;
  #waiting: AuditEntry[] = [];
  #omitted = 0;
  #problem: string | undefined;

  private constructor({ folder, clock, log, ...limits }: AuditOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#files = new AuditFiles(folder, limits);
    this.#loop = new Loop({ name: 'audit log', clock, log, tick: () => this.#write() });
  }

  /** Goes on after the last entry. A log that cannot be read is no reason not to start. */
  static async open(options: AuditOptions): Promise<Audit> {
    const audit = new Audit(options);
    try {
      const [last] = await audit.#files.read(1);
      audit.#nextId = (last?.id ?? 0) + 1;
    } catch (error) {
      audit.#problem = messageOf(error);
      options.log.error('the audit log cannot be read', { error: messageOf(error) });
    }
    audit.#loop.start();
    return audit;
  }

  /** Takes an attempt with its outcome. `callerKey` is whose budget a failed one counts for. */
  record(entry: Omit<AuditEntry, 'id' | 'at' | 'omitted'>, callerKey: string): void {
    const failed = entry.status >= failedFrom;
    const isCounted = failed || entry.caller.kind === 'node';
    const isOver = isCounted && !this.#budget.take(callerKey, this.#clock.monotonic());
    if (isOver || this.#waiting.length >= waitingEntriesMax) {
      this.#omitted++;
      return;
    }
    const omitted = this.#omitted > 0 ? { omitted: this.#omitted } : {};
    this.#omitted = 0;
    const at = new Date(this.#clock.now()).toISOString();
    this.#waiting.push({ id: this.#nextId++, at, ...entry, ...omitted });
    this.#loop.poke();
  }

  /** The newest entries, or those before one; what waits to be written is among them. */
  async read(limit: number, before?: number): Promise<AuditPage> {
    const waiting = this.#waiting.filter(({ id }) => before === undefined || id < before);
    let problem = this.#problem;
    const [first] = waiting;
    const written = await this.#files.read(limit, first?.id ?? before).catch((error: unknown) => {
      problem ??= messageOf(error);
      return [];
    });
    return { entries: [...written, ...waiting].slice(-limit), ...(problem && { problem }) };
  }

  /** Writes what waits, if the disk lets it. */
  async stop(): Promise<void> {
    await this.#loop.stop();
    await this.#write().catch((error: unknown) =>
      this.#log.error('the last entries of the audit log are lost', { error: messageOf(error) }),
    );
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      try {
        const written = await this.#files.append(this.#waiting.slice());
        this.#waiting = this.#waiting.slice(written);
      } catch (error) {
        this.#problem = messageOf(error);
        throw error; // the loop says so and tries again
      }
      this.#problem = undefined;
    }
  }
}
