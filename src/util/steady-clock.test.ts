import { expect, test } from 'vitest';
import { FakeClock } from '../../test/simulation/world.ts';
import { hasPassed, steadyClock } from './steady-clock.ts';

const hourMs = 3_600_000;

test('a steady clock shows the wall clock as long as nobody sets it', () => {
  const wall = new FakeClock();
  const clock = steadyClock(wall);
  for (const ms of [0, 1, 999, hourMs]) {
    wall.advance(ms);
    expect(clock.now()).toBe(wall.now());
  }
});

test.each([hourMs, -hourMs])('a step of %i ms moves a steady clock by nothing', (step) => {
  const wall = new FakeClock();
  const clock = steadyClock(wall);
  const before = clock.now();
  wall.step(step);
  expect(clock.now()).toBe(before);
});

test.each([hourMs, -hourMs])('after a step of %i ms a second is a second, give or take a tenth', (step) => {
  const wall = new FakeClock();
  const clock = steadyClock(wall);
  const before = clock.now();
  wall.step(step);
  wall.advance(1_000);
  expect(Math.abs(clock.now() - before - 1_000)).toBeLessThanOrEqual(101);
});

test.each([hourMs, -hourMs])('after a step of %i ms a steady clock is back in eleven hours', (step) => {
  const wall = new FakeClock();
  const clock = steadyClock(wall);
  clock.now();
  wall.step(step);
  for (let hours = 0; hours < 11; hours++) {
    wall.advance(hourMs);
    clock.now();
  }
  expect(Math.abs(clock.now() - wall.now())).toBeLessThanOrEqual(1);
});

test('a delay has passed since a time that lies further ahead than the delay: the clock was set back', () => {
  expect(hasPassed(1_000, 500, 1_499)).toBe(false);
  expect(hasPassed(1_000, 500, 1_500)).toBe(true);
  expect(hasPassed(1_000, 500, 600)).toBe(false);
  expect(hasPassed(1_000, 500, 499)).toBe(true);
});
