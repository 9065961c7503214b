import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../util/clock.ts';
import { retry } from '../util/retry.ts';
import { isRetryable, pauseAfter, RepositoryClient, retryAfterMs } from './client.ts';
import { digestOf } from './content.ts';
import { registryLimits } from './limits.ts';
import { parseReference } from './reference.ts';

const body = Buffer.alloc(64 * 1024, 'x');
const digest = digestOf(body);
const limits = {
  ...registryLimits,
  connectMs: 150,
  smallAnswerMs: 300,
  firstByteMs: 300,
  throughput: { windowMs: 1_000, bytesMin: 1024 },
};
const { signal } = new AbortController();

let answer: (request: IncomingMessage, response: ServerResponse) => unknown;
let requests: number;
let repository: RepositoryClient;
let close: () => void;

beforeEach(async () => {
  requests = 0;
  const server = createServer((request, response) => {
    requests++;
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const name = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const reference = parseReference(`${name}/a:1`);
  repository = new RepositoryClient({ reference, insecureRegistries: [], clock: systemClock, limits });
  close = () => {
    server.closeAllConnections();
    server.close();
  };
});

afterEach(() => close());

/** A byte now and then, until the other side has gone. */
async function drip(response: ServerResponse, everyMs: number): Promise<void> {
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  while (!gone.signal.aborted) {
    response.write('x');
    await systemClock.sleep(everyMs, gone.signal).catch(() => undefined);
  }
}

async function read(): Promise<number> {
  const { chunks } = await repository.openBlob(digest, 0, signal);
  let bytes = 0;
  for await (const chunk of chunks) bytes += chunk.length;
  return bytes;
}

test('a manifest that drips is given up after a total time, though something comes all the while', async () => {
  answer = (_, response) => void drip(response.writeHead(200), 20);
  await expect(repository.manifest('1', signal)).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('no whole answer within 0.3 s'),
  });
});

test('a token server that drips is given up too', async () => {
  answer = (request, response) => {
    const realm = `http://${request.headers.host}/token`;
    if (request.url?.startsWith('/token')) return void drip(response.writeHead(200), 20);
    return response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }).end();
  };
  await expect(repository.manifest('1', signal)).rejects.toMatchObject({ code: 'unavailable' });
});

test('a refusal that drips is read past, and its connection does not stay', async () => {
  const closed = Promise.withResolvers<void>();
  answer = (request, response) => {
    const realm = `http://${request.headers.host}/token`;
    if (request.url?.startsWith('/token')) return response.end('{"token":"t"}');
    if (request.headers.authorization !== undefined) return response.end(body);
    request.socket.on('close', () => closed.resolve());
    return void drip(response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }), 20);
  };
  expect(await read()).toBe(body.length);
  await closed.promise;
});

test('a layer whose answer never begins is given up', async () => {
  answer = () => undefined;
  await expect(read()).rejects.toMatchObject({ code: 'unavailable' });
});

test('a layer that drips is given up, and one that comes slowly but steadily is not', async () => {
  answer = (_, response) => void drip(response.writeHead(200), 20);
  await expect(read()).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('too slowly'),
  });
  answer = async (_, response) => {
    response.writeHead(200, { 'content-length': body.length });
    for (let at = 0; at < body.length; at += 8192) {
      response.write(body.subarray(at, at + 8192));
      await systemClock.sleep(100);
    }
    response.end();
  };
  expect(await read()).toBe(body.length);
});

test('time in which nobody reads the layer is no fault of the registry', async () => {
  answer = (_, response) => response.writeHead(200).end(body);
  const { chunks } = await repository.openBlob(digest, 0, signal);
  let bytes = 0;
  for await (const chunk of chunks) {
    if (bytes === 0) await systemClock.sleep(2 * limits.throughput.windowMs);
    bytes += chunk.length;
  }
  expect(bytes).toBe(body.length);
});

test('a registry that asks to be left alone is left alone for as long, up to a limit', async () => {
  answer = (_, response) => {
    if (requests > 1) return response.writeHead(200).end(body);
    return response.writeHead(429, { 'retry-after': '1' }).end('too many');
  };
  const startedAt = systemClock.monotonic();
  const ask = () => repository.manifest('1', signal);
  await retry(ask, { attempts: 2, minMs: 1, retryable: isRetryable, pauseMs: pauseAfter });
  expect(systemClock.monotonic() - startedAt).toBeGreaterThanOrEqual(990);
  expect(requests).toBe(2);
});

test('Retry-After is seconds or a date, and nothing else', () => {
  const now = Date.parse('Tue, 01 Dec 2026 00:00:00 GMT');
  expect(retryAfterMs('7', now, 60_000)).toBe(7_000);
  expect(retryAfterMs('86400', now, 60_000)).toBe(60_000);
  expect(retryAfterMs('Tue, 01 Dec 2026 00:00:30 GMT', now, 60_000)).toBe(30_000);
  expect(retryAfterMs('Mon, 30 Nov 2026 00:00:00 GMT', now, 60_000)).toBe(0);
  expect(retryAfterMs('soon', now, 60_000)).toBeUndefined();
  expect(retryAfterMs(undefined, now, 60_000)).toBeUndefined();
});

test('a server that takes a connection and never speaks TLS is given up after a moment', async () => {
  const silent = createTcpServer();
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void silent.close());
  silent.on('connection', (socket) => onTestFinished(() => void socket.destroy()));
  const { port } = silent.address() as AddressInfo;
  answer = (_, response) => response.writeHead(307, { location: `https://127.0.0.1:${port}/` }).end();
  await expect(repository.manifest('1', signal)).rejects.toThrow('did not connect within');
});
