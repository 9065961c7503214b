import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { continueHeader } from './api.ts';
import { connect, errorOf, type Client } from './client.ts';
import { decodeFrame, encodeFrame, encodeJsonFrame } from './frames.ts';

let folder: string;
let client: Client;
let handle: http.RequestListener;
const server = http.createServer((request, response) => handle(request, response));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-client-'));
  const path = join(folder, 'api.sock');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  client = connect(`unix://${path}`);
});
afterAll(async () => {
  client.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true });
});

test('a request goes under the prefix of the API, and one to the daemon itself as it is', async () => {
  handle = (request, response) => response.end(JSON.stringify([request.method, request.url]));
  expect(await client.request('GET', '/nodes')).toEqual(['GET', '/api/v1/nodes']);
  expect(await client.request('POST', '/local/v1/init', {})).toEqual(['POST', '/local/v1/init']);
});

test('the pages of a list are joined', async () => {
  const pages: Record<string, [string[], string?]> = {
    '/api/v1/tasks?node=a': [['one', 'two'], 'x/1'],
    '/api/v1/tasks?node=a&continue=x%2F1': [[], 'x/2'],
    '/api/v1/tasks?node=a&continue=x%2F2': [['three']],
  };
  handle = (request, response) => {
    const [items, next] = pages[request.url!]!;
    if (next !== undefined) response.setHeader(continueHeader, next);
    response.end(JSON.stringify(items));
  };
  expect(await client.request('GET', '/tasks?node=a')).toEqual(['one', 'two', 'three']);
});

test('an error of the API is thrown with its code and what to do next', async () => {
  handle = (_, response) => {
    response.writeHead(404);
    response.end(JSON.stringify({ error: { code: 'not_found', message: 'Cannot find it', next: 'Look.' } }));
  };
  const expected = { code: 'not_found', message: 'Cannot find it', next: 'Look.' };
  await expect(client.request('GET', '/x')).rejects.toMatchObject(expected);
});

test('an answer that is not ours is told with its status', async () => {
  handle = (_, response) => {
    response.writeHead(502);
    response.end('<html>Bad gateway</html>');
  };
  await expect(client.request('GET', '/x')).rejects.toThrow(/answered 502: <html>/);
});

test('a code that is not in the catalogue becomes internal', () => {
  expect(errorOf({ code: 'strange', message: 'x' }).code).toBe('internal');
});

test('a host where nobody listens is unavailable, with what to do next', async () => {
  const nobody = connect(`unix://${join(folder, 'nobody.sock')}`);
  await expect(nobody.request('GET', '/version')).rejects.toMatchObject({
    code: 'unavailable',
    next: expect.stringContaining('shoal daemon') as string,
  });
});

test('an answer that does not come in time is deadline_exceeded', async () => {
  handle = () => undefined;
  const answer = client.request('GET', '/x', undefined, { timeoutMs: 20 });
  await expect(answer).rejects.toMatchObject({ code: 'deadline_exceeded' });
});

test('a question is asked again when a kept connection was closed meanwhile, and a change has its own', async () => {
  const used: (string | undefined)[] = [];
  let closes = 0;
  const sockets = new Map<unknown, string>();
  handle = (request, response) => {
    const known = sockets.get(request.socket);
    if (known !== undefined && closes-- > 0) {
      request.socket.destroy();
      return;
    }
    sockets.set(request.socket, known ?? String(sockets.size));
    used.push(`${request.method} ${sockets.get(request.socket)}`);
    response.end('{}');
  };
  const own = connect(client.host);
  await own.request('GET', '/x');
  await own.request('GET', '/x');
  closes = 1;
  await own.request('GET', '/x');
  await own.request('POST', '/x', {});
  expect(used).toEqual(['GET 0', 'GET 0', 'GET 1', 'POST 2']);
  own.close();
});

test('a stream gives one value a line, however the bytes are cut, and skips empty lines', async () => {
  handle = (_, response) => {
    const text = '{"n":1}\n\n{"n":"ä"}\n{"n":3}';
    const bytes = Buffer.from(text);
    response.write(bytes.subarray(0, 16)); // in the middle of the two bytes of ä
    setImmediate(() => response.end(bytes.subarray(16)));
  };
  expect(await Array.fromAsync(client.stream('/x'))).toEqual([{ n: 1 }, { n: 'ä' }, { n: 3 }]);
});

test('an error in the middle of a stream is thrown', async () => {
  handle = (_, response) => response.end('{"n":1}\n{"error":{"code":"conflict","message":"Cannot go on"}}\n');
  const stream = client.stream('/x');
  expect((await stream.next()).value).toEqual({ n: 1 });
  await expect(stream.next()).rejects.toMatchObject({ code: 'conflict' });
});

test('a stream that breaks off is unavailable', async () => {
  handle = (_, response) => {
    response.write('{"n":1}\n');
    setImmediate(() => response.destroy());
  };
  await expect(Array.fromAsync(client.stream('/x'))).rejects.toMatchObject({ code: 'unavailable' });
});

test('a stream ends quietly when its signal aborts', async () => {
  handle = (_, response) => response.write('{"n":1}\n');
  const stop = new AbortController();
  const stream = client.stream('/x', stop.signal);
  await stream.next();
  stop.abort();
  expect((await stream.next()).done).toBe(true);
});

test.each(['http://x', 'unix://relative', 'tcp://x/path', ''])('%s is no host', (host) => {
  expect(() => connect(host)).toThrow(/Cannot connect/);
});

test('https needs certificates, and says which file it cannot read', () => {
  expect(() => connect('tcp://x:1')).toThrow(/client certificate/);
});

test('frames survive the wire, and nonsense is refused', () => {
  expect(decodeFrame(encodeFrame('stdout', 'hello'))).toEqual({
    type: 'stdout',
    payload: Buffer.from('hello'),
  });
  expect(decodeFrame(encodeJsonFrame('exit', { exitCode: 3 })).payload.toString()).toBe('{"exitCode":3}');
  expect(() => decodeFrame(Buffer.alloc(0))).toThrow(/Cannot read/);
  expect(() => decodeFrame(Buffer.of(99))).toThrow(/type 99/);
});
