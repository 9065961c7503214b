import { expect, test } from 'vitest';
import { systemClock, type Clock } from '../../src/util/clock.ts';
import { createLogger } from '../../src/util/log.ts';
import { EtcdOutput, lineCharactersMax, linesPerSecondMax, parseEtcdLine } from './output.ts';

function create(): { output: EtcdOutput; passed: string[]; at: { ms: number } } {
  const passed: string[] = [];
  const at = { ms: 0 };
  const clock: Clock = { ...systemClock, monotonic: () => at.ms };
  const write = (text: string) => void passed.push((JSON.parse(text) as { message: string }).message);
  const log = createLogger({ level: 'debug', now: () => 0, write });
  return { output: new EtcdOutput(log, clock), passed, at };
}

const warning = (msg: string) => `${JSON.stringify({ level: 'warn', msg, error: 'e' })}\n`;

test('EtcdOutput passes on warnings and errors, whatever pieces they come in', () => {
  const { output, passed } = create();
  const text = `${JSON.stringify({ level: 'info', msg: 'ready' })}\n${warning('slow')}panic: gone\n`;
  for (const character of text) output.take(character);
  expect(passed).toEqual(['etcd: slow', 'etcd: panic: gone']);
  expect(output.lines).toHaveLength(3);
});

test('EtcdOutput passes on so many lines a second, and says how many it left out', () => {
  const { output, passed, at } = create();
  output.take(warning('failed to send out heartbeat on time').repeat(linesPerSecondMax + 5));
  expect(passed).toHaveLength(linesPerSecondMax);
  at.ms = 1_000;
  output.take(warning('later'));
  expect(passed.slice(linesPerSecondMax)).toEqual(['etcd said more', 'etcd: later']);
  expect(output.counts).toEqual({ heartbeats: linesPerSecondMax + 5, slowApplies: 0 });
});

test('EtcdOutput holds a bounded part of what never ends', () => {
  const { output, passed } = create();
  const piece = 'x'.repeat(lineCharactersMax);
  for (let count = 0; count < 50; count++) output.take(piece);
  output.take(`\n${warning('next')}`);
  expect(output.lines.map(({ length }) => length)).toEqual([lineCharactersMax, warning('next').length - 1]);
  expect(passed.at(-1)).toBe('etcd: next');
  for (let count = 0; count < 500; count++) output.take(`line ${count}\n`);
  expect(output.lines).toHaveLength(100);
  expect(output.lines.at(-1)).toBe('line 499');
});

test('parseEtcdLine() takes zap apart, and everything else as an error', () => {
  const zap = '{"level":"fatal","ts":"1","caller":"c","msg":"ended","error":"why","stacktrace":"s"}';
  expect(parseEtcdLine(zap)).toEqual({ level: 'error', message: 'ended', fields: { error: 'why' } });
  for (const text of ['panic: no', '[1]', '{"level":"odd","msg":"m"}', '{"level":"warn"}', '{"a":']) {
    expect(parseEtcdLine(text)).toEqual({ level: 'error', message: text, fields: {} });
  }
});
