import { expect, test } from 'vitest';
import { exactSizeMax, kindOf, ruleset, setNames, sizeClass } from './rules.ts';

test('every size class has a chain, and every set is declared once by its kind', () => {
  const { text } = ruleset({ vxlanPort: 4789, managerPorts: [2377] });
  for (const endpoints of [1, exactSizeMax, exactSizeMax + 1, 1024]) {
    expect(text).toContain(`chain service_${sizeClass(endpoints)} {`);
    expect(text).toContain(`chain port_${sizeClass(endpoints)} {`);
  }
  for (const name of setNames) {
    expect(text.match(new RegExp(`^ *${kindOf(name)} ${name} \\{`, 'gm'))).toHaveLength(1);
  }
});

test('the version follows the text', () => {
  expect(ruleset({ vxlanPort: 4789, managerPorts: [2377] }).version).toBe(
    ruleset({ vxlanPort: 4789, managerPorts: [2377] }).version,
  );
  expect(ruleset({ vxlanPort: 4789, managerPorts: [2377] }).version).not.toBe(
    ruleset({ vxlanPort: 8472, managerPorts: [2377] }).version,
  );
});
