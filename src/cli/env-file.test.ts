import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tryCommand } from '../util/command.ts';

const program = join(import.meta.dirname, '../../bin/shoal.mjs');

test('--env-file is read by shoal and not by Node, which has an option of that name', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-env-file-'));
  try {
    const compose = join(folder, 'compose.yaml');
    const variables = join(folder, 'production.env');
    await writeFile(compose, 'services: { a: { image: "x:${TAG}" } }\n');
    await writeFile(variables, 'TAG=7\nNODE_OPTIONS=--require=/nowhere.js\n');
    const config = (file: string) => tryCommand(program, ['config', '-f', compose, '--env-file', file]);
    const { exitCode, stdout } = await config(variables);
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining('image: x:7')]);
    expect(await config(join(folder, 'missing.env'))).toMatchObject({ exitCode: 1 });
  } finally {
    await rm(folder, { recursive: true });
  }
});
