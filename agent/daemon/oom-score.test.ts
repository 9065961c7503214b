import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createLogger } from '../../src/util/log.ts';
import { protectFromOutOfMemory } from './oom-score.ts';

test('the daemon takes a lower score than containers have, keeps one that is lower still, and says when it may not', async () => {
  const directory = await mkdtemp('/tmp/shoal-oom-score-');
  const path = join(directory, 'score');
  const lines: string[] = [];
  const log = createLogger({ level: 'warn', now: () => 0, write: (line) => lines.push(line) });
  try {
    for (const [before, after] of [
      ['0', '-500'],
      ['-900', '-900'],
    ] as const) {
      await writeFile(path, before);
      protectFromOutOfMemory(log, path);
      expect(await readFile(path, 'utf8')).toBe(after);
    }
    expect(lines).toEqual([]);
    protectFromOutOfMemory(log, join(directory, 'nowhere/score'));
    expect(lines.join('')).toContain('may be ended before containers');
  } finally {
    await rm(directory, { recursive: true });
  }
});
