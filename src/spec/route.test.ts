import { expect, test } from 'vitest';
import { defaultRouteIndex } from './route.ts';

const out = (gatewayPriority?: number) => ({ internal: false, gatewayPriority });
const inner = { internal: true, gatewayPriority: 9 };

test.each([
  [[out(), out()], 0],
  [[inner, out(), out()], 1],
  [[out(), out(1), out(1)], 1],
  [[out(-1), out()], 1],
  [[inner], -1],
  [[], -1],
])('of %j the default route is on %i', (networks, expected) => {
  expect(defaultRouteIndex(networks)).toBe(expected);
});
