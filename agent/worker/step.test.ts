import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareTaskStates, isTerminal, type TaskStatus } from '../../src/spec/task.ts';
import { firstSight, resumed, step, type LocalTask, type TaskEvent, type Wish } from './step.ts';

const assigned: TaskStatus = { state: 'assigned', at: 1, message: 'assigned' };
const prepared: TaskEvent = { type: 'prepared', imageDigest: 'sha256:1', stopSignal: 15 };
const healthcheck = {
  command: ['true'],
  intervalMs: 1,
  timeoutMs: 1,
  startPeriodMs: 0,
  startIntervalMs: 1,
  retries: 1,
};
const checked: TaskEvent = { ...prepared, healthcheck };
const wished: TaskEvent = { type: 'wished' };
const exited = (exitCode: number): TaskEvent => ({ type: 'exited', exitCode, outOfMemory: false });

/** Runs a story from first sight on; gives the end and every action on the way. */
function play(story: [Wish, TaskEvent][], from = firstSight(assigned, 10, 1)) {
  let task = from;
  const actions: string[] = [];
  for (const [index, [wish, event]] of story.entries()) {
    const next = step(task, wish, event, index + 2);
    task = next.task;
    actions.push(...next.actions);
  }
  return { task, actions, state: task.status.state, at: task.phase.at };
}

const toRunning: [Wish, TaskEvent][] = [
  ['running', wished],
  ['running', prepared],
  ['running', { type: 'started' }],
];

describe('a task goes its way', () => {
  test('from assigned to running without a healthcheck', () => {
    expect(play(toRunning)).toMatchObject({ state: 'running', actions: ['prepare', 'start'] });
  });

  test('it waits for its healthcheck before it runs', () => {
    const before = play([
      ['running', wished],
      ['running', checked],
      ['running', { type: 'started' }],
    ]);
    expect(before).toMatchObject({
      state: 'starting',
      at: 'checking',
      actions: ['prepare', 'start', 'probe'],
    });
    expect(play([['running', { type: 'healthy' }]], before.task)).toMatchObject({ state: 'running' });
  });

  test('it stays ready until it is wished to run', () => {
    const ready = play([
      ['ready', wished],
      ['ready', prepared],
      ['ready', wished],
    ]);
    expect(ready).toMatchObject({ state: 'ready', actions: ['prepare'] });
    expect(play([['running', wished]], ready.task)).toMatchObject({ state: 'starting', actions: ['start'] });
  });

  test.each([
    ['complete', exited(0), undefined],
    ['failed', exited(3), 'exited'],
    ['failed', { type: 'exited', exitCode: 137, outOfMemory: true }, 'out_of_memory'],
  ] as const)('it ends %s by itself', (state, event, code) => {
    const end = play([...toRunning, ['running', event], ['running', { type: 'cleaned' }]]);
    expect(end).toMatchObject({ state, at: 'gone', actions: ['prepare', 'start', 'clean'] });
    expect(end.task.status.error?.code).toBe(code);
    expect(end.task.status.exitCode).toBe('exitCode' in event ? event.exitCode : undefined);
  });

  test('its end is told only once everything of it is released', () => {
    const dead = play([...toRunning, ['running', exited(1)]]);
    expect(dead).toMatchObject({ state: 'running', at: 'cleaning' });
    const told = play([['running', { type: 'released' }]], dead.task);
    expect(told).toMatchObject({ state: 'failed', at: 'cleaning' });
    expect(play([['running', { type: 'cleaned' }]], told.task).task.status).toEqual(told.task.status);
  });

  test('one that ended wrongly tells how, and what it wrote last', () => {
    const said = (event: TaskEvent) =>
      play([...toRunning, ['running', event], ['running', { type: 'cleaned', lastLine: 'no such table' }]])
        .task.status;
    expect(said(exited(3))).toMatchObject({
      message: 'ended with exit code 3: no such table',
      error: { message: 'ended with exit code 3: no such table' },
    });
    expect(said(exited(0)).message).toBe('ended with exit code 0');
    const killed = { exitCode: 137, outOfMemory: true, memoryLimitBytes: 16 * 2 ** 20 };
    expect(said({ type: 'exited', ...killed }).message).toBe('killed: out of memory, limit 16 MiB');
    expect(said({ type: 'found', container: 'stopped', ...killed }).error?.code).toBe('out_of_memory');
    expect(said({ type: 'exited', exitCode: 137, outOfMemory: true }).message).toContain(
      'the host has no more',
    );
  });

  test('what its checks say is told beside its state, and taken back once one passes', () => {
    const failing = (words: string): TaskEvent => ({ type: 'failing', words });
    const before = play([
      ['running', wished],
      ['running', checked],
      ['running', { type: 'started' }],
    ]);
    const message = (events: Parameters<typeof play>[0]) => play(events, before.task).task.status.message;
    const said = '1 of 3 checks failed: exit 1: no answer';
    const waiting = 'started, waiting for its healthcheck to pass';
    expect(message([['running', failing(said)]])).toBe(`${waiting}: ${said}`);
    expect(
      message([
        ['running', failing(said)],
        ['running', failing('')],
      ]),
    ).toBe(waiting);
    const well: Parameters<typeof play>[0] = [['running', { type: 'healthy' }]];
    expect(message([...well, ['running', failing(said)]])).toBe(`running, but ${said}`);
    expect(message([...well, ['running', failing(said)], ['running', failing('')]])).toBe(
      'running and healthy',
    );
  });

  test('an unhealthy one is stopped and fails with what its check said', () => {
    const end = play([
      ...toRunning,
      ['running', { type: 'unhealthy', output: 'no answer' }],
      ['running', exited(143)],
      ['running', { type: 'cleaned' }],
    ]);
    expect(end).toMatchObject({ state: 'failed', actions: ['prepare', 'start', 'stop', 'clean'] });
    expect(end.task.status).toMatchObject({ message: 'unhealthy: no answer', exitCode: 143 });
  });

  test('one that cannot be prepared is rejected, one that cannot be started failed', () => {
    const failed: TaskEvent = {
      type: 'failed',
      error: { code: 'image_not_found', message: 'Cannot pull x' },
    };
    const cleaned: TaskEvent = { type: 'cleaned' };
    const rejected = play([
      ['running', wished],
      ['running', failed],
      ['running', cleaned],
    ]);
    expect(rejected.task.status).toMatchObject({ state: 'rejected', message: 'Cannot pull x' });
    const unstarted = play([
      ['running', wished],
      ['running', prepared],
      ['running', failed],
      ['running', cleaned],
    ]);
    expect(unstarted.task.status).toMatchObject({ state: 'failed', error: { code: 'image_not_found' } });
  });
});

describe('a shutdown is obeyed', () => {
  const cleaned: [Wish, TaskEvent] = ['shutdown', { type: 'cleaned' }];
  test.each([
    ['before anything is done', [['shutdown', wished], cleaned], ['clean']],
    [
      'during the preparation, which is ended first',
      [
        ['running', wished],
        ['shutdown', wished],
        ['shutdown', { type: 'failed', error: { code: 'internal', message: '' } }],
        cleaned,
      ],
      ['prepare', 'cancel', 'clean'],
    ],
    [
      'when the preparation ends at the same moment',
      [['running', wished], ['shutdown', wished], ['shutdown', prepared], cleaned],
      ['prepare', 'cancel', 'clean'],
    ],
    [
      'when ready',
      [['ready', wished], ['ready', prepared], ['shutdown', wished], cleaned],
      ['prepare', 'clean'],
    ],
    [
      'while starting',
      [['running', wished], ['running', prepared], ['shutdown', wished], ['shutdown', exited(0)], cleaned],
      ['prepare', 'start', 'stop', 'clean'],
    ],
    [
      'while running',
      [...toRunning, ['shutdown', wished], ['shutdown', exited(143)], cleaned],
      ['prepare', 'start', 'stop', 'clean'],
    ],
  ] as [string, [Wish, TaskEvent][], string[]][])('%s', (_when, story, actions) => {
    expect(play(story)).toMatchObject({ state: 'shutdown', at: 'gone', actions });
  });

  test('and a task whose assignment is gone is forgotten once it has ended', () => {
    const end = play([
      ...toRunning,
      ['absent', wished],
      ['absent', exited(0)],
      ['absent', { type: 'cleaned' }],
    ]);
    expect(end.actions).toEqual(['prepare', 'start', 'stop', 'clean', 'forget']);
  });
});

describe('after a restart', () => {
  const found = (container: 'created' | 'running' | 'stopped' | 'missing', exitCode?: number): TaskEvent => ({
    type: 'found',
    container,
    ...(exitCode === undefined ? {} : { exitCode }),
  });
  const running = play(toRunning).task;

  test('a running one goes on running, its status untouched', () => {
    const adopted = play(
      [
        ['running', found('running')],
        ['running', wished],
      ],
      resumed(running),
    );
    expect(adopted).toMatchObject({ at: 'running', actions: [] });
    expect(adopted.task.status).toEqual(running.status);
  });

  test('an end that came meanwhile is told with its exit code', () => {
    const end = play(
      [
        ['running', found('stopped', 7)],
        ['running', { type: 'cleaned' }],
      ],
      resumed(running),
    );
    expect(end.task.status).toMatchObject({ state: 'failed', exitCode: 7 });
  });

  test('one whose container is gone has failed', () => {
    const end = play(
      [
        ['running', found('missing')],
        ['running', { type: 'cleaned' }],
      ],
      resumed(running),
    );
    expect(end.task.status).toMatchObject({ state: 'failed', error: { code: 'lost' } });
  });

  test('a preparation that was cut off is done again', () => {
    const cut = play([['running', wished]]).task;
    expect(
      play(
        [
          ['running', found('missing')],
          ['running', wished],
        ],
        resumed(cut),
      ).actions,
    ).toContain('prepare');
  });

  test('a start that was cut off is done again, or seen to have worked', () => {
    const cut = play(toRunning.slice(0, 2)).task;
    expect(play([['running', found('created')]], resumed(cut))).toMatchObject({ actions: ['start'] });
    expect(play([['running', found('running')]], resumed(cut))).toMatchObject({ state: 'running' });
  });

  test('a stop that was cut off is done again', () => {
    const cut = play([...toRunning, ['shutdown', wished]]).task;
    expect(play([['shutdown', found('running')]], resumed(cut)).actions).toEqual(['stop']);
  });

  test('a task that others know further than this host has lost its container', () => {
    const lost = firstSight({ ...assigned, state: 'running' }, 10, 1);
    expect(
      play(
        [
          ['running', found('missing')],
          ['running', { type: 'cleaned' }],
        ],
        lost,
      ),
    ).toMatchObject({
      state: 'failed',
      actions: ['clean'],
    });
  });
});

const anyEvent: fc.Arbitrary<TaskEvent> = fc.oneof(
  fc.constantFrom<TaskEvent>(
    wished,
    prepared,
    checked,
    { type: 'progress', message: 'pulling' },
    { type: 'failed', error: { code: 'engine_failed', message: 'no' } },
    { type: 'started' },
    { type: 'healthy' },
    { type: 'unhealthy', output: 'x' },
    { type: 'anchorEnded', id: 'db', name: 'app_db.1' },
    { type: 'released' },
    { type: 'cleaned' },
  ),
  fc.nat(255).map(exited),
  fc
    .constantFrom('created' as const, 'running' as const, 'stopped' as const, 'missing' as const)
    .map((container): TaskEvent => ({ type: 'found', container })),
);
const anyWish = fc.constantFrom<Wish>('ready', 'running', 'shutdown', 'remove', 'absent');

test('whatever happens in whatever order, the status never moves back and an end never changes', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(anyWish, anyEvent, fc.boolean()), { maxLength: 60 }), (story) => {
      let task: LocalTask = firstSight(assigned, 10, 1);
      for (const [wish, event, restart] of story) {
        const before = task;
        task = step(restart ? resumed(task) : task, wish, event, 2).task;
        expect(compareTaskStates(task.status.state, before.status.state)).toBeGreaterThanOrEqual(0);
        if (isTerminal(before.status.state)) expect(task.status).toEqual(before.status);
      }
    }),
  );
});

test('whatever has happened, a task that is to go is gone once its work ends', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(anyWish, anyEvent), { maxLength: 40 }), (story) => {
      let { task } = play(story);
      for (let turn = 0; turn < 5; turn++) {
        for (const event of [wished, exited(0), prepared, { type: 'cleaned' } as const]) {
          task = step(task, 'absent', event, 3).task;
        }
      }
      expect(task.phase.at).toBe('gone');
    }),
  );
});
