import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { expect, test } from 'vitest';
import { managerServerName } from '../../src/wire/certificates.ts';
import { sessionPath } from '../../src/wire/session.ts';
import { startTestManager, until, type TestManager } from '../testing.ts';
import { strangersOfAddressMax } from './admission.ts';
import { failuresPerMinuteMax } from '../audit/audit.ts';
import { joinBodyBytesMax } from './bodies.ts';
import { nodeRequestRate } from './request-rates.ts';

/** A TLS connection without a certificate of ours. */
async function stranger(manager: TestManager): Promise<TLSSocket> {
  const socket = connectTls({
    port: manager.port,
    host: '127.0.0.1',
    servername: managerServerName,
    rejectUnauthorized: false,
  });
  socket.on('error', () => undefined); // closed by the other side
  await once(socket, 'secureConnect');
  return socket;
}

/** Writes a request and gives all that comes back until the other side closes. */
async function answerTo(socket: TLSSocket, request: string): Promise<string> {
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  socket.write(request);
  if (!socket.closed) await once(socket, 'close');
  return text;
}

const join = (headers: string, body: string) => `POST /join HTTP/1.1\r\nhost: x\r\n${headers}\r\n\r\n${body}`;

test('a body that is announced as too large is refused at once, and the connection closed', async () => {
  await using manager = await startTestManager();
  const answer = await answerTo(await stranger(manager), join('content-length: 32505856', 'x'.repeat(1_000)));
  expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  expect(answer).toContain(`over ${joinBodyBytesMax} bytes`);
});

test('a body that turns out too large is refused as soon as it is, whatever follows', async () => {
  await using manager = await startTestManager();
  const chunk = `${(joinBodyBytesMax + 1).toString(16)}\r\n${'['.repeat(joinBodyBytesMax + 1)}\r\n`;
  const answer = await answerTo(await stranger(manager), join('transfer-encoding: chunked', chunk));
  expect(answer).toMatch(/^HTTP\/1\.1 413 /);
});

test('brackets without an end are refused before they are parsed', async () => {
  await using manager = await startTestManager();
  const body = '['.repeat(1_000);
  const headers = `connection: close\r\ncontent-length: ${body.length}`;
  const answer = await answerTo(await stranger(manager), join(headers, body));
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(answer).toContain('nested more than');
});

test('a refused upgrade is closed, though the other side keeps it open', async () => {
  await using manager = await startTestManager();
  const upgrade =
    `GET ${sessionPath} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n` +
    'sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n';
  const options = { port: manager.port, host: '127.0.0.1', rejectUnauthorized: false, allowHalfOpen: true };
  const socket = connectTls(options);
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  socket.write(upgrade);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 401 /);
  await until(() => !socket.write('x') || socket.closed); // fails once nobody is there any more
});

test('silent connections keep nobody out, and do not pile up', async () => {
  await using manager = await startTestManager();
  const administrator = await manager.administrator('viewer');
  const silent = Array.from({ length: strangersOfAddressMax * 3 }, () => {
    const socket = connectTcp(manager.port, '127.0.0.1');
    socket.on('error', () => undefined);
    return socket;
  });
  await until(() => silent.filter(({ closed }) => closed).length >= strangersOfAddressMax * 2);
  await expect(manager.call('/api/v1/version', administrator)).resolves.toMatchObject({ apiVersion: 'v1' });
  for (const socket of silent) socket.destroy();
});

test('the kernel holds a thousand connections that wait to be accepted, and drops none', async () => {
  await using manager = await startTestManager();
  const sockets = Array.from({ length: 1_000 }, () => {
    const socket = connectTcp(manager.port, '127.0.0.1');
    socket.on('error', () => undefined); // most are refused
    return socket;
  });
  // All have been asked for by then, and the manager, on this same thread, has accepted none.
  await new Promise<void>((resolve) => process.nextTick(resolve));
  expect(connecting(manager.port)).toEqual({ waiting: 0, standing: 1_000 });
  for (const socket of sockets) socket.destroy();
});

/** Connections to the port that the other side's kernel has not answered, and has. */
function connecting(port: number): { waiting: number; standing: number } {
  const remote = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const states = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[2] === remote)
    .map((fields) => fields[3]);
  const count = (state: string) => states.filter((each) => each === state).length;
  return { waiting: count('02'), standing: count('01') }; // SYN_SENT and ESTABLISHED
}

test('a web page can use neither socket', async () => {
  await using manager = await startTestManager();
  const status = (headers: Record<string, string>) =>
    new Promise((resolve, reject) => {
      const socketPath = manager.socketPath;
      httpRequest({ socketPath, path: '/api/v1/version', headers }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      })
        .on('error', reject)
        .end();
    });
  expect(await status({})).toBe(200);
  expect(await status({ origin: 'https://example.org' })).toBe(403);
  expect(await status({ 'sec-fetch-site': 'cross-site' })).toBe(403);
  const headers = 'origin: null\r\nconnection: close';
  expect(
    await answerTo(await stranger(manager), `GET /ca HTTP/1.1\r\nhost: x\r\n${headers}\r\n\r\n`),
  ).toMatch(/^HTTP\/1\.1 403 /);
});

test('a second request before the first has its answer ends the connection', async () => {
  await using manager = await startTestManager();
  const watch = `GET /api/v1/applications/app/watch HTTP/1.1\r\nhost: x\r\n\r\n`;
  const viewer = await manager.administrator('viewer');
  const socket = connectTls({
    port: manager.port,
    host: '127.0.0.1',
    servername: managerServerName,
    rejectUnauthorized: false,
    cert: viewer.certificatePem,
    key: viewer.privateKeyPem,
  });
  await once(socket, 'secureConnect');
  socket.on('error', () => undefined);
  socket.write(watch);
  await once(socket, 'data');
  socket.write(watch);
  if (!socket.closed) await once(socket, 'close');
});

test('who shows no certificate has one answer for a connection', async () => {
  await using manager = await startTestManager();
  const answer = await answerTo(await stranger(manager), 'GET /ca HTTP/1.1\r\nhost: x\r\n\r\n');
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(answer).toMatch(/connection: close/i);
});

test('a node that asks again and again is refused for a while, and fills no log', async () => {
  await using manager = await startTestManager();
  const worker = await manager.join('worker');
  const answers = await Promise.allSettled(
    Array.from({ length: nodeRequestRate.burst + 30 }, () => manager.call('/leave', worker, {})),
  );
  const refused = answers.flatMap((answer) => (answer.status === 'rejected' ? [String(answer.reason)] : []));
  expect(refused.length).toBeGreaterThan(0);
  expect(refused[0]).toContain('sends too many');
  for (let round = 0; round < 4; round++) {
    await manager.call('/leave', worker, {}).catch(() => undefined); // refused or not
  }
  const { entries } = await manager.audit.read(1_000);
  expect(entries.filter(({ caller }) => caller.kind === 'node').length).toBeLessThanOrEqual(
    failuresPerMinuteMax,
  );
});
