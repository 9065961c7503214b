import { expect, test } from 'vitest';
import { parseArguments, wholeNumber } from './arguments.ts';
import type { Command } from './command.ts';
import { hoistOptions } from './main.ts';

const command: Command = {
  name: 'sample',
  summary: '',
  positionals: 'NAME COMMAND...',
  positionalsMin: 1,
  positionalsMax: 9,
  passThroughAfter: 1,
  options: {
    file: { short: 'f', value: 'FILE', multiple: true, help: '' },
    tail: { short: 'n', value: 'LINES', help: '' },
    quiet: { short: 'q', help: '' },
    tty: { short: 't', help: '' },
  },
  examples: [],
  run: () => Promise.resolve(0),
};

test('parseArguments() reads long, short, joined and repeated options', () => {
  const parsed = parseArguments(command, ['-qt', '-fone', '--file=two', '-n', '5', 'name']);
  expect([parsed.flag('quiet'), parsed.flag('tty')]).toEqual([true, true]);
  expect(parsed.values('file')).toEqual(['one', 'two']);
  expect(parsed.value('tail')).toBe('5');
  expect(parsed.positionals).toEqual(['name']);
});

test('parseArguments() leaves what belongs to another command alone', () => {
  expect(parseArguments(command, ['name', 'ls', '-la', '--', '-q']).positionals).toEqual([
    'name',
    'ls',
    '-la',
    '--',
    '-q',
  ]);
});

test('parseArguments() takes a lone dash as a value and a positional', () => {
  const parsed = parseArguments(command, ['-f', '-', '-']);
  expect([parsed.values('file'), parsed.positionals]).toEqual([['-'], ['-']]);
});

test.each([
  [['--quite', 'x'], 'Cannot use option --quite: unknown; did you mean --quiet?'],
  [['--quiet=yes', 'x'], 'Cannot use --quiet=yes: --quiet takes no value'],
  [['--tail'], 'Cannot use --tail: it needs a value (LINES)'],
  [[], 'Cannot run sample: it needs NAME COMMAND...'],
  [['-z', 'x'], 'Cannot use option -z: unknown'],
])('parseArguments() refuses %j', (argv, message) => {
  expect(() => parseArguments(command, argv)).toThrow(message);
});

test('--help asks for nothing else', () => {
  expect(parseArguments(command, ['--help']).flag('help')).toBe(true);
});

test('wholeNumber() takes whole numbers within bounds only', () => {
  expect(wholeNumber('12', 'a count')).toBe(12);
  for (const text of ['', '-1', '1.5', '1e3', 'many', '99999999999'])
    expect(() => wholeNumber(text, 'a count')).toThrow('Cannot use');
  expect(() => wholeNumber('0', 'a time-out', 1)).toThrow('from 1 up');
});

test('options of the application may stand before the command', () => {
  expect(hoistOptions(['-f', 'a.yaml', '--project-name=shop', 'logs', '-f'])).toEqual([
    'logs',
    '--file=a.yaml',
    '--project-name=shop',
    '-f',
  ]);
  expect(hoistOptions(['-H', 'unix:///x', 'node', 'ls'])).toEqual(['node', 'ls', '--host=unix:///x']);
  expect(hoistOptions(['up', '-f', 'a.yaml'])).toEqual(['up', '-f', 'a.yaml']);
});
