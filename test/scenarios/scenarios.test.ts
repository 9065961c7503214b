import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Script } from './script.ts';

/**
 * Every `*.txt` beside this file is a scenario: `> command`, then what it must print, and free text after `#`.
 * `UPDATE_GOLDEN=1` writes what is printed now into the files; look at the difference before keeping it.
 */
const folder = import.meta.dirname;
const updating = process.env['UPDATE_GOLDEN'] === '1';

for (const file of readdirSync(folder).filter((name) => name.endsWith('.txt'))) {
  test(`the cluster does what ${file} says`, async () => {
    const path = join(folder, file);
    const golden = readFileSync(path, 'utf8');
    const actual = await replay(golden);
    if (updating) writeFileSync(path, actual);
    else expect(actual).toBe(golden);
  });
}

/** The file's own comments and commands, with what the commands print now. */
async function replay(golden: string): Promise<string> {
  const script = await Script.open();
  const lines: string[] = [];
  try {
    for (const line of golden.trimEnd().split('\n')) {
      if (line.startsWith('#')) lines.push(line);
      if (!line.startsWith('> ')) continue;
      lines.push(line, ...(await script.run(line.slice(2))).map((text) => `    ${text}`), '');
    }
  } finally {
    await script.close();
  }
  return `${lines.join('\n').trimEnd()}\n`;
}
