import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { TaskState } from '../../src/spec/task.ts';
import { assignment, TestHost } from './testing.ts';

let host: TestHost;
let ran: string[];

beforeEach(async () => {
  host = await new TestHost().start();
  ran = [];
  host.engine.onExec = ({ command, environment }) => {
    ran.push([...command, ...environment].join(' '));
    return { exitCode: command[0] === 'fails' ? 4 : 0, output: 'no such table' };
  };
});

afterEach(async () => {
  await host.remove();
});

const reaches = (state: TaskState) => host.reaches('a', state);
const hook = (...command: string[]) => ({ command, environment: { A: '1' } });

test('a task runs once its commands after the start have ended, in their order', async () => {
  host.assign(assignment('a', 'running', { postStart: [hook('one'), hook('two')] }));
  await reaches('running');
  expect(ran).toEqual(['one A=1', 'two A=1']);
});

test('a task whose command after the start fails has failed with what it said', async () => {
  host.assign(assignment('a', 'running', { postStart: [hook('fails'), hook('two')] }));
  await reaches('failed');
  expect(host.status('a')?.message).toBe('post_start: "fails" ended with exit code 4: no such table');
  expect(ran).toEqual(['fails A=1']);
});

test('commands before the stop run before the signal, also when they fail and the assignment has gone', async () => {
  host.assign(assignment('a', 'running', { preStop: [hook('fails')] }));
  await reaches('running');
  host.engine.calls.length = 0;
  host.assign();
  await vi.waitFor(() => expect(host.engine.containers.size).toBe(0), { timeout: 5_000 });
  expect(host.engine.calls.slice(0, 2)).toEqual(['exec a', 'kill 15 a']);
});

test('commands that were cut off by the end of the agent are run again by the next', async () => {
  let hang = true;
  host.engine.before = (operation) => {
    if (operation === 'exec' && hang) return new Promise(() => undefined);
    return undefined;
  };
  host.assign(assignment('a', 'running', { postStart: [hook('one')] }));
  await reaches('starting');
  await vi.waitFor(() => expect(host.engine.calls).toContain('exec a'));
  hang = false;
  await host.restart();
  await reaches('running');
  expect(ran).toEqual(['one A=1']);
});
