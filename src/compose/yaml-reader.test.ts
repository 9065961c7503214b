import { describe, expect, it } from 'vitest';
import { seededRandom } from '../util/random.ts';
import { Diagnostics } from './diagnostic.ts';
import { faultsOf } from './fixtures.ts';
import { parseYaml } from './parse.ts';
import { parseCompletely } from './yaml-complete.ts';
import type { TreeNode } from './tree.ts';
import { readQuickly } from './yaml-reader.ts';

/** Values, tags and places, as plain data; where nothing stands there is no place to compare. */
function shown(node: TreeNode): unknown {
  const { tag, at } = node;
  if (node.kind === 'scalar') return node.value === null ? [null, tag] : [node.value, at.offset, tag];
  if (node.kind === 'list') return [at.offset, tag, node.items.map(shown)];
  const entries = [...node.entries].map(([key, entry]) => [key, entry.keyAt.offset, shown(entry.value)]);
  return [at.offset, tag, entries];
}

function quickly(text: string): unknown {
  const result = readQuickly({ name: 'a.yaml', text });
  return 'trees' in result ? result.trees.map(shown) : undefined;
}

function completely(text: string): unknown {
  const diagnostics = new Diagnostics();
  const trees = parseCompletely({ name: 'a.yaml', text }, diagnostics);
  return diagnostics.hasErrors() ? 'errors' : trees.map(shown);
}

const everything = `a: b
  c d

  e # x
"q k": 'it''s
  two

  lines'
'k': "esc \\n \\u0041 \\\\ \\" x
   y
  z"
list:
- a
-   - b
    - c
- k: v
  l: [1, 2, {a: b, "c":d, e: , f}, ]
-
  m: n
- |
  lit
   more

  end
- >-
  fold
  ed

    ind
  x
- >+
  k

anchors: &x
  one: &y {a: 1}
  two: *y
use: {<<: *x, three: 3}
m2:
  <<: [*x, *y]
r: !reset
  - a
s: !override [a]
t: !!str 12
u: !reset null
v:
  plain
  more
w: 0440
e: [a b, c:d, -x, "y" , 'z']
--- # second
x: y
`;

const insertions = `\n|  | |- |: |:|#| #|"|'|[|]|{|}|,|>|>+|&a |*a|!reset |!!str |<<: |---\n|...\n|\t|?|? |~|%|@|\\|\\n|é|0x1|1:|x: y\n|- z\n|\n\n`;

/** Some lines of the text, brought to the margin, with a few characters lost, doubled or put in. */
function mutated(text: string, next: () => number): string {
  const pick = (count: number) => Math.floor(next() * count);
  const lines = text.split('\n');
  const from = pick(lines.length);
  const some = lines.slice(from, from + 1 + pick(14));
  const margin = /^ */u.exec(some[0]!)![0];
  let result = some.map((line) => (line.startsWith(margin) ? line.slice(margin.length) : line)).join('\n');
  const pieces = [...insertions.split('|'), '|', '|-'];
  for (let count = pick(5); count > 0; count -= 1) {
    const at = pick(result.length + 1);
    const piece = next() < 0.5 ? pieces[pick(pieces.length)]! : '';
    result = result.slice(0, at) + piece + result.slice(at + (piece === '' ? 1 + pick(4) : 0));
  }
  return next() < 0.5 ? result : `${result}\n`;
}

describe('the quick reader', () => {
  it('reads all common kinds of YAML as the complete one does, with the same places', () => {
    expect(quickly(everything)).toEqual(completely(everything));
  });

  it('agrees with the complete one on whatever it accepts of 5,000 damaged texts', () => {
    const random = seededRandom(1);
    let accepted = 0;
    for (let count = 0; count < 5000; count += 1) {
      const text = mutated(everything, () => random.next());
      const quick = quickly(text);
      if (quick === undefined) continue;
      accepted += 1;
      expect({ text, trees: quick }).toEqual({ text, trees: completely(text) });
    }
    expect(accepted).toBeGreaterThan(1000);
  });

  it('tells keys that are given twice as the complete one does, if nothing else is wrong', async () => {
    const random = seededRandom(2);
    let told = 0;
    for (let count = 0; count < 5000; count += 1) {
      const lines = mutated(everything, () => random.next()).split('\n');
      const again = Math.floor(random.next() * lines.length);
      const text = lines.flatMap((line, index) => (index === again ? [line, line] : [line])).join('\n');
      const file = { name: 'a.yaml', text };
      if (!('repeats' in readQuickly(file))) continue;
      told += 1;
      const [quick, complete] = [new Diagnostics(), new Diagnostics()];
      const trees = (await parseYaml(file, quick)).map(shown);
      expect({ text, trees }).toEqual({ text, trees: parseCompletely(file, complete).map(shown) });
      expect({ text, errors: quick.errors() }).toEqual({ text, errors: complete.errors() });
    }
    expect(told).toBeGreaterThan(200);
  });

  it.each([
    ['in a list', 'a:\n  - b: 1\n    b: 2', 'a[0].b'],
    ['within brackets', 'a: [[x, { b: 1, "b": 2 }]]', 'a[0][1].b'],
    ['in what is merged', 'a:\n  <<: { b: 1, b: 2 }\n  c: 3', 'a["<<"].b'],
    ['below another of them', 'a: 1\na: { b: 1, b: 2 }', 'a.b'],
  ])('tells where a key is given twice: %s', async (_, text, path) => {
    const diagnostics = new Diagnostics();
    await parseYaml({ name: 'a.yaml', text }, diagnostics);
    expect(diagnostics.errors().map((error) => error.path)).toContain(path);
    const complete = new Diagnostics();
    parseCompletely({ name: 'a.yaml', text }, complete);
    expect(diagnostics.errors()).toEqual(complete.errors());
  });

  it.each([
    '%YAML 1.2\n---\na: b',
    '? a\n: b',
    '[a: b]',
    'a: b: c',
    'a: &x',
    '1: a',
    'a: 1\na: 2',
    '&a k: v',
    'a: "\\q"',
    'a: "x',
    'a: [b',
    'a:\n\tb: c',
    'a: *b',
    'a: !!int 1',
    '"a\u0001": b',
    'a: "x" y',
    'a: b\n c: d',
    'a: |\n     \n  b',
  ])('leaves %j to the complete one', (text) => {
    expect(quickly(text)).toBeUndefined();
  });

  it.each([
    ['too long a map', Array.from({ length: 10_001 }, (_, index) => `k${index}: 1`).join('\n'), /too long/u],
    ['too long a list', `a: [${'1,'.repeat(10_001)}]`, /too long/u],
    ['too deep a list', '['.repeat(101), /too deeply/u],
  ])('refuses %s, with its place', async (_, text, message) => {
    const [fault] = await faultsOf(text);
    expect(fault!.message).toMatch(message);
    expect(fault!.line).toBeGreaterThan(0);
  });

  it('is the only reader of large files, which says where it stopped', async () => {
    const [fault] = await faultsOf(`${'# filler\n'.repeat(120_000)}? a\n: b\n`);
    expect(fault).toMatchObject({ line: 120_001, message: 'this is not YAML: no value begins with ?' });
  });
});
