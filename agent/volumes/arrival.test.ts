import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Frame } from '../../src/wire/frames.ts';
import { Arrival } from './transfer.ts';

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** A copy that holds `folder/file`, and what becomes of it when another host sends these frames. */
async function taking(frames: Frame[]) {
  const top = await mkdtemp(join(tmpdir(), 'shoal-arrival-'));
  onTestFinished(() => rm(top, { recursive: true }));
  const arrival = new Arrival(join(top, 'arrival'));
  await arrival.open();
  await mkdir(join(arrival.data, 'folder'));
  await writeFile(join(arrival.data, 'folder/file'), '');
  async function* given() {
    yield* frames;
  }
  const send = () => Promise.resolve();
  const exchange = { frames: given(), send, tell: () => Promise.resolve() };
  const taken = arrival.take(new AbortController().signal, exchange);
  return { taken, left: () => readdir(arrival.data, { recursive: true }) };
}

test('what another host says is removed, if this one has listed it', async () => {
  const { taken, left } = await taking([
    { type: 'difference', payload: json({ remove: ['folder'] }) },
    { type: 'end', payload: Buffer.alloc(0) },
  ]);
  await taken;
  expect(await left()).toEqual([]);
});

test('nothing is removed after files have come, for a listed folder may be a link by then', async () => {
  const { taken, left } = await taking([
    { type: 'stdin', payload: Buffer.alloc(10_240) },
    { type: 'difference', payload: json({ remove: ['folder/file'] }) },
    { type: 'end', payload: Buffer.alloc(0) },
  ]);
  await expect(taken).rejects.toMatchObject({ code: 'invalid_argument' });
  expect(await left()).toContain('folder/file');
});

test('what this host has not listed is not removed, wherever it is', async () => {
  for (const path of ['../arrival.json', '/etc/passwd', 'folder/../..', '.', 'none']) {
    const { taken } = await taking([{ type: 'difference', payload: json({ remove: [path] }) }]);
    await expect(taken).rejects.toMatchObject({ code: 'invalid_argument' });
  }
});
