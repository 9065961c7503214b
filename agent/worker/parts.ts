import type { Engine, OutputSink } from '../engine/engine.ts';
import type { HostNetwork } from '../network/network.ts';
import type { Volumes } from '../volumes/volumes.ts';
import type { LogSettings } from '../../src/spec/settings.ts';
import type { Clock } from '../../src/util/clock.ts';
import type { Logger } from '../../src/util/log.ts';
import type { Random } from '../../src/util/random.ts';
import type { LogLine } from '../../src/wire/session.ts';
import type { TaskFiles } from './task-files.ts';

export interface LogQuery {
  follow: boolean;
  tail?: number;
  since?: number;
  /** Only lines after the one of this position. */
  after?: string;
  signal: AbortSignal;
}

/** Where the output of tasks is kept. */
export interface TaskLogs {
  /** Takes a task's output, appending to what is there. */
  sink(taskId: string, limits?: LogSettings): OutputSink;
  read(taskId: string, query: LogQuery): AsyncIterable<LogLine>;
  remove(taskId: string): Promise<void>;
  /** Ids of the tasks that have a log here. */
  list(): Promise<string[]>;
}

/** What the worker works with. */
export interface WorkerParts {
  engine: Engine;
  network: HostNetwork;
  logs: TaskLogs;
  volumes: Volumes;
  files: TaskFiles;
  clock: Clock;
  random: Random;
  log: Logger;
  /** CPUs of the host: decides how much is done side by side. */
  cpus: number;
}
