import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareTaskStates, isTerminal, mayMove, moveTask, taskStates, type TaskStateOwner } from './task.ts';

const owners: TaskStateOwner[] = ['orchestrator', 'allocator', 'scheduler', 'agent', 'manager'];
const state = fc.constantFrom(...taskStates);
const owner = fc.constantFrom(...owners);

test('a task state never goes back, whoever asks', () => {
  fc.assert(
    fc.property(state, state, owner, (from, to, who) => {
      if (mayMove(from, to, who)) expect(compareTaskStates(to, from)).toBeGreaterThan(0);
    }),
  );
});

test('nothing leaves a terminal state', () => {
  for (const from of taskStates.filter(isTerminal)) {
    for (const to of taskStates) for (const who of owners) expect(mayMove(from, to, who)).toBe(false);
  }
});

test('only the agent moves a task after it is assigned, except that the manager may orphan it', () => {
  expect(mayMove('assigned', 'running', 'agent')).toBe(true);
  expect(mayMove('running', 'orphaned', 'manager')).toBe(true);
  for (const who of owners.filter((each) => each !== 'agent'))
    expect(mayMove('assigned', 'running', who)).toBe(false);
});

test('the manager may shut down a task that no agent has', () => {
  expect(mayMove('pending', 'shutdown', 'manager')).toBe(true);
  expect(mayMove('assigned', 'shutdown', 'manager')).toBe(false);
});

test('moveTask() refreshes the message in the same state and throws on time travel', () => {
  const running = { state: 'running', at: 1, message: 'running' } as const;
  expect(moveTask(running, { ...running, message: 'healthy' }, 'agent').message).toBe('healthy');
  expect(() => moveTask(running, { state: 'starting', at: 2, message: '' }, 'agent')).toThrow('may not move');
});
