import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { failingWords, healthPlan, judge, nextProbeMs, type HealthState } from './health.ts';

const plan = healthPlan(
  { test: ['CMD', 'check'], intervalMs: 1_000, retries: 3, startPeriodMs: 5_000 },
  undefined,
)!;
const fresh: HealthState = { healthy: false, failures: 0, probes: 0 };
const good = { ok: true, output: '' };
const bad = { ok: false, output: 'no' };

describe('healthPlan()', () => {
  test('takes each field from the service, then the image, then the defaults', () => {
    const image = { test: ['CMD', 'image-check'], intervalMs: 7_000, retries: 9 };
    expect(healthPlan({ retries: 2 }, image)).toEqual({
      command: ['image-check'],
      intervalMs: 7_000,
      timeoutMs: 30_000,
      startPeriodMs: 0,
      startIntervalMs: 5_000,
      retries: 2,
    });
  });

  test('runs a line in a shell, and nothing when there is none or it is switched off', () => {
    expect(healthPlan({ test: ['CMD-SHELL', 'a | b'] }, undefined)?.command).toEqual([
      '/bin/sh',
      '-c',
      'a | b',
    ]);
    expect(healthPlan(undefined, undefined)).toBeUndefined();
    expect(healthPlan({ test: ['NONE'] }, { test: ['CMD', 'x'] })).toBeUndefined();
  });
});

describe('judge()', () => {
  test('tells health at the first success, and once', () => {
    const first = judge(plan, fresh, good, 10);
    expect(first.verdict).toBe('healthy');
    expect(judge(plan, first.state, good, 20).verdict).toBeUndefined();
  });

  test('does not count failures in the start period, and counts them after it', () => {
    expect(judge(plan, { ...fresh, failures: 0 }, bad, 4_999).state.failures).toBe(0);
    expect(judge(plan, { ...fresh, failures: 2 }, bad, 5_001).verdict).toBe('unhealthy');
  });

  test('counts failures in the start period once it has been healthy', () => {
    const state = { healthy: true, failures: 2, probes: 4 };
    expect(judge(plan, state, bad, 100).verdict).toBe('unhealthy');
  });

  test('forgets failures at a success', () => {
    expect(judge(plan, { healthy: true, failures: 2, probes: 4 }, good, 9_000).state.failures).toBe(0);
  });

  test('never finds unhealthy before as many failures in a row as there are retries', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 50 }), (results) => {
        let state = { ...fresh, healthy: true };
        let row = 0;
        for (const ok of results) {
          row = ok ? 0 : row + 1;
          const judged = judge(plan, state, ok ? good : bad, 1);
          expect(judged.verdict === 'unhealthy').toBe(row >= plan.retries);
          if (judged.verdict === 'unhealthy') return;
          state = judged.state;
        }
      }),
    );
  });
});

test('failing checks are told with how many there may be, and what the last one said', () => {
  const said = { ok: false, output: 'exit 1: no' };
  expect(failingWords(plan, { ...fresh, failures: 2 }, said)).toBe('2 of 3 checks failed: exit 1: no');
  expect(failingWords(plan, fresh, said)).toBe('the last check failed: exit 1: no');
  expect(failingWords({ ...plan, retries: 1 }, { ...fresh, failures: 1 }, said)).toBe(
    'its check failed: exit 1: no',
  );
  expect(failingWords(plan, fresh, good)).toBe('');
});

test('the first probes come soon and then further apart, never further than the interval', () => {
  const waits = [0, 1, 2, 3, 4, 5].map((probes) => nextProbeMs(plan, { ...fresh, probes }, 10_000));
  expect(waits).toEqual([100, 200, 400, 800, 1_000, 1_000]);
  expect(nextProbeMs(plan, { healthy: true, failures: 0, probes: 1 }, 0)).toBe(1_000);
});
