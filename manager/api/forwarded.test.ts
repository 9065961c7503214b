import { expect, test } from 'vitest';
import { formatForwarded, parseForwarded, type Forwarded } from './forwarded.ts';

const fingerprint = '0123456789abcdef'.repeat(4);

test.each<Forwarded>([
  { claim: { kind: 'local' }, from: undefined },
  { claim: { kind: 'anonymous' }, from: '2001:db8::1' },
  { claim: { kind: 'node', id: 'abc' }, from: '192.0.2.1' },
  { claim: { kind: 'administrator', name: 'Ä b, c\r\nx: y', fingerprint }, from: '192.0.2.1' },
])('a caller comes through as it is: $claim.kind', (forwarded) => {
  const text = formatForwarded(forwarded);
  expect(text).toMatch(/^[!-~ ]+$/);
  expect(parseForwarded(text)).toEqual(forwarded);
});

test.each([
  '',
  '-',
  '- root',
  'local',
  'host local',
  '- local x',
  '- local ',
  '- node',
  '- node a b',
  '- node %E0%A4%A',
  '- administrator a',
  '- administrator a 00',
  `- administrator a ${fingerprint} x`,
  '192.0.2.1, 192.0.2.2 local',
])('what is not a caller is refused: %j', (text) => {
  expect(() => parseForwarded(text)).toThrow(/unknown way/);
});
