import { describe, expect, it } from 'vitest';
import { parseDotenv, parseRawEnvironment } from './dotenv.ts';

const outside = (name: string) => (name === 'OUTSIDE' ? 'from outside' : undefined);

function values(text: string): Record<string, string> {
  const result = parseDotenv(text, outside);
  expect(result.faults).toEqual([]);
  return Object.fromEntries(result.values);
}

describe('parseDotenv()', () => {
  it.each([
    ['A=1', { A: '1' }],
    ['A = 1 ', { A: '1' }],
    ['A=\u00A0\v1', { A: '1' }],
    ['A: 1', { A: '1' }],
    ['export A=1', { A: '1' }],
    ['export\tA=1\r\nB=2\r\n', { A: '1', B: '2' }],
    ['\uFEFFA=1', { A: '1' }],
    ['A=', { A: '' }],
    ['A=""', { A: '' }],
    ['# all\nA=1 # tail\n\n  B=2', { A: '1', B: '2' }],
    ['A=x#y', { A: 'x#y' }],
    ['A=#y', { A: '#y' }],
    ['A= # all', { A: '# all' }],
    ['A=x\t# all', { A: 'x\t# all' }],
    ['A=x # y # z', { A: 'x' }],
    ['A="x # y" # z', { A: 'x # y' }],
    ["A='$B \\n'", { A: '$B \\n' }],
    ["A='it\\'s'", { A: "it's" }],
    ['A="a\\tb\\nc\\\\d\\"e\\$F"', { A: 'a\tb\nc\\d"e$F' }],
    ['A="\\0123\\0101\\07\\0777\\c\\x41"', { A: 'SA\\07\\0777\\c\\x41' }],
    ['A="x"B=\'y\'', { A: 'x', B: 'y' }],
    ['A=$$B\nC="$$B"', { A: '$B', C: '$B' }],
    ['export=1\nexported=2', { export: '1', exported: '2' }],
    ['A="one\ntwo"\nB=3', { A: 'one\ntwo', B: '3' }],
    ['OUTSIDE', { OUTSIDE: 'from outside' }],
    ['NOWHERE', {}],
    ['A=1\nB=$A-${A}-${C:-c}', { A: '1', B: '1-1-c' }],
    ['OUTSIDE=inner\nB=$OUTSIDE', { OUTSIDE: 'inner', B: 'from outside' }],
    ['A.b-c[0]=1', { 'A.b-c[0]': '1' }],
    ['A=1\nA=2', { A: '2' }],
    ['A=a=b', { A: 'a=b' }],
  ])('reads %j', (text, expected) => {
    expect(values(text)).toEqual(expected);
  });

  it.each([
    ['A=1\nB C=2', 2, /does not begin with NAME=/u],
    ['=1', 1, /does not begin with NAME=/u],
    ['A=1\n\nB="open\nx', 3, /never closed/u],
    ['A=${', 1, /is not a variable/u],
    ['A=${B:?missing}', 1, /B is not set: missing/u],
  ])('refuses %j with its line', (text, line, message) => {
    const { faults } = parseDotenv(text, outside);
    expect(faults[0]).toMatchObject({ line, message: expect.stringMatching(message) as string });
  });

  it('goes on after a fault and finds the next one', () => {
    const result = parseDotenv('A B\nC=3\nD E', outside);
    expect(result.faults.map(({ line }) => line)).toEqual([1, 3]);
    expect(result.values.get('C')).toBe('3');
  });

  it('looks up variables outside, then above in the file, then in earlier files', () => {
    const earlier = (name: string) => `earlier ${name}`;
    const { values } = parseDotenv('A=1\nB=$A\nC=$OUTSIDE\nD=$E', outside, earlier);
    expect(Object.fromEntries(values)).toEqual({ A: '1', B: '1', C: 'from outside', D: 'earlier E' });
  });

  it('tells which variables stood for nothing', () => {
    expect([...parseDotenv('A=$X ${Y:-y}', outside).unset]).toEqual(['X']);
  });
});

describe('parseRawEnvironment()', () => {
  it('takes values as they stand', () => {
    const { values } = parseRawEnvironment('# c\nA="q" # $B\nB=\'x\'\nOUTSIDE\n\nC=a\\n', outside);
    expect(Object.fromEntries(values)).toEqual({
      A: '"q" # $B',
      B: "'x'",
      OUTSIDE: 'from outside',
      C: 'a\\n',
    });
  });

  it('refuses names with spaces', () => {
    expect(parseRawEnvironment('A=1\nB C=2', outside).faults).toMatchObject([{ line: 2 }]);
  });
});
