import type { Clock } from '../../src/util/clock.ts';
import type { Logger } from '../../src/util/log.ts';

/** Lines that are passed on in a second; further ones are counted. */
export const linesPerSecondMax = 10;
/** The last lines, which say why etcd has ended. A panic is long; its reason comes first. */
const keptLinesMax = 100;
/** What a line, and a line that has not ended yet, may have. The rest of it is passed over. */
export const lineCharactersMax = 4_096;

/** What etcd says often when its disk or network is too slow for it. */
const counted = {
  heartbeats: 'failed to send out heartbeat',
  slowApplies: 'took too long',
} as const;

/** A line of etcd's log (zap's JSON), or of what Go prints as it panics. */
export interface EtcdLine {
  level: 'debug' | 'info' | 'warn' | 'error';
  message: string;
  fields: Record<string, unknown>;
}

const levels: Readonly<Record<string, EtcdLine['level']>> = {
  debug: 'debug',
  info: 'info',
  warn: 'warn',
  error: 'error',
  dpanic: 'error',
  panic: 'error',
  fatal: 'error',
};

/** Anything that is no line of zap's is an error in plain words. */
export function parseEtcdLine(text: string): EtcdLine {
  const value = parsed(text);
  const level = typeof value?.level === 'string' ? levels[value.level] : undefined;
  if (value === undefined || level === undefined || typeof value.msg !== 'string') {
    return { level: 'error', message: text, fields: {} };
  }
  const { level: _level, ts: _ts, caller: _caller, stacktrace: _stacktrace, msg, ...fields } = value;
  return { level, message: msg, fields };
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Takes all that etcd says, at any speed, and passes warnings and errors on, so many a second. It is never slower than
 * etcd: a full pipe would stop all its reads (etcd#22214).
 */
export class EtcdOutput {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #counts = { heartbeats: 0, slowApplies: 0 };
  #kept: string[] = [];
  #rest = '';
  /** The rest of a line that was cut is passed over. */
  #isCut = false;
  #second = 0;
  #passed = 0;
  #omitted = 0;

  constructor(log: Logger, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** The last lines of this run, the newest last. */
  get lines(): readonly string[] {
    return this.#kept;
  }

  /** How often it was too slow for its heartbeats, and to apply what was asked. */
  get counts(): Readonly<{ heartbeats: number; slowApplies: number }> {
    return this.#counts;
  }

  /** Another process begins. */
  restart(): void {
    this.#kept = [];
    this.#rest = '';
    this.#isCut = false;
  }

  take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    const rest = lines.pop() ?? '';
    for (const line of lines) {
      if (!this.#isCut) this.#line(line.slice(0, lineCharactersMax));
      this.#isCut = false;
    }
    this.#rest = rest;
    if (rest.length <= lineCharactersMax) return;
    if (!this.#isCut) this.#line(rest.slice(0, lineCharactersMax));
    this.#isCut = true;
    this.#rest = '';
  }

  #line(text: string): void {
    if (text === '') return;
    this.#kept.push(text);
    if (this.#kept.length > keptLinesMax) this.#kept.shift();
    const { level, message, fields } = parseEtcdLine(text);
    if (message.includes(counted.heartbeats)) this.#counts.heartbeats++;
    if (message.includes(counted.slowApplies)) this.#counts.slowApplies++;
    if (level !== 'warn' && level !== 'error') return;
    const second = Math.floor(this.#clock.monotonic() / 1_000);
    if (second !== this.#second) {
      if (this.#omitted > 0) this.#log.warn('etcd said more', { omittedLines: this.#omitted });
      [this.#second, this.#passed, this.#omitted] = [second, 0, 0];
    }
    if (this.#passed >= linesPerSecondMax) this.#omitted++;
    else {
      this.#passed++;
      // Its errors are ours only when it ends for them, and that is told by itself.
      this.#log.warn(`etcd: ${message}`, fields);
    }
  }
}
