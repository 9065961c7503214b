import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  canonicalRows,
  disk,
  specRows,
  surroundings,
  topLevelRows,
} from '../../src/compose/attribute-rows.ts';
import { settingRows } from '../../src/compose/setting-rows.ts';
import { serviceRows, type Row } from '../../src/compose/table-rows.ts';
import { topRows } from '../../src/compose/table-rows-top.ts';
import { rowsWithin } from '../../src/compose/table-rows-within.ts';
import { given, ofService, ofTop, using } from '../../src/compose/table-text.ts';
import type { Random } from '../../src/util/random.ts';

/** The documents that mutation begins with, and the mutation. */

const root = join(import.meta.dirname, '../..');

const handWritten = [
  'services:\n  a: { extends: { service: b } }\n  b: { image: x, profiles: [p], extends: { service: c, file: base.yaml } }\n',
  'include: [base.yaml, { path: base.yaml, env_file: a.env }]\nservices: { a: { image: "${A:-${B:+c}}$$" } }\n',
  'services: { a: { image: x, ports: ["80:80", 90] } }\n---\nservices: { a: { ports: !override [1], image: !reset null } }\n',
  'x-a: &a { image: x, labels: [a=b] }\nservices:\n  one: *a\n  two: { <<: *a, command: >-\n      run\n      this }\n',
];

/** The files that documents can name, by absolute path. */
export const files: Record<string, string> = {
  ...given.disk,
  ...disk,
  '/app/base.yaml': 'services: { c: { image: base, environment: [A=1] } }\n',
  '/app/a.env': 'A=1\nB="two words"\n',
};

/** A document, and which row of a table it is made of. */
export interface RowText {
  name: string;
  text: string;
}

/** All that the tables of the language hold: what runs, what is refused, and what is wrong. They name the files `given`. */
export function tableTexts(): RowText[] {
  const written = (rows: readonly Row[], write: typeof ofTop) =>
    rows.flatMap(([path, right, wrong, refused = []]) =>
      [...right, ...wrong, ...refused].map((value) => ({
        name: `table ${path}: ${value}`,
        text: write(path, value),
      })),
    );
  return [...written([...serviceRows, ...rowsWithin], ofService), ...written(topRows, ofTop)];
}

/** Every row of the attribute tables, at the service or the top level that it is about. They name the files `disk`. */
export function rowTexts(): RowText[] {
  const services = [...canonicalRows, ...specRows, ...settingRows].map(([row]) => ({
    name: `row ${row}`,
    text: `name: app\nservices:\n  db: { image: redis }\n  web:\n    image: nginx\n    ${row}\n${surroundings}`,
  }));
  const top = topLevelRows.map(([row]) => ({ name: `row ${row}`, text: using(row) }));
  return [...services, ...top];
}

/** Every sample, every golden file and every row of the attribute tables, as a document of its own. */
export function corpus(): string[] {
  const samples = readdirSync(join(root, 'samples'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => `samples/${name}/compose.yaml`);
  const golden = readdirSync(join(root, 'src/compose/golden'))
    .filter((name) => name.endsWith('.compose.yaml'))
    .map((name) => `src/compose/golden/${name}`);
  const whole = [...samples, ...golden].map((path) => readFileSync(join(root, path), 'utf8'));
  const rows = [...rowTexts(), ...tableTexts()].map(({ text }) => text);
  return [...whole, ...handWritten, ...rows];
}

/** What YAML is made of, and what it is not. */
const marks = [
  '\n',
  ' ',
  '  ',
  ':',
  ': ',
  '- ',
  '#',
  ' #',
  '"',
  "'",
  '[',
  ']',
  '{',
  '}',
  ',',
  '|',
  '>',
  '|+',
  '>-',
  '&a ',
  '*a',
  '!reset ',
  '!override ',
  '!!str ',
  '!x ',
  '<<: ',
  '---\n',
  '...\n',
  '\t',
  '?',
  '? ',
  '~',
  '%',
  '@',
  '`',
  '\\',
  '\\u0000',
  '\\n',
  '\r\n',
  '\u0000',
  '\u001B',
  '\u202E',
  '\u200B',
  '\uFEFF',
  '\uD800',
];

/** Values and keys that mean something somewhere. */
const words = [
  'null true yes -1 0 1e999 0x10 0o7 99999999999999999999 .inf 1.5 2020-01-01 10s 1d -5m 64m 1.5g 80:80',
  '$ $$ ${ ${A ${A} ${A:-x} ${A:?no} ${NONE?} ${A+${B}} __proto__ constructor 1-70000 [::1]:80:80 a:b:c:d',
  '/x:/y:ro ../.. / "" [] {} [a] {a:b} web db data front pw page *a image: extends: include: services:',
  'build: develop: watch: gpus: all models: provider: links: external: driver: driver_opts: network_mode: service:db',
  'profiles: x-y: deploy: environment: ports: volumes: networks: healthcheck: command: secrets: configs:',
].flatMap((line) => line.split(' '));

/** One to three damages to a document; now and then a part of another is put in. */
export function mutate(documents: readonly string[], random: Random): string {
  const pick = (count: number) => Math.floor(random.next() * count);
  let text = documents[pick(documents.length)]!;
  for (let count = 1 + pick(3); count > 0; count -= 1) {
    const at = pick(text.length + 1);
    const [before, after] = [text.slice(0, at), text.slice(at)];
    switch (pick(10)) {
      case 0:
        text = before + after.slice(1 + pick(8));
        break;
      case 1:
        text = before + marks[pick(marks.length)]! + after;
        break;
      case 2:
        text = before + marks[pick(marks.length)]! + after.slice(1 + pick(8));
        break;
      case 3:
        text = withLines(text, pick, (lines, from, to) => lines.splice(to, 0, lines[from]!));
        break;
      case 4:
        text = withLines(text, pick, (lines, from) => lines.splice(from, 1));
        break;
      case 5:
        text = withLines(text, pick, (lines, from) => {
          const line = lines[from]!;
          lines[from] = line.startsWith('  ') && pick(2) === 0 ? line.slice(2) : `  ${line}`;
        });
        break;
      case 6:
      case 7:
      case 8:
        text = withWord(text, pick, () => words[pick(words.length)]!);
        break;
      default: {
        const other = documents[pick(documents.length)]!;
        const start = pick(other.length);
        text = before + other.slice(start, start + pick(60)) + after;
      }
    }
  }
  return text;
}

/** With one of its words replaced. */
function withWord(text: string, pick: (count: number) => number, word: () => string): string {
  const found = [...text.matchAll(/[^\s,[\]{}]+/gu)];
  const { 0: old = '', index = 0 } = found[pick(found.length)] ?? {};
  return text.slice(0, index) + word() + text.slice(index + old.length);
}

function withLines(
  text: string,
  pick: (count: number) => number,
  change: (lines: string[], from: number, to: number) => unknown,
): string {
  const lines = text.split('\n');
  change(lines, pick(lines.length), pick(lines.length));
  return lines.join('\n');
}
