import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { RestartPolicy } from '../../src/spec/service.ts';
import type { TaskState, TaskStatus } from '../../src/spec/task.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import type { AssignedTask } from '../../src/wire/session.ts';
import { aloneAfterMs, LocalRestarts, pauseMs, restartDelayMs } from './local-restarts.ts';
import { assignment, TestHost } from './testing.ts';

const policy = (change: Partial<RestartPolicy> = {}): RestartPolicy => ({
  condition: 'any',
  delayMs: 0,
  maxAttempts: 0,
  windowMs: 0,
  ...change,
});
const ended = (state: TaskState, more: Partial<TaskStatus> = {}): TaskStatus => ({
  state,
  at: 0,
  message: 'why',
  ...more,
});

describe('restartDelayMs()', () => {
  test('follows the condition of the policy', () => {
    expect(restartDelayMs(policy(), ended('complete'), 0)).toBe(pauseMs.min);
    expect(restartDelayMs(policy({ condition: 'on-failure' }), ended('complete'), 0)).toBeUndefined();
    expect(restartDelayMs(policy({ condition: 'on-failure' }), ended('failed'), 0)).toBe(pauseMs.min);
    expect(restartDelayMs(policy({ condition: 'none' }), ended('failed'), 0)).toBeUndefined();
  });

  test('leaves alone what was told to stop, unless only its anchor had ended', () => {
    expect(restartDelayMs(policy(), ended('shutdown'), 0)).toBeUndefined();
    expect(restartDelayMs(policy(), ended('orphaned'), 0)).toBeUndefined();
    expect(restartDelayMs(policy(), ended('shutdown', { endedWith: 'anchor' }), 0)).toBe(pauseMs.min);
  });

  test('waits the delay of the policy, and longer the more often it has ended, up to a limit', () => {
    expect(restartDelayMs(policy({ delayMs: 5_000 }), ended('failed'), 0)).toBe(5_000);
    expect(restartDelayMs(policy(), ended('failed'), 3)).toBe(pauseMs.min * 8);
    expect(restartDelayMs(policy(), ended('failed'), 1_000)).toBe(pauseMs.max);
  });

  test('makes no more attempts than the policy allows', () => {
    expect(restartDelayMs(policy({ maxAttempts: 2 }), ended('failed'), 1)).toBeDefined();
    expect(restartDelayMs(policy({ maxAttempts: 2 }), ended('failed'), 2)).toBeUndefined();
  });
});

describe('a host without a manager', () => {
  let host: TestHost;
  let restarts: LocalRestarts;
  let connected: boolean;
  let untold: boolean;
  let time: number;

  beforeEach(async () => {
    host = await new TestHost().start();
    connected = false;
    untold = true;
    time = 0;
    restarts = new LocalRestarts({
      worker: host.worker,
      isConnected: () => connected,
      isUntold: () => untold,
      clock: { ...systemClock, monotonic: () => time },
      log: silentLogger,
    });
    restarts.start();
  });

  afterEach(async () => {
    await restarts.stop();
    await host.remove();
  });

  const starts = () => host.engine.calls.filter((call) => call === 'start a').length;
  const isGone = () =>
    vi.waitFor(() => expect(host.worker.entries.get('a')?.local.phase.at).toBe('gone'), { timeout: 5_000 });
  /** Long enough for several looks. */
  const looks = () => systemClock.sleep(1_000);
  const withPolicy = (restart: RestartPolicy): AssignedTask => {
    const task = assignment('a');
    return { ...task, template: { ...task.template, restart } };
  };

  test('runs a task again that has ended, and tells its end until it runs', async () => {
    host.assign(withPolicy(policy()));
    await host.reaches('a', 'running');
    let goOn: (() => void) | undefined;
    host.engine.exit('a', 3);
    await isGone();
    host.told.length = 0;
    host.engine.before = (operation) =>
      operation === 'start' ? new Promise<void>((resolve) => (goOn = resolve)) : undefined;
    time = aloneAfterMs + pauseMs.max;
    await looks(); // the end is seen at this time
    time += pauseMs.max;
    await vi.waitFor(() => expect(goOn).toBeDefined(), { timeout: 5_000 });
    expect(host.worker.statuses().get('a')).toMatchObject({ state: 'failed', exitCode: 3 });
    expect(host.told).toEqual([]);
    goOn!();
    await host.reaches('a', 'running');
    expect(host.told.map(({ status }) => status.state)).toEqual(['running']);
    expect(host.told[0]!.status).toMatchObject({
      restarts: 1,
      message: expect.stringContaining('exit code 3'),
    });
    expect(starts()).toBe(2);
  });

  test('counts its attempts also after a restart of the agent', async () => {
    host.assign(withPolicy(policy()));
    await host.reaches('a', 'running');
    host.engine.exit('a', 3);
    await isGone();
    host.worker.runAgain('a');
    await host.reaches('a', 'running');
    await restarts.stop();
    await host.restart();
    await host.reaches('a', 'running');
    host.engine.exit('a', 4);
    await isGone();
    host.worker.runAgain('a');
    await host.reaches('a', 'running');
    expect(host.status('a')?.restarts).toBe(2);
  });

  test('leaves replacing to a manager that is there, or that knows of the end', async () => {
    host.assign(withPolicy(policy()));
    await host.reaches('a', 'running');
    connected = true;
    host.engine.exit('a', 3);
    await isGone();
    await looks();
    time = aloneAfterMs * 100;
    await looks();
    expect(starts()).toBe(1);
    connected = false;
    untold = false;
    time += aloneAfterMs * 100;
    await looks();
    expect(starts()).toBe(1);
  });

  test('does not run again what shall stop', async () => {
    const task = withPolicy(policy());
    host.assign(task);
    await host.reaches('a', 'running');
    host.assign({ ...task, desiredState: 'shutdown' });
    await host.reaches('a', 'shutdown');
    await isGone();
    time = aloneAfterMs * 100;
    await looks();
    time += aloneAfterMs * 100;
    await looks();
    expect(starts()).toBe(1);
  });

  test('an ended task may not serve, one of another host may', async () => {
    host.assign(withPolicy(policy()));
    await host.reaches('a', 'running');
    expect(host.worker.mayServe('a')).toBe(true);
    host.engine.exit('a', 3);
    await vi.waitFor(() => expect(host.worker.mayServe('a')).toBe(false), { timeout: 5_000 });
    expect(host.worker.mayServe('elsewhere')).toBe(true);
  });
});
