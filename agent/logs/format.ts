/**
 * How output is kept: one record a line, `TIME STREAM TAG TEXT`, as Kubernetes' runtimes write it. TAG is `F` when a line
 * feed ended the text and `P` when more of the line follows in the next record of its stream; `W` is a word of Shoal's own
 * on what is missing there. Bytes go to disk as they come, so that no line is held back in memory.
 */
export type OutputStream = 'stdout' | 'stderr';

export interface LogRecord {
  /** RFC 3339 with nanoseconds, UTC. */
  at: string;
  stream: OutputStream;
  full: boolean;
  /** Said by Shoal and not by the container; ends what its stream has begun. */
  warning?: true;
  text: Buffer;
}

/** A longer line is cut into several. */
export const lineBytesMax = 16 * 1024;
/** A file that has grown to this is put aside. */
export const fileBytesMax = 10 * 1024 * 1024;
/** How many files a task has, the one being written included. */
export const filesMax = 3;
/** What a service can ask for at most. */
export const fileBytesHardMax = 1024 * 1024 * 1024;
export const filesHardMax = 100;

const lineFeed = 0x0a;
const headerBytesMax = 64;
const headerPattern = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) (stdout|stderr) ([FPW]) /;

/** Path of a task's files: `log` is being written, `log.1` came before it, `log.2` before that. */
export function logFileName(age: number): string {
  return age === 0 ? 'log' : `log.${age}`;
}

/** The reverse; -1 for what is no log file. */
export function ageOfLogFile(name: string): number {
  const match = /^log(?:\.(\d{1,3}))?$/.exec(name);
  return match ? Number(match[1] ?? 0) : -1;
}

/** Time stamps that only ever grow: milliseconds from the clock, and a count within each for order. */
export class Stamper {
  #ms = 0;
  #count = 0;

  next(nowMs: number): string {
    if (nowMs > this.#ms) {
      this.#ms = nowMs;
      this.#count = 0;
    } else {
      this.#count++;
      if (this.#count === 1_000_000) {
        this.#ms++;
        this.#count = 0;
      }
    }
    const upToMs = new Date(this.#ms).toISOString().slice(0, -1);
    return `${upToMs}${String(this.#count).padStart(6, '0')}Z`;
  }
}

/**
 * Cuts what a container wrote into records. `open` is how many bytes of an unfinished line are on disk already; gives the
 * same for the next call.
 */
export function splitRecords(
  chunk: Buffer,
  open: number,
): { records: { text: Buffer; full: boolean }[]; open: number } {
  const records: { text: Buffer; full: boolean }[] = [];
  let start = 0;
  let held = open;
  while (start < chunk.length) {
    const feed = chunk.indexOf(lineFeed, start);
    const end = feed < 0 ? chunk.length : feed;
    const room = lineBytesMax - held;
    if (end - start > room) {
      records.push({ text: chunk.subarray(start, start + room), full: true });
      start += room;
      held = 0;
      continue;
    }
    records.push({ text: chunk.subarray(start, end), full: feed >= 0 });
    held = feed < 0 ? held + end - start : 0;
    start = feed < 0 ? end : feed + 1;
  }
  return { records, open: held };
}

/** One record as it is written. */
export function encodeRecord(record: LogRecord): Buffer {
  const tag = record.warning ? 'W' : record.full ? 'F' : 'P';
  const header = `${record.at} ${record.stream} ${tag} `;
  return Buffer.concat([Buffer.from(header), record.text, Buffer.of(lineFeed)]);
}

/** Reads a record, without its line feed. Nothing when it is not one, as after a crash of the machine. */
export function decodeRecord(line: Buffer): LogRecord | undefined {
  const match = headerPattern.exec(line.toString('latin1', 0, headerBytesMax));
  if (!match) return undefined;
  return {
    at: match[1]!,
    stream: match[2] as OutputStream,
    full: match[3] !== 'P',
    ...(match[3] === 'W' && { warning: true }),
    text: line.subarray(match[0].length),
  };
}
