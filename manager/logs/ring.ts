import type { LogLine } from '../../src/wire/session.ts';

/** Lines that are kept for those who follow a task, however many they are. */
export const ringBytesMax = 1024 * 1024;
/** What a line takes beside its text, roughly. */
export const lineOverheadBytes = 256;

export interface RingLine {
  line: LogLine;
  /** Takes part in `LineRing.after`; without it nobody can go on after the line. */
  position: string | undefined;
  place: string | undefined;
}

/**
 * What is the same in all positions of one line: they are `FILE/START/END` (`agent/logs/position.ts`), and START depends on
 * where a reader began.
 */
export function placeOf(position: string): string {
  return position.replace(/\/\d+(?=\/\d+$)/, '');
}

/**
 * The newest lines of a task, numbered from 0 in the order in which they came. Readers have a number each and nothing is kept
 * for them: one whose next line has gone must get it elsewhere.
 */
export class LineRing {
  readonly #lines: RingLine[] = [];
  readonly #start: string | undefined;
  #first = 0;
  #bytes = 0;

  /** `start`: the position after which line 0 comes; none when that is the first of the log. */
  constructor(start: string | undefined) {
    this.#start = start === undefined ? undefined : placeOf(start);
  }

  /** The number of the oldest line that is here. */
  get first(): number {
    return this.#first;
  }

  /** The number of the line that comes next. */
  get next(): number {
    return this.#first + this.#lines.length;
  }

  get isFull(): boolean {
    return this.#bytes >= ringBytesMax;
  }

  push({ position, ...line }: LogLine): void {
    this.#lines.push({ line, position, place: position === undefined ? undefined : placeOf(position) });
    this.#bytes += sizeOf(line);
  }

  /** Lets the oldest line go. */
  evict(): void {
    const oldest = this.#lines.shift();
    if (!oldest) return;
    this.#first++;
    this.#bytes -= sizeOf(oldest.line);
  }

  at(number: number): RingLine | undefined {
    return this.#lines[number - this.#first];
  }

  /** The number of the line after the one of this position; undefined when the ring does not know. */
  after(position: string | undefined): number | undefined {
    const place = position === undefined ? undefined : placeOf(position);
    if (place !== undefined) {
      const found = this.#lines.findLastIndex((line) => line.place === place);
      if (found >= 0) return this.#first + found + 1;
    }
    return place === this.#start && this.#first === 0 ? 0 : undefined;
  }
}

/** Characters and not bytes: strings take one or two bytes for each. */
export function sizeOf({ text }: LogLine): number {
  return text.length + lineOverheadBytes;
}
