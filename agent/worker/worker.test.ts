import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { compareTaskStates, type TaskState } from '../../src/spec/task.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { FakeEngine } from './fake-engine.ts';
import type { PullPolicy } from '../../src/spec/settings.ts';
import { systemClock } from '../../src/util/clock.ts';
import { assignment, TestHost } from './testing.ts';

let host: TestHost;

beforeEach(async () => {
  host = await new TestHost().start();
});

afterEach(async () => {
  await host.remove();
});

const reaches = (id: string, state: TaskState) => host.reaches(id, state);
const isEmpty = () =>
  vi.waitFor(
    () => {
      expect(host.worker.entries.size).toBe(0);
      expect(host.engine.containers.size).toBe(0);
      expect(host.network.attached.size).toBe(0);
      expect(host.fileFolders.size).toBe(0);
      expect(host.logs.size).toBe(0);
    },
    { timeout: 5_000, interval: 5 },
  );

describe('a worker', () => {
  test('runs a task, and removes every trace of it when its assignment goes', async () => {
    host.assign(assignment('a'));
    await reaches('a', 'running');
    const states = host.told.map(({ status }) => status.state);
    expect([...new Set(states)]).toEqual(['accepted', 'preparing', 'starting', 'running']);
    expect(host.engine.containers.get('a')?.create).toMatchObject({
      args: ['/bin/run'],
      hostname: 'a',
      networkNamespace: '/run/netns/a',
      group: 'service',
    });
    host.assign();
    await isEmpty();
    expect(host.engine.calls).toContain('kill 15 a');
  });

  test('keeps the log of a finished task until its assignment goes', async () => {
    host.assign(assignment('a'));
    await reaches('a', 'running');
    host.engine.exit('a', 2);
    await reaches('a', 'failed');
    await vi.waitFor(() => expect(host.engine.containers.size).toBe(0));
    expect(host.logs).toEqual(new Set(['a']));
    host.assign();
    await isEmpty();
  });

  test('pulls what is not here once for all tasks that want it', async () => {
    host.engine.remote.set('far', FakeEngine.image('far'));
    host.assign(...['a', 'b', 'c'].map((id) => assignment(id, 'running', { image: 'far' })));
    for (const id of ['a', 'b', 'c']) await reaches(id, 'running');
    expect(host.engine.calls.filter((call) => call === 'pull far')).toHaveLength(1);
  });

  test('rejects a task whose image does not exist, in the words of the engine', async () => {
    host.assign(assignment('a', 'running', { image: 'nowhere' }));
    await reaches('a', 'rejected');
    expect(host.status('a')?.error).toMatchObject({ code: 'image_not_found' });
    await vi.waitFor(() => expect(host.network.attached.size).toBe(0));
  });
});

describe('a worker asked to stop', () => {
  test('kills a process that does not obey within its grace period', async () => {
    host.engine.obeys = new Set([9]);
    host.assign(assignment('a', 'running', { stopGracePeriodMs: 20 }));
    await reaches('a', 'running');
    host.assign(assignment('a', 'shutdown', { stopGracePeriodMs: 20 }));
    await reaches('a', 'shutdown');
    expect(host.status('a')?.exitCode).toBe(137);
    expect(host.engine.calls.indexOf('kill 15 a')).toBeLessThan(host.engine.calls.indexOf('kill 9 a'));
  });

  test('gives up a preparation that is not wanted any more', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    host.network.before = (operation) => (operation === 'attach' ? promise : undefined);
    host.assign(assignment('a'));
    await reaches('a', 'preparing');
    host.assign(assignment('a', 'shutdown'));
    resolve();
    await reaches('a', 'shutdown');
    expect(host.engine.calls).not.toContain('create a');
    expect(host.network.attached.size).toBe(0);
  });

  test('tells the end of a task although its remains cannot be removed, and goes on trying', async () => {
    let refusals = 3;
    host.engine.before = (operation) => {
      if (operation === 'remove' && refusals-- > 0) throw new ShoalError('engine_failed', 'Cannot remove');
    };
    host.assign(assignment('a'));
    await reaches('a', 'running');
    host.engine.exit('a', 0);
    await reaches('a', 'complete');
    await vi.waitFor(() => expect(host.engine.containers.size).toBe(0), { timeout: 5_000 });
  });
});

describe('a worker and images', () => {
  const pulls = () => host.engine.calls.filter((call) => call.startsWith('pull')).length;
  const run = async (id: string, pullPolicy: PullPolicy) => {
    host.assign(assignment(id, 'running', { pullPolicy }));
    await reaches(id, 'running');
  };

  test('pulls one that is here already only when the policy says so', async () => {
    const image = host.engine.images.get('web')!;
    host.engine.remote.set('web', image);
    await run('a', { kind: 'never' });
    expect(pulls()).toBe(0);
    await run('b', { kind: 'always' });
    expect(pulls()).toBe(1);
    host.engine.images.set('web', { ...image, pulledAt: systemClock.now() });
    await run('c', { kind: 'every', intervalMs: 60_000 });
    expect(pulls()).toBe(1);
    host.engine.images.set('web', { ...image, pulledAt: systemClock.now() - 61_000 });
    await run('d', { kind: 'every', intervalMs: 60_000 });
    expect(pulls()).toBe(2);
  });

  test('refuses one that is not here and may not be pulled', async () => {
    host.engine.images.clear();
    host.assign(assignment('a', 'running', { pullPolicy: { kind: 'never' } }));
    await reaches('a', 'rejected');
    expect(host.status('a')?.error?.code).toBe('image_not_found');
    expect(pulls()).toBe(0);
  });
});

describe('a worker over time', () => {
  test('stops a task that its check finds unhealthy, and says what the check said', async () => {
    const healthcheck = { test: ['CMD', 'check'], intervalMs: 10, retries: 2 };
    let healthy = true;
    host.engine.onExec = () => ({ exitCode: healthy ? 0 : 1, output: 'no answer on port 80' });
    host.assign(assignment('a', 'running', { healthcheck }));
    await reaches('a', 'running');
    healthy = false;
    await reaches('a', 'failed');
    expect(host.status('a')?.message).toBe('unhealthy: 2 of 2 checks failed: exit 1: no answer on port 80');
  });

  test('tells what checks say that fail while it is still given time, of more lines the one that says it', async () => {
    const healthcheck = { test: ['CMD', 'check'], intervalMs: 10, retries: 2, startPeriodMs: 60_000 };
    host.engine.onExec = () => ({
      exitCode: 7,
      output: 'Error: no answer\n    at check.js:1\n\nNode.js v24',
    });
    host.assign(assignment('a', 'running', { healthcheck }));
    await vi.waitFor(() => expect(host.status('a')?.message).toContain('exit 7: Error: no answer'));
    expect(host.status('a')).toMatchObject({ state: 'starting' });
  });

  test('never tells a status that is behind one it told before', async () => {
    host.assign(...Array.from({ length: 12 }, (_, index) => assignment(`t${index}`)));
    await reaches('t11', 'running');
    await host.restart();
    for (let index = 0; index < 12; index++) host.engine.exit(`t${index}`, index % 2);
    await reaches('t11', 'failed');
    const last = new Map<string, TaskState>();
    for (const { taskId, status } of host.told) {
      expect(compareTaskStates(status.state, last.get(taskId) ?? 'assigned')).toBeGreaterThanOrEqual(0);
      last.set(taskId, status.state);
    }
  });
});

describe('a worker that is started again', () => {
  test('leaves running containers alone and hears of their ends', async () => {
    host.assign(assignment('a'), assignment('b'));
    await reaches('a', 'running');
    await reaches('b', 'running');
    await host.stop();
    const calls = host.engine.calls.length;
    host.engine.exit('b', 9);
    await host.start();
    await reaches('b', 'failed');
    expect(host.status('b')?.exitCode).toBe(9);
    expect(host.status('a')?.state).toBe('running');
    const since = host.engine.calls.slice(calls);
    expect(since).toContain('reattach a');
    expect(since.filter((call) => /^(start|create|kill|remove).* a$/.test(call))).toEqual([]);
    host.engine.exit('a', 0);
    await reaches('a', 'complete');
  });

  test('begins anew with what was cut off in the middle of its preparation', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    host.engine.before = (operation) => (operation === 'create' ? promise : undefined);
    host.assign(assignment('a'));
    await vi.waitFor(() => expect(host.engine.calls).toContain('create a'));
    const stopped = host.stop();
    resolve();
    await stopped;
    expect(host.engine.containers.get('a')?.state).toBe('created');
    host.engine.before = () => undefined;
    await host.start();
    await reaches('a', 'running');
  });

  test('removes what belongs to no task, and nothing of others', async () => {
    await host.stop();
    const create = { ...FakeEngine.image('web') };
    const container = (id: string, labels: Record<string, string>) =>
      host.engine.containers.set(id, { id, labels, state: 'running', create: create as never });
    container('left', { 'shoal.task.id': 'left' });
    container('other', {});
    host.network.attached.set('left', { taskId: 'left', serviceId: '', attachments: [], hostPorts: [] });
    host.logs.add('left');
    await host.start();
    await vi.waitFor(() => expect(host.engine.containers.has('left')).toBe(false));
    await vi.waitFor(() => expect(host.network.attached.size + host.logs.size).toBe(0));
    expect(host.engine.containers.has('other')).toBe(true);
  });

  test('finds tasks whose containers a reboot has taken failed', async () => {
    host.assign(assignment('a'));
    await reaches('a', 'running');
    await host.stop();
    host.engine.containers.clear();
    await host.start();
    await reaches('a', 'failed');
    expect(host.status('a')?.error?.code).toBe('lost');
  });
});

describe('an engine that goes away', () => {
  test('and comes back finds running tasks running, and ends that came meanwhile told', async () => {
    host.assign(assignment('a'), assignment('b'));
    await reaches('a', 'running');
    await reaches('b', 'running');
    host.engine.goAway();
    host.engine.exit('b', 4);
    host.engine.comeBack();
    await reaches('b', 'failed');
    expect(host.status('b')?.exitCode).toBe(4);
    expect(host.status('a')?.state).toBe('running');
    host.engine.exit('a', 0);
    await reaches('a', 'complete');
  });

  test.each(['image', 'create', 'start'])('during %s only delays the task', async (moment) => {
    let lost = false;
    host.engine.before = (operation) => {
      if (operation !== moment || lost) return;
      lost = true;
      host.engine.goAway();
      void Promise.resolve().then(() => setImmediate(() => host.engine.comeBack()));
    };
    host.assign(assignment('a'));
    await reaches('a', 'running');
  });
});

describe('a worker whose store cannot write', () => {
  test('starts and stops tasks all the same, and has written how far they are once it can', async () => {
    const blocked = join(host.directory, 'state.jsonl');
    mkdirSync(blocked); // nothing can be written to what is a directory
    host.assign(assignment('a'), assignment('b'));
    await reaches('a', 'running');
    await reaches('b', 'running');
    host.assign(assignment('a', 'shutdown'), assignment('b'));
    await reaches('a', 'shutdown');
    expect(host.engine.calls).toContain('kill 15 a');
    const recovered = Promise.withResolvers<void>();
    host.onTrouble = (error) => error ?? recovered.resolve();
    rmdirSync(blocked);
    await recovered.promise;
    await host.restart();
    await reaches('b', 'running');
    expect(host.engine.calls.filter((call) => call === 'start b')).toHaveLength(1);
    expect(host.engine.containers.has('a')).toBe(false);
  });
});
