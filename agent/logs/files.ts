import { readdir } from 'node:fs/promises';
import type { Clock } from '../../src/util/clock.ts';
import type { Logger } from '../../src/util/log.ts';
import { Limiter } from '../../src/util/queue.ts';
import type { TaskLogs } from '../worker/parts.ts';
import { readLogs } from './reader.ts';
import { LogSignals } from './signals.ts';
import { LogWriter, removeLogs } from './writer.ts';

/**
 * Writes, and reads, that wait for the disk of the logs at a time, over all tasks: each takes a thread of the process's
 * pool, and a disk that stands still must not take them all.
 */
const writesMax = 2;
const readsMax = 4;

/** The output of tasks in files below `directory`, a folder for each task. */
export function fileLogs(options: {
  directory: string;
  clock: Clock;
  log: Logger;
  /** Called when output could not be written. */
  onTrouble?: (error: unknown) => void;
}): TaskLogs {
  const { directory, clock, log, onTrouble } = options;
  const writes = new Limiter(writesMax);
  const reads = new Limiter(readsMax);
  const signals = new LogSignals(clock);
  return {
    sink: (taskId, limits) =>
      new LogWriter({
        directory,
        taskId,
        clock,
        log,
        limits,
        limiter: writes,
        onWritten: () => signals.written(taskId),
        ...(onTrouble && { onTrouble }),
      }),
    read: (taskId, query) => readLogs(directory, taskId, { ...query, limiter: reads, signals }),
    remove: (taskId) => removeLogs(directory, taskId),
    list: async () =>
      await readdir(directory).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return []; // it is made with the first log
        throw error;
      }),
  };
}
