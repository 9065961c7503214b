import { describe, expect, it } from 'vitest';
import { numberText, resolvePlainScalar } from './scalar.ts';
import {
  durationMs,
  formatDuration,
  formatFileMode,
  parseBoolean,
  parseBytes,
  parseDuration,
  parseFileMode,
  parseInteger,
  parseNumber,
  splitWords,
} from './values.ts';

describe('resolvePlainScalar() reads as Go does:', () => {
  it.each([
    ['', null],
    ['~', null],
    ['null', null],
    ['NULL', null],
    ['nULL', 'nULL'],
    ['true', true],
    ['False', false],
    ['yes', 'yes'],
    ['on', 'on'],
    ['y', 'y'],
    ['0', 0],
    ['-12', -12],
    ['0440', 288],
    ['0o440', 288],
    ['-0o10', -8],
    ['089', 89],
    ['0x1F', 31],
    ['0b101', 5],
    ['1_000', 1000],
    ['_1', '_1'],
    ['1.10', 1.1],
    ['.5', 0.5],
    ['1e3', 1000],
    ['1e999', '1e999'],
    ['22:22', '22:22'],
    ['2001-01-01', '2001-01-01'],
    ['12345678901234567890', '12345678901234567890'],
    ['.inf', '.inf'],
    ['-', '-'],
    ['0x', '0x'],
    ['1.2.3', '1.2.3'],
  ])('%j is %j', (text, value) => {
    expect(resolvePlainScalar(text)).toBe(value);
  });
});

describe('numberText() writes as Go does:', () => {
  it.each([
    [1.1, '1.1'],
    [288, '288'],
    [1e3, '1000'],
    [1234567, '1234567'],
    [123456.5, '123456.5'],
    [1234567.5, '1.2345675e+06'],
    [1e20, '1e+20'],
    [1e21, '1e+21'],
    [0.00001, '1e-05'],
    [0.001, '0.001'],
    [-0, '-0'],
  ])('%d', (value, text) => {
    expect(numberText(value)).toBe(text);
  });
});

describe('durations', () => {
  it.each([
    ['10s', 10_000, '10s'],
    ['1m30s', 90_000, '1m30s'],
    ['1.5h', 5_400_000, '1h30m0s'],
    ['2d', 172_800_000, '48h0m0s'],
    ['1w', 604_800_000, '168h0m0s'],
    ['500ms', 500, '500ms'],
    ['1500us', 2, '1.5ms'],
    ['10µs', 1, '10µs'],
    ['5ns', 1, '5ns'],
    ['0', 0, '0s'],
    ['.5s', 500, '500ms'],
    ['61s', 61_000, '1m1s'],
  ])('%s', (text, ms, canonical) => {
    const nanoseconds = parseDuration(text)!;
    expect(formatDuration(nanoseconds)).toBe(canonical);
    expect(parseDuration(canonical)).toBe(nanoseconds);
    expect(durationMs(text)).toBe(ms);
  });

  it.each(['', '10', 's', '1x', '1 s', '1s ', '--1s', '1e3s', `${'9'.repeat(50)}h`, '1s'.repeat(200)])(
    '%j is none',
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );
});

describe('parseBytes()', () => {
  it.each([
    ['1024', 1024],
    ['1b', 1],
    ['64m', 67_108_864],
    ['1kb', 1024],
    ['1KiB', 1024],
    ['1.5 GiB', 1_610_612_736],
    ['0.1k', 102],
    ['2T', 2_199_023_255_552],
    ['.5k', 512],
    ['+1.k', 1024],
    ['1e3', 1000],
    ['-1', -1],
  ])('%s', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  it.each(['', 'm', '1x', '1 ', '-1m', '1mm', '1ib', '1,5g', '99999p'])('%j is none', (text) => {
    expect(parseBytes(text)).toBeUndefined();
  });
});

it('splitWords() splits at spaces, tabs and line breaks only', () => {
  expect(splitWords('a\tb\nc d\u00A0e')).toEqual({ words: ['a', 'b', 'c', 'd\u00A0e'] });
});

describe('small values', () => {
  it('reads booleans in any case', () => {
    expect(['yes', 'Y', 'TRUE', 'on'].map(parseBoolean)).toEqual([true, true, true, true]);
    expect(['no', 'N', 'False', 'OFF'].map(parseBoolean)).toEqual([false, false, false, false]);
    expect(['', '1', 'maybe'].map(parseBoolean)).toEqual([undefined, undefined, undefined]);
  });

  it('reads numbers and nothing like numbers', () => {
    expect(['1', '-3', '+4'].map(parseInteger)).toEqual([1, -3, 4]);
    expect(['', '1.5', '0x1', '1e3', '99999999999999999999'].map(parseInteger)).toEqual(
      Array(5).fill(undefined),
    );
    expect(['0.5', '.5', '2.', '1e3', '5E-1'].map(parseNumber)).toEqual([0.5, 0.5, 2, 1000, 0.5]);
    expect(['', '.', 'x', 'e3', '1e'].map(parseNumber)).toEqual(Array(5).fill(undefined));
  });

  it('reads file modes as octal text or as numbers', () => {
    expect([parseFileMode('0440'), parseFileMode('440'), parseFileMode('0o440'), parseFileMode(288)]).toEqual(
      Array(4).fill(0o440),
    );
    expect([parseFileMode('9'), parseFileMode(-1), parseFileMode(0o10000), parseFileMode('')]).toEqual(
      Array(4).fill(undefined),
    );
    expect(parseFileMode(formatFileMode(0o1777))).toBe(0o1777);
  });
});

describe('splitWords()', () => {
  it.each([
    ['', []],
    ['  a   b ', ['a', 'b']],
    [`a "b c" 'd e'`, ['a', 'b c', 'd e']],
    [`a"b"'c'`, ['abc']],
    [`'' ""`, ['', '']],
    [String.raw`a\ b \"c\"`, ['a b', '"c"']],
    [String.raw`'a\b' "a\"b"`, [String.raw`a\b`, 'a"b']],
    [`sh -c "a; b | c"`, ['sh', '-c', 'a; b | c']],
    ['a $HOME #b', ['a', '$HOME', '#b']],
  ])('%j', (text, words) => {
    expect(splitWords(text)).toEqual({ words });
  });

  it.each([
    ['a && b', /"&" outside quotes/u],
    ['a > b', /">" outside quotes/u],
    ['(a)', /"\(" outside quotes/u],
    ['a "b', /never closed/u],
    ['a \\', /ends in a backslash/u],
  ])('refuses %j', (text, fault) => {
    expect(splitWords(text)).toEqual({ fault: expect.stringMatching(fault) as string });
  });
});
