import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ShoalError } from '../../src/util/errors.ts';
import type { ContainerState } from '../engine/engine.ts';
import { assignment, TestHost } from './testing.ts';

/** What a worker makes of an engine or a shim that does not answer: nothing, until it is known what became of the container. */

let host: TestHost;

beforeEach(async () => {
  host = await new TestHost().start();
});

afterEach(async () => {
  await host.remove();
});

const notAnswered = () => new ShoalError('deadline_exceeded', 'Cannot finish: containerd took too long');

function setState(id: string, state: ContainerState): void {
  host.engine.containers.set(id, { ...host.engine.containers.get(id)!, state });
}

/** Resolves when the engine has been looked at so often more. */
async function looks(count: number): Promise<void> {
  const seen = () => host.engine.calls.filter((call) => call === 'list').length;
  const before = seen();
  await vi.waitFor(() => expect(seen()).toBeGreaterThanOrEqual(before + count), { timeout: 10_000 });
}

const touched = () => host.engine.calls.filter((call) => /^(?:kill|remove|create|start)/.test(call));

test('a container of which nothing is known is left alone, also by the next agent, until its end is known', async () => {
  host.assign(assignment('a'));
  await host.reaches('a', 'running');
  host.engine.calls.length = 0;
  setState('a', 'unknown');
  await looks(2);
  await host.restart();
  await looks(2);
  expect(host.status('a')?.state).toBe('running');
  expect(touched()).toEqual([]);
  setState('a', 'stopped');
  await host.reaches('a', 'failed');
});

test('one that is to stop is signalled although nothing is known of it', async () => {
  host.assign(assignment('a'));
  await host.reaches('a', 'running');
  setState('a', 'unknown');
  host.assign();
  await vi.waitFor(() => expect(host.engine.containers.size).toBe(0), { timeout: 5_000 });
  expect(touched()[0]).toBe('create a');
  expect(touched()).toContain('kill 15 a');
});

test('checks that cannot be made or seen to end say nothing of health, and count again afterwards', async () => {
  const healthcheck = { test: ['CMD', 'check'], intervalMs: 10, retries: 1 };
  host.assign(assignment('a', 'running', { healthcheck }));
  await host.reaches('a', 'running');
  const reasons = [
    notAnswered(),
    new ShoalError('resource_exhausted', 'Cannot run a command: no place came free'),
    new ShoalError('not_found', 'Cannot run a command: it does not run'),
  ];
  let checks = 0;
  host.engine.before = (operation) => {
    if (operation === 'exec') throw reasons[checks++ % reasons.length]!;
  };
  host.engine.calls.length = 0;
  await vi.waitFor(() =>
    expect(host.engine.calls.filter((call) => call === 'exec a').length).toBeGreaterThan(5),
  );
  expect(host.status('a')?.state).toBe('running');
  host.engine.before = () => undefined;
  host.engine.onExec = () => ({ exitCode: 1, output: 'down' });
  await host.reaches('a', 'failed');
});

test('checks that the host has no means for are told, and end nothing', async () => {
  const healthcheck = { test: ['CMD', 'check'], intervalMs: 10, retries: 1 };
  host.assign(assignment('a', 'running', { healthcheck }));
  await host.reaches('a', 'running');
  const details = 'mkdir /run/containerd/x: no space left on device';
  const reasons = [
    new ShoalError('internal', 'mkfifo spare-1 ended with 1: No space left on device'),
    Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' }),
    new ShoalError('engine_failed', `Cannot start the program: ${details}`, { details }),
  ];
  let checks = 0;
  host.engine.before = (operation) => {
    if (operation === 'exec') throw reasons[checks++ % reasons.length]!;
  };
  await vi.waitFor(() => expect(checks).toBeGreaterThan(5));
  expect(host.status('a')?.state).toBe('running');
  expect(host.status('a')?.message).toContain('its check could not be made: ');
  expect(new Set(host.fullDisks)).toEqual(new Set(['run']));
  host.engine.before = (operation) => {
    if (operation === 'exec')
      throw new ShoalError('command_not_found', 'Cannot run "check": the image has no such file');
  };
  await host.reaches('a', 'failed');
});

test('a start that was not told of in time is looked at: one that happened is taken, one that never does fails', async () => {
  host.engine.before = (operation, id) => {
    if (operation !== 'start') return;
    if (id === 'a') setState(id, 'running');
    throw notAnswered();
  };
  host.assign(assignment('a'), assignment('b'));
  await host.reaches('a', 'running');
  await host.reaches('b', 'failed');
  expect(host.engine.calls.filter((call) => call === 'start b')).toHaveLength(3);
  expect(host.engine.calls.filter((call) => call === 'start a')).toHaveLength(1);
});
