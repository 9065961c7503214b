/**
 * Where a line is in a task's log, for who wants to go on after it. Files are told apart by the time of their first record:
 * their names change as they are put aside, and clocks may go back.
 */
export interface Position {
  file: string;
  /** From where on the file must be read so that lines come whole; lines that end up to `end` were had. */
  start: number;
  end: number;
}

const syntax = /^([0-9TZ:.-]{1,40})\/(\d{1,15})\/(\d{1,15})$/;

export function formatPosition({ file, start, end }: Position): string {
  return `${file}/${start}/${end}`;
}

/** Undefined for what is no position: then all lines are after it. */
export function parsePosition(text: string): Position | undefined {
  const match = syntax.exec(text);
  return match ? { file: match[1]!, start: Number(match[2]), end: Number(match[3]) } : undefined;
}

/** Whether a line that comes when one begins at `after` was not had yet. */
export function isAfter({ file, end }: Position, after: Position): boolean {
  return file !== after.file || end > after.end;
}
