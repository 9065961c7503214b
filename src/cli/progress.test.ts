import { expect, test } from 'vitest';
import { shownApplication, shownService, shownStatus, shownTask } from '../../test/cli-samples.ts';
import { progressOf, settleMs } from './convergence.ts';
import type { Output } from './output.ts';
import { describeService, ProgressDisplay, renderProgress } from './progress.ts';

const later = settleMs + 1;
const times = { now: later, elapsedMs: later };

function collect(columns: number): Output & { lines: string[] } {
  const lines: string[] = [];
  return {
    lines,
    columns,
    colour: false,
    print: () => undefined,
    line: () => undefined,
    note: (text) => lines.push(text),
    write: (_, chunk) => lines.push(String(chunk)),
  };
}

test('a service without a healthcheck is up only once its tasks have run for a while', () => {
  expect(progressOf(shownStatus(), settleMs - 1)).toEqual({ state: 'converging' });
  expect(progressOf(shownStatus(), later)).toEqual({ state: 'converged' });
});

test('a service with a healthcheck is up as soon as its tasks run, for running means healthy', () => {
  const service = shownService();
  service.spec.task.container.healthcheck = { test: ['CMD', 'true'] };
  expect(progressOf(shownStatus({ service }), 0)).toEqual({ state: 'converged' });
});

test('a service is described by the task that is furthest behind', () => {
  const tasks = [
    shownTask(1),
    shownTask(2, { state: 'starting', message: 'health: starting' }),
    shownTask(3, { state: 'preparing', message: 'pulling 34 %' }),
  ];
  expect(describeService(shownStatus({ converged: false, tasks }), later)).toBe('pulling 34 %');
});

test('what an attempt failed for is told beside what the next one does, in its slot only', () => {
  const failed = {
    ...shownTask(1, { state: 'rejected', message: 'no answer from registry:5000' }),
    createdAt: 1,
  };
  const next = {
    ...shownTask(1, { state: 'preparing', message: 'pulling web: asking the registry' }),
    createdAt: 2,
  };
  const other = { ...next, slot: 2 };
  expect(describeService(shownStatus({ converged: false, tasks: [next, failed] }), later)).toBe(
    'pulling web: asking the registry (the attempt before: no answer from registry:5000)',
  );
  expect(describeService(shownStatus({ converged: false, tasks: [other, failed] }), later)).toBe(
    'pulling web: asking the registry',
  );
  const earlier = { ...failed, specVersion: failed.specVersion - 1 };
  expect(describeService(shownStatus({ converged: false, tasks: [next, earlier] }), later)).toBe(
    'pulling web: asking the registry',
  );
});

test('renderProgress() draws a line a service that fits the terminal', () => {
  const status = shownApplication([
    shownStatus(),
    shownStatus({ converged: false, running: 0, failure: `no suitable node: ${'x'.repeat(100)}` }),
  ]);
  const lines = renderProgress(status, {
    elapsedMs: 3_000,
    now: 3_000,
    columns: 60,
    frame: 0,
    colour: false,
  });
  expect(lines.join('\n')).toMatchInlineSnapshot(`
    " ✔ shop_web     2/2   3s  running
     ✘ shop_web     0/2   3s  no suitable node: xxxxxxxxxxxxx…"
  `);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(60);
});

test('without a terminal a line is printed when something changes, percentages aside', () => {
  const output = collect(0);
  const display = new ProgressDisplay(output);
  const pulling = (percent: number) =>
    shownApplication([
      shownStatus({
        converged: false,
        running: 0,
        tasks: [shownTask(1, { state: 'preparing', message: `pulling ${percent} %` })],
      }),
    ]);
  for (const percent of [1, 50, 99]) display.update(pulling(percent), times);
  display.update(shownApplication([shownStatus()]), times);
  expect(output.lines).toEqual(['shop_web 0/2 pulling 1 %', 'shop_web 2/2 running']);
});

test('on a terminal the lines are drawn over the ones before', () => {
  const output = collect(80);
  const display = new ProgressDisplay(output);
  display.update(shownApplication([shownStatus()]), times);
  display.update(shownApplication([shownStatus()]), times);
  expect(output.lines[0]).not.toContain('\u001b[1A');
  expect(output.lines[1]).toContain('\u001b[1A');
});
