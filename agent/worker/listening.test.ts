import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { assignment, TestHost } from './testing.ts';

/** When a task whose ports are published, and that has no healthcheck, may be sent requests. */

let host: TestHost;

beforeEach(async () => {
  host = await new TestHost().start();
  host.ports = [80, 443];
});

afterEach(async () => {
  await host.remove();
});

const looks = () => {
  let times = 0;
  host.network.before = (operation) => void (operation === 'listening' && times++);
  return () => times;
};

test('a task runs when its program listens on all that is published for it', async () => {
  const looked = looks();
  host.assign(assignment('a'));
  await vi.waitFor(() => expect(looked()).toBeGreaterThan(3));
  expect(host.worker.mayServe('a')).toBe(false);
  host.network.open.add(80);
  const before = looked();
  await vi.waitFor(() => expect(looked()).toBeGreaterThan(before + 1));
  expect(host.worker.statuses().get('a')?.state).toBe('starting');
  host.network.open.add(443);
  await host.reaches('a', 'running');
});

test('one that listens on nothing runs after a while', async () => {
  host.assign(assignment('a'));
  await host.reaches('a', 'running');
  expect(host.network.open.size).toBe(0);
});

test('one that ends meanwhile has failed', async () => {
  const looked = looks();
  host.assign(assignment('a'));
  await vi.waitFor(() => expect(looked()).toBeGreaterThan(1));
  host.engine.exit('a', 3);
  await host.reaches('a', 'failed');
});

test('one that is not wanted any more is stopped at once', async () => {
  const looked = looks();
  host.assign(assignment('a'));
  await vi.waitFor(() => expect(looked()).toBeGreaterThan(1));
  host.assign(assignment('a', 'shutdown'));
  await host.reaches('a', 'shutdown');
  expect(host.told.map(({ status }) => status.state)).not.toContain('running');
});

test('where it cannot be seen, the task runs', async () => {
  host.network.before = (operation) => {
    if (operation === 'listening') throw new Error('no permission');
  };
  host.assign(assignment('a'));
  await host.reaches('a', 'running');
});
