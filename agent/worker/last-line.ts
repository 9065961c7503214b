import { messageOf } from '../../src/util/errors.ts';
import { printable } from '../../src/util/text.ts';
import type { WorkerParts } from './parts.ts';

/** Among this many last lines the one that is told is looked for: a stack trace may be long. */
const linesRead = 60;
/** Characters of it that are told. */
const charactersMax = 200;

/** What the task's program wrote last; undefined when that is nothing, or cannot be read. */
export async function lastLine(
  taskId: string,
  { logs, log }: Pick<WorkerParts, 'logs' | 'log'>,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const lines = (
      await Array.fromAsync(logs.read(taskId, { follow: false, tail: linesRead, signal }))
    ).filter(({ text }) => /\S/.test(text));
    // what went wrong is most often said on standard error, and the two streams have no order between them
    const errors = lines.filter(({ stream }) => stream === 'stderr');
    const line = shownLine((errors.length > 0 ? errors : lines).map(({ text }) => text));
    return line === '' ? undefined : line;
  } catch (error) {
    log.debug('what a task said last cannot be read', { task: taskId, error: messageOf(error) });
    return undefined;
  }
}

/** The one of the lines that is told to a person, as it is told; empty when there is none. */
export function shownLine(lines: readonly string[]): string {
  const line = printable(tellingLine(lines).trim()).replaceAll('\t', ' ');
  return line.length > charactersMax ? `${line.slice(0, charactersMax)}…` : line;
}

/** What runtimes write after the line that says what went wrong: frames of the stack, where to read more, their own version. */
const trailers: readonly RegExp[] = [
  /^(?:\s|$)/, // a frame, or what belongs to the line before
  /^[[\]{}()^~-]+$/,
  /^Node\.js v\d/, // Node
  /^Require stack:|^- \//,
  /^note: (?:run with|Some details)/, // Rust
  /^goroutine \d+ |^created by |^exit status \d+$|^\[signal /, // Go
  /^[\w./*()]+\(.*\)$/,
  /^Bun v\d/,
];

/** The line that says most likely why the program ended: the last one that is no part of a stack trace. */
export function tellingLine(lines: readonly string[]): string {
  return lines.findLast((line) => !trailers.some((trailer) => trailer.test(line))) ?? lines.at(-1) ?? '';
}
