import { describe, expect, it } from 'vitest';
import { codeOf } from '../util/errors.ts';
import type { Attribute } from './attribute.ts';
import { faultsOf, load, loadPrinted } from './fixtures.ts';
import { renderCanonical } from './render.ts';
import { composeSchema } from './schema.ts';
import { serviceRows, type Row } from './table-rows.ts';
import { topRows } from './table-rows-top.ts';
import { rowsWithin } from './table-rows-within.ts';
import { given, ofService, ofTop } from './table-text.ts';

/** Each attribute of the language, written rightly, written wrongly, and written as Shoal does not run it. */

/** Every path of the schema below an attribute, but for keys with dots in them: those are in the row of their map. */
function pathsOf(attribute: Attribute, path: string): string[] {
  const entries = Object.entries(attribute.properties ?? {}).filter(([key]) => !key.includes('.'));
  const own = entries.flatMap(([key, child]) => {
    const at = path === '' ? key : `${path}.${key}`;
    return [at, ...pathsOf(child, at)];
  });
  const { items, additionalProperties: entry } = attribute;
  const inItems = items === undefined ? [] : pathsOf(items, `${path}[]`);
  return [...own, ...inItems, ...(typeof entry === 'object' ? pathsOf(entry, `${path}.*`) : [])];
}

const isOfService = (path: string) => path.startsWith('services.*.');
const allPaths = pathsOf(composeSchema, '');
const all: [string, readonly Row[], typeof ofTop, string[]][] = [
  [
    'a service',
    [...serviceRows, ...rowsWithin],
    ofService,
    allPaths.filter(isOfService).map((path) => path.slice('services.*.'.length)),
  ],
  ['the top level', topRows, ofTop, allPaths.filter((path) => !isOfService(path))],
];

const pairs = (rows: readonly Row[], side: 1 | 2 | 3) =>
  rows.flatMap((row) => (row[side] ?? []).map((value) => [row[0], value] as const));

/** The line on which the attribute of a path is. */
function lineOf(text: string, path: string): number {
  const [attribute = ''] = path.split(/[.[]/u);
  return 1 + text.split('\n').findIndex((line) => line.trimStart().startsWith(`${attribute}: `));
}

describe.each(all)('an attribute of %s', (_, rows, write, paths) => {
  it.each(pairs(rows, 1))('%s: %s runs, and its canonical form means the same', async (path, value) => {
    const first = await load(write(path, value), given);
    const again = await load(renderCanonical(first.canonical, 'yaml'), given);
    expect(again.canonical).toEqual(first.canonical);
    expect(again.application).toEqual(first.application);
  });

  it.each(pairs(rows, 2))('%s: %s is wrong, also when it is only printed', async (path, value) => {
    const text = write(path, value);
    const error: unknown = await loadPrinted(text, given).catch((fault: unknown) => fault);
    expect(codeOf(error)).toBe('invalid_file');
    const lines = (await faultsOf(text, given)).map(({ line }) => line);
    expect(lines).toContain(lineOf(text, path));
  });

  it.each(pairs(rows, 3))('%s: %s is printed with a warning, and not run', async (path, value) => {
    const text = write(path, value);
    const { canonical, warnings } = await loadPrinted(text, given);
    const refusals = warnings.filter(({ refused }) => refused);
    expect(refusals.map(({ message }) => message.split(': ')[0])).toContain('shoal up refuses this');
    const again = await loadPrinted(renderCanonical(canonical, 'yaml'), given);
    expect(again.canonical).toEqual(canonical);
    expect(codeOf(await load(text, given).catch((fault: unknown) => fault))).toBe('not_supported');
    const [first] = await faultsOf(text, given);
    expect(first!.line).toBeGreaterThanOrEqual(lineOf(text, path));
  });

  it('has a row in the tables, and each row an attribute', () => {
    expect(rows.map(([path]) => path).toSorted()).toEqual(paths.toSorted());
  });
});
