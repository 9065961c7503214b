import { messageOf } from '../../src/util/errors.ts';
import { printable } from '../../src/util/text.ts';
import type { WorkerParts } from './parts.ts';

/** Among this many last lines the one that is told is looked for. */
const linesRead = 5;
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
    const last = lines.findLast(({ stream }) => stream === 'stderr') ?? lines.at(-1);
    const line = printable((last?.text ?? '').trim()).replaceAll('\t', ' ');
    if (line === '') return undefined;
    return line.length > charactersMax ? `${line.slice(0, charactersMax)}…` : line;
  } catch (error) {
    log.debug('what a task said last cannot be read', { task: taskId, error: messageOf(error) });
    return undefined;
  }
}
