import type { Engine } from '../engine/engine.ts';
import type { Hook } from '../../src/spec/settings.ts';
import { codeOf, messageOf } from '../../src/util/errors.ts';
import { tail } from './health-runner.ts';

/** What is run after a start may take this long. */
export const hooksMsMax = 10 * 60 * 1000;

export interface HookRun {
  engine: Engine;
  containerId: string;
  hooks: readonly Hook[];
  /** All of them together; the one under way is killed then. */
  timeoutMs: number;
  now: () => number;
  /** Ends the waiting, not the command. */
  signal: AbortSignal;
}

/**
 * Runs commands in a running container, one after another. Gives in words what went wrong with the first that fails,
 * which is the last that is run; nothing when all went well, or when the container has ended meanwhile. Throws
 * `unavailable` when the engine goes away, `deadline_exceeded` when it does not answer, and the signal's reason.
 */
export async function runHooks(run: HookRun): Promise<string | undefined> {
  const end = run.now() + run.timeoutMs;
  for (const hook of run.hooks) {
    run.signal.throwIfAborted();
    const left = end - run.now();
    const name = JSON.stringify(hook.command.join(' '));
    if (left <= 0) return `${name} was not run: there was no time left`;
    try {
      const failure = await orAborted(run.signal, runHook(run.engine, run.containerId, hook, left));
      if (failure !== undefined) return `${name} ${run.now() >= end ? 'took too long' : failure}`;
    } catch (error) {
      run.signal.throwIfAborted();
      if (codeOf(error) === 'not_found') return undefined;
      if (codeOf(error) === 'unavailable' || codeOf(error) === 'deadline_exceeded') throw error;
      return messageOf(error);
    }
  }
  return undefined;
}

async function orAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

async function runHook(
  engine: Engine,
  containerId: string,
  hook: Hook,
  timeoutMs: number,
): Promise<string | undefined> {
  const { user, workingDirectory, privileged } = hook;
  const session = await engine.exec(containerId, {
    command: hook.command,
    environment: Object.entries(hook.environment).map(([name, value]) => `${name}=${value}`),
    ...(user === undefined ? {} : { user }),
    ...(workingDirectory === undefined ? {} : { workingDirectory }),
    ...(privileged ? { privileged } : {}),
    tty: false,
    stdin: false,
    purpose: 'check',
    timeoutMs,
  });
  const output = tail();
  session.stdout.on('data', output.add);
  session.stderr?.on('data', output.add);
  const { exitCode } = await session.exit;
  if (exitCode === 0) return undefined;
  const said = output.text();
  return `ended with exit code ${exitCode}${said === '' ? '' : `: ${said}`}`;
}
