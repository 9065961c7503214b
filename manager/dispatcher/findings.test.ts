import { expect, test } from 'vitest';
import { clockSkewMsMax, Findings } from './findings.ts';

const hourMs = 3_600_000;

test.each([
  [hourMs, 'ahead of'],
  [-hourMs, 'behind'],
])('a clock that is %i ms off for some seconds is a condition, until it is right again', (offMs, side) => {
  const findings = new Findings();
  expect(findings.noteTime(50_000 + offMs, 50_000, 0)).toBe(false);
  expect(findings.noteTime(54_000 + offMs, 54_000, 4_000)).toBe(true);
  const message = `its clock is about 60 min ${side} the manager's: set it, best by NTP`;
  expect(findings.list()).toEqual([{ type: 'ClockSkewed', message }]);
  expect(findings.noteTime(55_000 + offMs, 55_001, 5_000)).toBe(false);
  expect(findings.noteTime(56_000, 56_000, 6_000)).toBe(true);
  expect(findings.list()).toEqual([]);
});

test('what waited while the manager stood still does not make a clock seem late', () => {
  const findings = new Findings();
  for (let at = 0; at < 60_000; at += 600) findings.noteTime(at, 60_000, 60_000);
  findings.noteTime(60_600, 60_600, 60_600);
  expect(findings.list()).toEqual([]);
});

test('a clock that is a little off is none', () => {
  const findings = new Findings();
  for (const now of [10_000, 20_000]) findings.noteTime(now + clockSkewMsMax, now, now);
  expect(findings.list()).toEqual([]);
});

test('another version of Shoal is a condition', () => {
  const findings = new Findings();
  expect(findings.noteVersion('2.0.0', '2.0.0')).toBe(false);
  expect(findings.noteVersion('2.0.0', '1.9.0')).toBe(true);
  expect(findings.list()).toMatchObject([{ type: 'VersionMismatch' }]);
});

test('an agent that stands still is told once for each ten seconds, and no more once it goes on', () => {
  const findings = new Findings();
  expect([0, 1_200, 2_400, 9_900].map((ms) => findings.noteStall(ms))).toEqual([false, true, false, false]);
  expect(findings.list()).toMatchObject([
    { type: 'AgentStalled', message: expect.stringContaining('for some seconds') },
  ]);
  expect(findings.noteStall(21_000)).toBe(true);
  expect(findings.list()[0]!.message).toContain('for more than 20 s');
  expect(findings.noteStall(0)).toBe(true);
  expect(findings.list()).toEqual([]);
});
