import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { InitContainer } from '../../src/spec/settings.ts';
import type { TaskState } from '../../src/spec/task.ts';
import { FakeEngine } from './fake-engine.ts';
import { assignment, TestHost } from './testing.ts';

let host: TestHost;

beforeEach(async () => {
  host = await new TestHost().start();
});

afterEach(async () => {
  await host.remove();
});

const limit = { timeout: 5_000, interval: 5 };
const reaches = (state: TaskState) => host.reaches('a', state);
const runs = (id: string) =>
  vi.waitFor(() => expect(host.engine.containers.get(id)?.state).toBe('running'), limit);
const each = (command: string, more: Partial<InitContainer> = {}): InitContainer => ({
  command: [command],
  environment: {},
  perReplica: true,
  ...more,
});
const once = (command: string) => each(command, { perReplica: false });

test('init containers run one after another before the task’s own, with what it has and what they say', async () => {
  host.engine.remote.set('tool', FakeEngine.image('tool', { entrypoint: ['/tool'] }));
  const second = each('two', { image: 'tool', user: '5', environment: { B: '2' }, privileged: true });
  host.assign(
    assignment('a', 'running', {
      preStart: [each('one'), second],
      entrypoint: ['/own'],
      environment: { A: '1' },
    }),
  );
  await runs('a-init-0');
  expect(host.status('a')).toMatchObject({
    state: 'starting',
    message: 'starting: pre_start 1 of 2, "/own one"',
  });
  expect(host.engine.containers.get('a-init-1')?.state).toBe('created');
  host.engine.exit('a-init-0', 0);
  await runs('a-init-1');
  expect(host.engine.containers.get('a-init-1')?.create).toMatchObject({
    args: ['/tool', 'two'],
    user: '5',
    environment: expect.arrayContaining(['A=1', 'B=2']),
    settings: { privileged: true },
    networkNamespace: '/run/netns/a',
  });
  host.engine.exit('a-init-1', 0);
  await reaches('running');
  expect(host.status('a')?.initialised).toBe(true);
  expect([...host.engine.containers.keys()]).toEqual(['a']);
});

test('one that ends wrongly fails the task, and nothing after it runs', async () => {
  host.assign(assignment('a', 'running', { preStart: [each('one'), each('two')] }));
  await runs('a-init-0');
  host.engine.exit('a-init-0', 3);
  await reaches('failed');
  expect(host.status('a')?.message).toBe('pre_start: "one" ended with exit code 3');
  await vi.waitFor(() => expect(host.engine.containers.size).toBe(0), limit);
  expect(host.engine.calls.filter((call) => call.startsWith('start'))).toEqual(['start a-init-0']);
});

test('those that run once are run by the task that was chosen only', async () => {
  const preStart = [once('one'), each('two')];
  host.assign(assignment('a', 'running', { preStart }));
  await runs('a-init-1');
  expect(host.engine.containers.has('a-init-0')).toBe(false);
  host.assign({ ...assignment('b', 'running', { preStart }), initialises: true });
  await runs('b-init-0');
});

test('an agent that comes back goes on where it was, and runs none twice', async () => {
  host.assign(assignment('a', 'running', { preStart: [each('one'), each('two'), each('three')] }));
  await runs('a-init-0');
  host.engine.exit('a-init-0', 0);
  await runs('a-init-1');
  await host.stop();
  host.engine.exit('a-init-1', 0);
  await host.start();
  await runs('a-init-2');
  await host.restart();
  host.engine.exit('a-init-2', 0);
  await reaches('running');
  const starts = host.engine.calls.filter((call) => call.startsWith('start'));
  expect(starts).toEqual(['start a-init-0', 'start a-init-1', 'start a-init-2', 'start a']);
});

test('an engine that goes away in the middle, however often it is looked at afterwards, runs none twice', async () => {
  host.assign(assignment('a', 'running', { preStart: [each('one'), each('two')] }));
  await runs('a-init-0');
  host.engine.goAway();
  await vi.waitFor(() =>
    expect(host.engine.calls.filter((call) => call === 'info').length).toBeGreaterThan(1),
  );
  host.engine.comeBack();
  await vi.waitFor(
    () => expect(host.engine.calls.filter((call) => call === 'wait a-init-0')).toHaveLength(2),
    limit,
  );
  for (let times = 0; times < 3; times++) await host.worker.observe('a');
  host.engine.exit('a-init-0', 0);
  await runs('a-init-1');
  host.engine.exit('a-init-1', 0);
  await reaches('running');
  const starts = host.engine.calls.filter((call) => call.startsWith('start'));
  expect(starts).toEqual(['start a-init-0', 'start a-init-1', 'start a']);
});

test('a task that is stopped while one runs ends that one with its signal, and starts nothing more', async () => {
  host.assign(assignment('a', 'running', { preStart: [each('one'), each('two')] }));
  await runs('a-init-0');
  host.assign(assignment('a', 'shutdown', { preStart: [each('one'), each('two')] }));
  await reaches('shutdown');
  expect(host.engine.calls).toContain('kill 15 a-init-0');
  expect(host.engine.calls.filter((call) => call.startsWith('start'))).toEqual(['start a-init-0']);
  await vi.waitFor(() => expect(host.engine.containers.size).toBe(0), limit);
});

test('those of a task whose assignment has gone while no agent was there are removed', async () => {
  host.assign(assignment('a', 'running', { preStart: [each('one')] }));
  await runs('a-init-0');
  await host.stop();
  host.assign();
  await host.start();
  await vi.waitFor(() => expect(host.engine.containers.size).toBe(0), limit);
});

test('what was made before a failure is removed', async () => {
  host.engine.before = (operation, id) => {
    if (operation === 'create' && id === 'a') throw new Error('no room');
  };
  host.assign(assignment('a', 'running', { preStart: [each('one')] }));
  await reaches('rejected');
  await vi.waitFor(() => expect(host.engine.containers.size).toBe(0), limit);
});
