import http from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startTestManager } from '../../manager/testing.ts';
import { contextOf } from '../../test/cli-samples.ts';
import { ManualClock } from '../../test/manual-clock.ts';
import { ShoalError } from '../util/errors.ts';
import { connect } from '../wire/client.ts';
import { parseArguments } from './arguments.ts';
import { command } from './commands/up.ts';
import { untilAnswered } from './lost-answer.ts';

/** What is between the command and the manager, and breaks the first change before or after the manager has it. */
async function brokenOnce(
  breaks: 'before' | 'after',
  meanwhile: () => Promise<unknown> = async () => undefined,
) {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-lost-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const manager = await startTestManager();
  onTestFinished(() => manager[Symbol.asyncDispose]());
  let broken = false;
  const proxy = http.createServer((request, response) => {
    const isFirst = request.method === 'PUT' && !broken;
    if (isFirst) broken = true;
    if (isFirst && breaks === 'before') {
      request.socket.destroy();
      return;
    }
    const { method, url: path, headers } = request;
    const onward = http.request({ socketPath: manager.socketPath, method, path, headers }, (answer) => {
      if (isFirst) answer.resume().on('end', () => void meanwhile().then(() => request.socket.destroy()));
      else answer.pipe(response.writeHead(answer.statusCode!, answer.headers));
    });
    request.pipe(onward);
  });
  const socketPath = join(folder, 'proxy.sock');
  await new Promise<void>((resolve) => proxy.listen(socketPath, resolve));
  onTestFinished(() => void proxy.close());
  const client = connect(`unix://${socketPath}`);
  onTestFinished(() => client.close());
  await writeFile(join(folder, 'compose.yaml'), 'name: shop\nservices: { web: { image: nginx } }');
  const { context, notes } = contextOf(client, folder);
  const up = (...argv: string[]) => command.run(context, parseArguments(command, argv));
  return { manager, notes, up };
}

test.each(['before', 'after'] as const)(
  'an up whose connection breaks %s the manager has it changes once',
  async (when) => {
    const { manager, notes, up } = await brokenOnce(when);
    expect(await up('--detach')).toBe(0);
    expect(notes[0]).toMatch(/^warning: no answer, asking again: Cannot reach Shoal/);
    expect(notes[1]).toMatch(/^shop: \d objects? to create$/);
    const { revision } = manager.database.view.serviceByName('shop_web')!;
    expect(manager.database.view.serviceByName('shop_web')?.versions).toHaveLength(1);
    await up('--detach');
    expect(manager.database.view.serviceByName('shop_web')?.revision).toBe(revision);
  },
);

test('one that somebody has changed again meanwhile is overtaken, and does not change it back', async () => {
  const { manager, up } = await brokenOnce('after', async () => {
    const { database, client } = manager;
    const { spec } = database.view.serviceByName('shop_web')!;
    const task = { ...spec.task, forceUpdate: 1 };
    const networks = database.view.networks
      .values()
      .map((network) => network.spec)
      .toArray();
    const rest = { volumes: [], secrets: [], configs: [] };
    await client.request('PUT', '/applications/shop', {
      name: 'shop',
      services: [{ ...spec, task }],
      networks,
      ...rest,
    });
  });
  await expect(up()).rejects.toMatchObject({
    code: 'overtaken',
    message: expect.stringContaining('it was changed to version 2 by ') as string,
  });
  expect(manager.database.view.serviceByName('shop_web')?.versions).toHaveLength(2);
});

test('nobody who answers for long is told as not known, and a connection that never was at once', async () => {
  const clock = new ManualClock();
  const signal = new AbortController().signal;
  const lost = new ShoalError('unavailable', 'Cannot reach it: socket hang up');
  let sent = 0;
  const ended = untilAnswered(() => (sent++, Promise.reject(lost)), {
    what: 'shop',
    onLost: () => undefined,
    signal,
    clock,
  });
  const outcome = expect(ended).rejects.toMatchObject({
    code: 'unavailable',
    message: 'Cannot tell whether shop was changed: Cannot reach it: socket hang up',
  });
  for (let second = 0; second < 40; second++) {
    await new Promise(setImmediate);
    clock.advance(1_000);
  }
  await outcome;
  expect(sent).toBeGreaterThan(10);
  const refused = new ShoalError('unavailable', 'nothing listens there', { cause: { code: 'ECONNREFUSED' } });
  const never = () => Promise.reject(refused);
  await expect(untilAnswered(never, { what: 'shop', onLost: () => undefined, signal, clock })).rejects.toBe(
    refused,
  );
});
