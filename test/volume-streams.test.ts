import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { StreamServer, type StreamParts } from '../agent/session/streams.ts';
import { createVolumes } from '../agent/volumes/volumes.ts';
import { startTestManager, until } from '../manager/testing.ts';
import { systemClock } from '../src/util/clock.ts';
import { silentLogger } from '../src/util/log.ts';
import { errorOf, type ExecConnection } from '../src/wire/client.ts';
import { readFrame } from '../src/wire/check.ts';
import { FakeEngine } from '../agent/worker/fake-engine.ts';

/** What a stream gives until it ends; throws what the other side says. */
async function received({ frames }: ExecConnection): Promise<{ bytes: Buffer; exitCode: number }> {
  const chunks: Buffer[] = [];
  for await (const { type, payload } of frames) {
    if (type === 'stdout') chunks.push(payload);
    if (type === 'error') throw errorOf(readFrame('error', payload));
    if (type === 'exit')
      return { bytes: Buffer.concat(chunks), exitCode: readFrame('exit', payload).exitCode };
  }
  throw new Error('the stream broke');
}

test('a volume goes from a host through a manager to a caller, and back into another volume', async () => {
  const stateDirectory = await mkdtemp(join(tmpdir(), 'shoal-volume-streams-'));
  onTestFinished(() => rm(stateDirectory, { recursive: true }));
  const volumes = createVolumes({ stateDirectory, copyImageContent: () => Promise.resolve() });
  const mount = { type: 'volume', source: 'one', target: '/d', readOnly: false } as const;
  await volumes.prepare('t', FakeEngine.image('web'), [mount]);
  const content = 'x'.repeat(3_000_000);
  const data = join(stateDirectory, 'volumes/one/data/file');
  await writeFile(data, content);

  await using manager = await startTestManager();
  const { client } = manager;
  const agent = await manager.agent(await manager.join('worker'));
  await agent.greet();
  const server = new StreamServer({
    clock: systemClock,
    log: silentLogger,
    exportVolume: (name: string) => volumes.pack(name),
    importVolume: (...all: Parameters<StreamParts['importVolume']>) => volumes.unpack(...all),
  } as StreamParts);
  onTestFinished(() => server.close());
  let served = 0;
  const serveNext = async () => {
    const asked = await until(() => agent.messages.filter((message) => message.type === 'stream')[served]);
    served++;
    await server.serve(asked.request, () => agent.dial(asked.streamId));
  };
  for (const name of ['one', 'two']) await client.request('POST', '/volumes', { name });
  await expect(client.volumeStream('one', 'backup', '')).rejects.toThrow('Cannot tell which node is meant');
  const query = `?node=${agent.nodeId}`;

  const backup = client.volumeStream('one', 'backup', query).then(received);
  await serveNext();
  const { bytes, exitCode } = await backup;
  expect(exitCode).toBe(0);

  const restore = async (name: string, content: Buffer) => {
    const connection = await client.volumeStream(name, 'restore', query);
    const end = received(connection);
    for (let at = 0; at < content.length; at += 200_000) {
      await connection.send('stdin', content.subarray(at, at + 200_000));
    }
    await connection.send('end', '');
    return await end;
  };
  await Promise.all([restore('two', bytes), serveNext()]);
  expect(await readFile(join(stateDirectory, 'volumes/two/data/file'), 'utf8')).toBe(content);
  const inUse = expect(restore('one', bytes)).rejects.toThrow(
    /Cannot replace volume one: a task here still uses it/,
  );
  await Promise.all([inUse, serveNext()]);
  expect(await readFile(data, 'utf8')).toBe(content);
});
