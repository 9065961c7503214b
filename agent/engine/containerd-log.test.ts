import { mkdtemp, open, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { rotateWhenLarge } from './containerd-log.ts';

test('a log that grew too large is put aside and emptied, and whoever has it open goes on writing', async () => {
  const directory = await mkdtemp('/tmp/shoal-containerd-log-');
  try {
    const path = join(directory, 'containerd.log');
    expect(await rotateWhenLarge(path, 10)).toBe(false);
    await using writer = await open(path, 'a');
    await writer.write('short\n');
    expect(await rotateWhenLarge(path, 10)).toBe(false);
    await writer.write('and longer\n');
    expect(await rotateWhenLarge(path, 10)).toBe(true);
    await writer.write('new\n');
    expect(await readFile(path, 'utf8')).toBe('new\n');
    expect(await readFile(`${path}.1`, 'utf8')).toBe('short\nand longer\n');
    expect((await stat(path)).size).toBe(4);
  } finally {
    await rm(directory, { recursive: true });
  }
});
