import {
  compareTaskStates,
  isTerminal,
  moveTask,
  runningBut,
  type DesiredTaskState,
} from '../../src/spec/task.ts';
import type { TaskStatus } from '../../src/spec/task.ts';
import { assert, unreachable } from '../../src/util/errors.ts';
import { formatBytes } from '../../src/util/text.ts';
import type { Hook } from '../../src/spec/settings.ts';
import type { ContainerState } from '../engine/engine.ts';
import type { HealthPlan } from './health.ts';

/** How a task will have ended once everything of it is released. */
export interface Ending {
  state: 'complete' | 'shutdown' | 'failed' | 'rejected';
  message: string;
  error?: { code: string; message: string };
  exitCode?: number;
  /** The anchor for whose end it was stopped. */
  endedWith?: string;
}

/** How far this host is with a task. What exists of it grows until `running`, and is gone at `gone`. */
export type Phase =
  | { at: 'idle' | 'preparing' | 'prepared' | 'starting' | 'checking' | 'running' | 'gone' }
  /** `stopping`: an end was asked for and the work or process under way has not ended yet. `cleaning`: it has. */
  | { at: 'stopping' | 'cleaning'; ending: Ending };

/** What this host knows of one task beside its assignment; enough to stop and remove it when the assignment has gone. */
export interface LocalTask {
  status: TaskStatus;
  phase: Phase;
  stopSignal: number;
  stopGracePeriodMs: number;
  /** Absent when the task has no healthcheck. Known once prepared. */
  healthcheck?: HealthPlan;
  hooks?: TaskHooks;
  /** Ids of the tasks that it takes something over from: it lives no longer than they do. */
  anchors?: string[];
  /** Set while it is run again, or has been, without a word from a manager. */
  again?: Again;
  /** Paths at which its image wants a volume, for those that take over its mounts. Known once prepared. */
  imageVolumes?: string[];
}

/** A task that its host runs again by itself, for no manager can be asked for a replacement. */
export interface Again {
  times: number;
  /** How it ended the last time: what is told of it until it runs again. */
  ended: TaskStatus;
}

/** One init container that a task has on this host. */
export interface InitStep {
  containerId: string;
  /** What it runs, in a person's words. */
  name: string;
}

/** What is run before the container is started, when it has, and before it is stopped. */
export interface TaskHooks {
  postStart?: Hook[];
  preStop?: Hook[];
  /** Containers that are run before the start. */
  preStart?: InitStep[];
}

/** `absent`: the assignment has been taken away, so nothing of the task may stay. */
export type Wish = DesiredTaskState | 'absent';

export type TaskEvent =
  | { type: 'wished' }
  | { type: 'progress'; message: string; imageDigest?: string }
  | {
      type: 'prepared';
      imageDigest: string;
      stopSignal: number;
      healthcheck?: HealthPlan;
      hooks?: TaskHooks;
      imageVolumes?: string[];
      hostPorts?: TaskStatus['hostPorts'];
    }
  | { type: 'failed'; error: { code: string; message: string } }
  /** An init container is about to run. */
  | { type: 'initialising'; message: string }
  /** All init containers have ended well. */
  | { type: 'initialised' }
  | { type: 'started' }
  | { type: 'healthy' }
  | { type: 'unhealthy'; output: string }
  /** What is told of checks that fail; empty once one passes again. */
  | { type: 'failing'; words: string }
  | { type: 'exited'; exitCode: number; outOfMemory: boolean; memoryLimitBytes?: number }
  /** What the engine has of it, seen in a list. */
  | {
      type: 'found';
      container: ContainerState | 'missing';
      exitCode?: number;
      outOfMemory?: boolean;
      memoryLimitBytes?: number;
    }
  /** A task that it takes something over from has ended or is stopping. */
  | { type: 'anchorEnded'; id: string; name: string }
  /** The place it took (addresses, ports, memory) is free, or freeing it takes so long that the end is told first. */
  | { type: 'released' }
  /** `lastLine`: what the program wrote last. */
  | { type: 'cleaned'; lastLine?: string };

/** What the executor is to do. Each is harmless when it is under way or done already. */
export type TaskAction = 'prepare' | 'cancel' | 'start' | 'probe' | 'stop' | 'clean' | 'forget';

export interface Step {
  task: LocalTask;
  actions: TaskAction[];
}

/**
 * The one state machine of a task on its host: what is known, what is wished and what has happened give the new state and
 * what to do. The observed state never moves back (swarmkit's rule); events that come too late change nothing.
 */
export function step(task: LocalTask, wish: Wish, event: TaskEvent, now: number): Step {
  const absorbed = absorb(task, event, now);
  const pursued = pursue(absorbed.task, wish, now);
  return { task: pursued.task, actions: [...absorbed.actions, ...pursued.actions] };
}

/** A task as it is first seen: what the manager knows of it decides whether there is anything left to do here. */
export function firstSight(status: TaskStatus, stopGracePeriodMs: number, now: number): LocalTask {
  const known: TaskStatus =
    compareTaskStates(status.state, 'assigned') < 0 ? { ...status, state: 'assigned' } : status;
  const base = { stopSignal: 15, stopGracePeriodMs };
  if (isTerminal(known.state)) return { ...base, status: known, phase: { at: 'gone' } };
  if (compareTaskStates(known.state, 'preparing') > 0) {
    return { ...base, status: known, phase: { at: 'cleaning', ending: lostEnding } };
  }
  const accepted = compareTaskStates(known.state, 'accepted') < 0;
  const next: TaskStatus = accepted ? { state: 'accepted', at: now, message: 'accepted' } : known;
  return { ...base, status: moveTask(known, next, 'agent'), phase: { at: 'idle' } };
}

/** A task as it comes back from disk after a restart: work that was cut off in the middle is done again. */
export function resumed(task: LocalTask): LocalTask {
  return task.phase.at === 'preparing' ? { ...task, phase: { at: 'idle' } } : task;
}

/** A task that has ended, as it is run once more. Throws (assertion) unless it has ended. */
export function again(task: LocalTask, now: number): LocalTask {
  assert(task.phase.at === 'gone' && isTerminal(task.status.state), 'only what has ended is run again');
  const { stopSignal, stopGracePeriodMs, anchors } = task;
  return {
    stopSignal,
    stopGracePeriodMs,
    ...(anchors && { anchors }),
    status: { state: 'accepted', at: now, message: 'accepted again by its host' },
    phase: { at: 'idle' },
    again: { times: (task.again?.times ?? 0) + 1, ended: task.status },
  };
}

/** What the manager is told of a task: one that is run again has ended, as long as it does not run. */
export function toldStatus({ status, again: repeated }: LocalTask): TaskStatus {
  if (repeated === undefined || compareTaskStates(status.state, 'running') >= 0) return status;
  return repeated.ended;
}

const lostEnding: Ending = {
  state: 'failed',
  message: 'its container is gone: the host or its engine was started anew',
  error: { code: 'lost', message: 'its container is gone: the host or its engine was started anew' },
};

const shutdownEnding: Ending = { state: 'shutdown', message: 'stopped as asked' };

function absorb(task: LocalTask, event: TaskEvent, now: number): Step {
  const { phase } = task;
  switch (event.type) {
    case 'wished':
      return keep(task);
    case 'progress':
      return phase.at === 'preparing' ? keep(withProgress(task, event, now)) : keep(task);
    case 'prepared':
      return onPrepared(task, event, now);
    case 'failed':
      return onFailed(task, event.error);
    case 'initialising':
    case 'initialised':
      return phase.at === 'starting' ? keep(onInitialising(task, event)) : keep(task);
    case 'started':
      return phase.at === 'starting' ? onStarted(task, now) : keep(task);
    case 'healthy':
      if (phase.at !== 'checking') return keep(task);
      return keep(running(task, healthyWords, now));
    case 'failing':
      return keep(withFailing(task, event.words));
    case 'unhealthy': {
      if (phase.at !== 'checking' && phase.at !== 'running') return keep(task);
      const message = `unhealthy: ${event.output}`;
      const ending: Ending = { state: 'failed', message, error: { code: 'unhealthy', message } };
      return { task: { ...task, phase: { at: 'stopping', ending } }, actions: ['stop'] };
    }
    case 'exited':
      return onExited(task, event);
    case 'found':
      return onFound(task, event, now);
    case 'anchorEnded':
      return end(task, {
        state: 'shutdown',
        message: `stopped with ${event.name}, which it shares with`,
        endedWith: event.id,
      });
    case 'released':
      return phase.at === 'cleaning' ? keep(ended(task, phase.ending, now)) : keep(task);
    case 'cleaned':
      if (phase.at !== 'cleaning') return keep(task);
      return keep({ ...ended(task, withLastLine(phase.ending, event.lastLine), now), phase: { at: 'gone' } });
    default:
      return unreachable(event);
  }
}

/** What the wish asks for next. */
function pursue(task: LocalTask, wish: Wish, now: number): Step {
  const { phase } = task;
  if (wish !== 'ready' && wish !== 'running') {
    const isForgotten = phase.at === 'gone' && wish === 'absent';
    return isForgotten ? { task, actions: ['forget'] } : end(task, shutdownEnding);
  }
  switch (phase.at) {
    case 'idle':
      return { task: { ...task, phase: { at: 'preparing' } }, actions: ['prepare'] };
    case 'prepared': {
      if (wish === 'ready') return keep(task);
      const status = move(task.status, { state: 'starting', at: now, message: 'starting' });
      return { task: { ...task, status, phase: { at: 'starting' } }, actions: ['start'] };
    }
    case 'preparing':
    case 'starting':
    case 'checking':
    case 'running':
    case 'stopping':
    case 'cleaning':
    case 'gone':
      return keep(task);
    default:
      return unreachable(phase);
  }
}

/** Begins the task's end, from wherever it is; one whose end has begun goes on with that. */
function end(task: LocalTask, ending: Ending): Step {
  const { phase } = task;
  switch (phase.at) {
    case 'idle':
    case 'prepared':
      return clean(task, ending);
    case 'preparing':
      return { task: { ...task, phase: { at: 'stopping', ending } }, actions: ['cancel'] };
    case 'starting':
    case 'checking':
    case 'running':
      return { task: { ...task, phase: { at: 'stopping', ending } }, actions: ['stop'] };
    case 'stopping':
    case 'cleaning':
    case 'gone':
      return keep(task);
    default:
      return unreachable(phase);
  }
}

function onPrepared(task: LocalTask, event: TaskEvent & { type: 'prepared' }, now: number): Step {
  const { imageDigest, stopSignal, healthcheck, hooks, imageVolumes, hostPorts } = event;
  const more = {
    ...(healthcheck && { healthcheck }),
    ...(hooks && { hooks }),
    ...(imageVolumes && { imageVolumes }),
  };
  const known = { ...task, stopSignal, ...more };
  if (task.phase.at === 'stopping') return clean(known, task.phase.ending);
  if (task.phase.at !== 'preparing') return keep(task);
  const status = move(task.status, {
    state: 'ready',
    at: now,
    message: 'ready to start',
    imageDigest,
    ...(hostPorts && hostPorts.length > 0 ? { hostPorts } : {}),
  });
  return keep({ ...known, status, phase: { at: 'prepared' } });
}

function onFailed(task: LocalTask, error: { code: string; message: string }): Step {
  const { phase } = task;
  if (phase.at === 'stopping') return clean(task, phase.ending);
  if (phase.at !== 'preparing' && phase.at !== 'starting') return keep(task);
  const state = phase.at === 'preparing' ? 'rejected' : 'failed';
  return clean(task, { state, message: error.message, error });
}

function onInitialising(task: LocalTask, event: TaskEvent & { type: 'initialising' | 'initialised' }) {
  const { at } = task.status;
  const next: TaskStatus =
    event.type === 'initialising'
      ? { state: 'starting', at, message: event.message }
      : { state: 'starting', at, message: 'starting', initialised: true };
  return { ...task, status: move(task.status, next) };
}

const awaitsCheck = 'started, waiting for its healthcheck to pass';

function onStarted(task: LocalTask, now: number): Step {
  if (!task.healthcheck) return keep(running(task, 'running', now));
  const status = move(task.status, { state: 'starting', at: task.status.at, message: awaitsCheck });
  return { task: { ...task, status, phase: { at: 'checking' } }, actions: ['probe'] };
}

const healthyWords = 'running and healthy';

/** What its checks say, beside a state that they have not changed. Why its host restarted it is told before that. */
function withFailing(task: LocalTask, words: string): LocalTask {
  const { phase, status } = task;
  if ((phase.at !== 'checking' && phase.at !== 'running') || status.restarts !== undefined) return task;
  const isUp = phase.at === 'running';
  const well = isUp ? healthyWords : awaitsCheck;
  const failing = isUp ? `${runningBut}${words}` : `${awaitsCheck}: ${words}`;
  return { ...task, status: { ...status, message: words === '' ? well : failing } };
}

/** A program that ended by itself and wrongly has most often said why. */
function withLastLine(ending: Ending, lastLine: string | undefined): Ending {
  if (ending.error?.code !== 'exited' || lastLine === undefined) return ending;
  const message = `${ending.message}: ${lastLine}`;
  return { ...ending, message, error: { ...ending.error, message } };
}

function onExited(task: LocalTask, event: Omit<TaskEvent & { type: 'exited' }, 'type'>): Step {
  const { phase } = task;
  const { exitCode } = event;
  if (phase.at === 'stopping') return clean(task, { ...phase.ending, exitCode });
  const alive: Phase['at'][] = ['prepared', 'starting', 'checking', 'running'];
  if (!alive.includes(phase.at)) return keep(task);
  if (exitCode === 0 && phase.at !== 'prepared') {
    return clean(task, { state: 'complete', message: 'ended with exit code 0', exitCode });
  }
  const code = event.outOfMemory ? 'out_of_memory' : 'exited';
  const message = event.outOfMemory ? outOfMemoryWords(event.memoryLimitBytes) : exitWords(exitCode);
  return clean(task, { state: 'failed', message, error: { code, message }, exitCode });
}

function outOfMemoryWords(limitBytes: number | undefined): string {
  const limit = limitBytes === undefined ? 'the host has no more' : `limit ${formatBytes(limitBytes)}`;
  return `killed: out of memory, ${limit}`;
}

function exitWords(exitCode: number): string {
  return exitCode > 128 && exitCode < 160
    ? `ended by signal ${exitCode - 128} (exit code ${exitCode})`
    : `ended with exit code ${exitCode}`;
}

function onFound(task: LocalTask, event: TaskEvent & { type: 'found' }, now: number): Step {
  const { phase } = task;
  switch (phase.at) {
    case 'idle':
    case 'preparing':
    case 'gone':
      return keep(task);
    case 'cleaning':
      return { task, actions: ['clean'] };
    case 'prepared':
    case 'starting':
    case 'checking':
    case 'running':
      break;
    case 'stopping':
      if (event.container === 'running' || event.container === 'unknown') return { task, actions: ['stop'] };
      if (event.container === 'created') return clean(task, phase.ending); // nothing of it runs
      break;
    default:
      return unreachable(phase);
  }
  if (event.container === 'unknown') return keep(task);
  if (event.container === 'missing') {
    return clean(task, phase.at === 'stopping' ? phase.ending : lostEnding);
  }
  if (event.container === 'stopped') {
    const { exitCode = 255, outOfMemory = false, memoryLimitBytes } = event;
    return onExited(task, {
      exitCode,
      outOfMemory,
      ...(memoryLimitBytes === undefined ? {} : { memoryLimitBytes }),
    });
  }
  if (event.container === 'created') {
    return { task, actions: phase.at === 'starting' ? ['start'] : [] };
  }
  // Whether its hooks have run is not known: they are run again.
  if (phase.at === 'starting' && task.hooks?.postStart) return { task, actions: ['start'] };
  // The process runs, though its start was not seen to finish.
  if (phase.at === 'prepared' || phase.at === 'starting') return onStarted(toStarting(task, now), now);
  return { task, actions: task.healthcheck ? ['probe'] : [] };
}

function toStarting(task: LocalTask, now: number): LocalTask {
  if (task.phase.at === 'starting') return task;
  const status = move(task.status, { state: 'starting', at: now, message: 'starting' });
  return { ...task, status, phase: { at: 'starting' } };
}

function withProgress(task: LocalTask, event: TaskEvent & { type: 'progress' }, now: number): LocalTask {
  const { message, imageDigest } = event;
  const at = task.status.state === 'preparing' ? task.status.at : now;
  const next: TaskStatus = { state: 'preparing', at, message, ...(imageDigest ? { imageDigest } : {}) };
  return { ...task, status: move(task.status, next) };
}

function running(task: LocalTask, message: string, now: number): LocalTask {
  const repeated = task.again && {
    restarts: task.again.times,
    message: `${message}; restarted by its host while no manager could be reached (before: ${task.again.ended.message})`,
  };
  const status = move(task.status, { state: 'running', at: now, message, startedAt: now, ...repeated });
  return { ...task, status, phase: { at: 'running' } };
}

/** The end becomes visible; once told, it does not change. */
function ended(task: LocalTask, ending: Ending, now: number): LocalTask {
  if (isTerminal(task.status.state)) return task;
  const { state, message, error, exitCode, endedWith } = ending;
  const next: TaskStatus = { state, at: now, message };
  if (error) next.error = error;
  if (exitCode !== undefined) next.exitCode = exitCode;
  if (endedWith !== undefined) next.endedWith = endedWith;
  return { ...task, status: move(task.status, next) };
}

function clean(task: LocalTask, ending: Ending): Step {
  return { task: { ...task, phase: { at: 'cleaning', ending } }, actions: ['clean'] };
}

function keep(task: LocalTask): Step {
  return { task, actions: [] };
}

function move(status: TaskStatus, next: TaskStatus): TaskStatus {
  return moveTask(status, next, 'agent');
}
