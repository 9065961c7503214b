import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { knownDifferences } from './known.ts';

test('every known difference is a row of the document, and every row a known difference', () => {
  const text = readFileSync(join(import.meta.dirname, '../../docs/compose-differences.md'), 'utf8');
  const rows = [...text.matchAll(/^\| ([^|]+) \|/gmu)].map(([, name = '']) => name);
  const names = rows.filter((name) => name !== 'What' && !name.startsWith('---'));
  expect(names.toSorted()).toEqual([...new Set(knownDifferences.map(({ name }) => name))].toSorted());
});
