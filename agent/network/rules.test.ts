import { expect, test } from 'vitest';
import { assignmentSets, bridgeSets, exactSizeMax, kindOf, localSets, ruleset, sizeClass } from './rules.ts';

test('every size class has a chain, and every set is declared once by its kind', () => {
  const { text } = ruleset(4789);
  for (const endpoints of [1, exactSizeMax, exactSizeMax + 1, 1024]) {
    expect(text).toContain(`chain service_${sizeClass(endpoints)} {`);
    expect(text).toContain(`chain port_${sizeClass(endpoints)} {`);
  }
  for (const name of [...assignmentSets, ...localSets, ...bridgeSets]) {
    expect(text.match(new RegExp(`^ *${kindOf(name)} ${name} \\{`, 'gm'))).toHaveLength(1);
  }
});

test('the version follows the text', () => {
  expect(ruleset(4789).version).toBe(ruleset(4789).version);
  expect(ruleset(4789).version).not.toBe(ruleset(8472).version);
});
