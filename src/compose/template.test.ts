import { describe, expect, it } from 'vitest';
import { substitute } from './template.ts';

const variables: Record<string, string> = { SET: 'value', EMPTY: '', OTHER: 'other', _x1: 'under' };

function run(text: string): { result: ReturnType<typeof substitute>; unset: string[] } {
  const unset: string[] = [];
  const lookup = (name: string) => (Object.hasOwn(variables, name) ? variables[name] : undefined);
  return { result: substitute(text, lookup, (name) => unset.push(name)), unset };
}

describe('substitute()', () => {
  it.each([
    ['plain', 'plain'],
    ['$SET', 'value'],
    ['${SET}', 'value'],
    ['a${SET}b$OTHER', 'avaluebother'],
    ['$SET-bar', 'value-bar'],
    ['$_x1', 'under'],
    ['$$SET', '$SET'],
    ['$$$SET', '$value'],
    ['${EMPTY:-d}', 'd'],
    ['${EMPTY-d}', ''],
    ['${NONE-d}', 'd'],
    ['${NONE:-}', ''],
    ['${SET:-d}', 'value'],
    ['${SET:+a}', 'a'],
    ['${EMPTY:+a}', ''],
    ['${EMPTY+a}', 'a'],
    ['${NONE+a}', ''],
    ['${SET:?e}', 'value'],
    ['${EMPTY?e}', ''],
    ['${NONE:-${EMPTY:-z}}', 'z'],
    ['${NONE:-${SET}-$OTHER}', 'value-other'],
    ['${NONE:-{"a":1}}', '{"a":1}'],
    ['${NONE-x?y}', 'x?y'],
    ['${NONE:-/non:-alnum}', '/non:-alnum'],
    ['${SET:-${NONE:?never looked at}}', 'value'],
    ['${NONE:+${NONE:?never looked at}}', ''],
    ['$', '$'],
    ['a $ b', 'a $ b'],
    ['$}', '$}'],
    ['^R$', '^R$'],
    ['$1', '$1'],
    ['${NONE:-a$$b}', 'a$b'],
  ])('%s is %j', (text, value) => {
    expect(run(text)).toEqual({ result: { value }, unset: [] });
  });

  it.each([
    ['${', /is not a variable/u],
    ['${}', /is not a variable/u],
    ['${ a}', /is not a variable/u],
    ['${a }', /is not a variable/u],
    ['${a!}', /is not a variable/u],
    ['${SET', /is not a variable/u],
    ['${NONE:-a\nb}', /is not a variable/u],
    ['${NONE:-${a!}}', /"\$\{a!\}" is not a variable/u],
    ['${NONE:?need $SET}', /NONE is not set: need value/u],
    ['${EMPTY:?}', /EMPTY is empty$/u],
    ['${NONE?}', /NONE is not set$/u],
    [`${'${NONE:-'.repeat(100)}x${'}'.repeat(100)}`, /nested too deeply/u],
  ])('refuses %s', (text, fault) => {
    expect(run(text).result).toMatchObject({ fault: expect.stringMatching(fault) as string });
  });

  it('tells of variables that are not set, only where they are used', () => {
    expect(run('$NONE ${GONE} ${SET:-$UNUSED} ${MISSING:-x}').unset).toEqual(['NONE', 'GONE']);
  });

  it('refuses a value that would grow beyond all bounds', () => {
    const long = 'x'.repeat(100_000);
    const result = substitute(
      '$A'.repeat(100),
      () => long,
      () => undefined,
    );
    expect(result).toMatchObject({ fault: 'the value grows too large' });
  });
});
