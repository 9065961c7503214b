import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { expect, test } from 'vitest';
import { version } from '../src/spec/version.ts';

const root = join(import.meta.dirname, '..');
const functionLinesMax = 70;
const fileLinesMax = 500;

interface Source {
  path: string;
  text: string;
  lines: string[];
}

function sources(): Source[] {
  return ['src', 'agent', 'manager', 'test', 'samples', 'bin'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.(ts|mjs)$/.test(entry.name))
      .map((entry) => {
        const path = join(entry.parentPath, entry.name);
        const text = readFileSync(path, 'utf8');
        return { path: relative(root, path), text, lines: text.split('\n') };
      }),
  );
}

const files = sources();

/** Code without comments and without what stands in quotes: enough to look for names in. */
function codeOf(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/.*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, (match) =>
    match.replace(/[^\n]/g, ' '),
  );
}

/**
 * The formatter indents regularly, so a function or method ends at the first line that closes at the depth it began at.
 * Callbacks of `test` and `describe` are not functions anybody calls; arrow functions in a line are short anyway.
 */
function longFunctions({ path, lines }: Source): string[] {
  return lines.flatMap((line, index) => {
    const opens =
      /^(\s*)(export )?(default )?(async )?function\b/.exec(line) ??
      /^(\s+)(static |override |private )?(async )?[*#]?[\w[\].#]+\([^;]*\{$/.exec(line) ??
      /^(\s*)(export )?const \w+ = (async )?(\([^;]*\)|\w+)(: [^=]+)? =>.*\{$/.exec(line);
    if (!opens || /^\s*(if|for|while|switch|return|test|describe|await|expect)\b/.test(line)) return [];
    const close = lines.findIndex((each, at) => at > index && each.startsWith(`${opens[1]}}`));
    const length = close === -1 ? 0 : close - index + 1;
    return length > functionLinesMax ? [`${path}:${index + 1} (${length} lines)`] : [];
  });
}

/** Imports run one way; every part may import from itself and from what is listed. */
const layers: Record<string, string[]> = {
  'src/util': [],
  'src/spec': ['src/util'],
  'src/wire': ['src/spec', 'src/util'],
  'src/registry': ['src/util'],
  'src/compose': ['src/wire', 'src/spec', 'src/util'],
  'src/cli': ['src/compose', 'src/registry', 'src/wire', 'src/spec', 'src/util'],
  manager: ['src/wire', 'src/spec', 'src/util'],
  agent: ['src/registry', 'src/wire', 'src/spec', 'src/util'],
};

/** Each loop is a folder; they meet in the store only. `main.ts` beside them starts them. */
const loops = ['orchestrator', 'allocator', 'scheduler', 'dispatcher'].map((name) => `manager/${name}`);

function importsOf({ path, lines }: Source): string[] {
  return lines.flatMap((line) => {
    const found = /(?:from|import\() ?'(\.[^']+)'/.exec(line);
    return found ? [relative(root, join(root, path, '..', found[1]!))] : [];
  });
}

/** What is shipped: tests and what only they use (as in tsconfig.build.json) may import anything. */
function isProduct({ path }: Source): boolean {
  return /^(src|agent|manager)\//.test(path) && !/(\.test|\/testing|\/fake-[^/]+)\.ts$/.test(path);
}

test('files have at most 500 lines', () => {
  const long = files.filter(({ lines }) => lines.length - 1 > fileLinesMax);
  expect(long.map(({ path, lines }) => `${path} (${lines.length - 1})`)).toEqual([]);
});

test('functions have at most 70 lines', () => {
  expect(files.flatMap(longFunctions)).toEqual([]);
});

test('imports run one way', () => {
  const wrong = files.filter(isProduct).flatMap((file) => {
    const layer = Object.keys(layers).find((each) => file.path.startsWith(`${each}/`));
    if (layer === undefined) return []; // src/main.ts puts the parts together
    const allowed = [layer, ...layers[layer]!];
    return importsOf(file)
      .filter((target) => !allowed.some((each) => target.startsWith(`${each}/`)))
      .map((target) => `${file.path} → ${target}`);
  });
  expect(wrong).toEqual([]);
});

test('no file imports itself through others', () => {
  const imports = new Map(files.filter(isProduct).map((file) => [file.path, importsOf(file)]));
  const state = new Map<string, 'open' | 'done'>();
  const circles: string[] = [];
  const visit = (path: string, chain: string[]) => {
    if (state.get(path) === 'open') circles.push([...chain.slice(chain.indexOf(path)), path].join(' → '));
    if (state.has(path)) return;
    state.set(path, 'open');
    for (const target of imports.get(path) ?? []) visit(target, [...chain, path]);
    state.set(path, 'done');
  };
  for (const path of imports.keys()) visit(path, []);
  expect(circles).toEqual([]);
});

test('loops never import loops', () => {
  const wrong = files.filter(isProduct).flatMap((file) => {
    const own = loops.find((loop) => file.path.startsWith(`${loop}/`));
    if (own === undefined) return [];
    const others = loops.filter((loop) => loop !== own);
    return importsOf(file)
      .filter((target) => others.some((loop) => target.startsWith(`${loop}/`)))
      .map((target) => `${file.path} → ${target}`);
  });
  expect(wrong).toEqual([]);
});

test('time and chance come from src/util only', () => {
  const own = /^src\/util\/(clock|random)\.ts$/;
  const banned = /\b(Date\.now|new Date\(\)|Math\.random|setTimeout|setInterval)\b|new Date\(\)/;
  const wrong = files
    .filter(
      ({ path }) =>
        /^(src|agent|manager|test)\/.*\.ts$/.test(path) && !own.test(path) && path !== 'test/tidy.test.ts',
    )
    .flatMap(({ path, text }) =>
      codeOf(text)
        .split('\n')
        .flatMap((line, index) => (banned.test(line) ? [`${path}:${index + 1} ${line.trim()}`] : [])),
    );
  expect(wrong).toEqual([]);
});

test('no note to ourselves is left in the code', () => {
  const marker = new RegExp(['TO', 'DO|FIX', 'ME|X', 'XX'].join(''));
  const wrong = files.flatMap(({ path, lines }) =>
    lines.flatMap((line, index) => (marker.test(line) ? [`${path}:${index + 1}`] : [])),
  );
  expect(wrong).toEqual([]);
});

test('the version in the code is the one of the package', () => {
  const { version: packaged } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    version: string;
  };
  expect(version).toBe(packaged);
});
