import { mkdtempSync, rmSync, statSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { ShoalError } from '../../src/util/errors.ts';
import { silentLogger } from '../../src/util/log.ts';
import { localPrefix, type LocalInfo } from '../../src/wire/api.ts';
import { connect, type Client } from '../../src/wire/client.ts';
import { oddRequests, sendRaw } from '../../test/odd-requests.ts';
import { serveLocalApi, type LocalControl } from './local-api.ts';

const info: LocalInfo = {
  version: '1',
  state: 'alone',
  session: 'none',
  managerAddresses: [],
  engine: { address: '/x' },
};
let directory: string;
let stop: () => Promise<void>;
let client: Client;
let managerSocket: () => string;
let manager: http.Server;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'shoal-agent-'));
  managerSocket = () => join(directory, 'manager.sock');
  const control: LocalControl = {
    info: () => Promise.resolve(info),
    init: () =>
      Promise.reject(new ShoalError('failed_precondition', 'Cannot make a cluster', { next: 'Leave.' })),
    join: (request) => Promise.resolve({ ...info, nodeId: request.token }),
    leave: () => Promise.resolve(info),
    managerSocket: () => managerSocket(),
  };
  stop = await serveLocalApi(join(directory, 'shoal.sock'), control, silentLogger);
  client = connect(`unix://${join(directory, 'shoal.sock')}`);
  manager = http.createServer((request, response) => {
    response.write(`{"path":${JSON.stringify(request.url)}}\n`);
    if (!request.url?.includes('watch')) response.end();
  });
  await new Promise<void>((resolve) => manager.listen(managerSocket(), resolve));
});

afterEach(async () => {
  client.close();
  manager.closeAllConnections();
  manager.close();
  await stop();
  rmSync(directory, { recursive: true, force: true });
});

test('its socket is for root alone', () => {
  expect(statSync(join(directory, 'shoal.sock')).mode & 0o777).toBe(0o600);
});

test('answers its own paths, errors with code and what to do next', async () => {
  expect(await client.request('GET', `${localPrefix}/info`)).toEqual(info);
  const joined = await client.request<LocalInfo>('POST', `${localPrefix}/join`, { token: 't', manager: 'm' });
  expect(joined.nodeId).toBe('t');
  await expect(client.request('POST', `${localPrefix}/init`, {})).rejects.toMatchObject({
    code: 'failed_precondition',
    next: 'Leave.',
  });
  await expect(client.request('GET', `${localPrefix}/nope`)).rejects.toMatchObject({ code: 'not_found' });
  await expect(client.request('POST', `${localPrefix}/join`, [1].join('x'.repeat(70_000)))).rejects.toThrow();
});

test('passes everything else to the manager, and streams as they come', async () => {
  expect(await client.request('GET', '/nodes?a=1')).toEqual({ path: '/api/v1/nodes?a=1' });
  for await (const line of client.stream('/applications/x/watch')) {
    expect(line).toEqual({ path: '/api/v1/applications/x/watch' });
    break; // the manager has not ended its answer: this line came through while it was open
  }
});

test('passes each request on by a connection of its own: a kept one may just be closing', async () => {
  let connections = 0;
  manager.on('connection', () => connections++);
  for (const method of ['GET', 'PUT', 'GET', 'PUT'] as const) {
    await client.request(method, '/applications/x', method === 'PUT' ? {} : undefined);
  }
  expect(connections).toBe(4);
});

test('passes WebSockets on, both ways', async () => {
  const sockets = new WebSocketServer({ server: manager });
  sockets.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })));
  const socket = new WebSocket(`ws+unix:${join(directory, 'shoal.sock')}:/api/v1/tasks/x/exec`);
  const echoed = await new Promise((resolve, reject) => {
    socket.on('open', () => socket.send('hello'));
    socket.on('message', (data: Buffer) => resolve(data.toString()));
    socket.on('error', reject);
  });
  expect(echoed).toBe('hello');
  socket.terminate();
  sockets.close();
});

test('says where the managers are when there is none here, and that one here is away', async () => {
  managerSocket = () => join(directory, 'gone.sock');
  await expect(client.request('GET', '/nodes')).rejects.toMatchObject({ code: 'unavailable' });
  managerSocket = () => {
    throw new ShoalError('failed_precondition', 'Cannot do this here', { next: 'Do it on a manager: m:1.' });
  };
  await expect(client.request('GET', '/nodes')).rejects.toMatchObject({ next: 'Do it on a manager: m:1.' });
  const refused = new WebSocket(`ws+unix:${join(directory, 'shoal.sock')}:/api/v1/tasks/x/exec`);
  const status = await new Promise((resolve) => {
    refused.on('unexpected-response', (_request, response) => resolve(response.statusCode));
  });
  expect(status).toBe(412);
});

test('a web page cannot drive the daemon', async () => {
  const socketPath = join(directory, 'shoal.sock');
  const status = await new Promise((resolve, reject) => {
    const headers = { origin: 'http://evil.example' };
    const request = http.request({ socketPath, path: `${localPrefix}/info`, headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on('error', reject).end();
  });
  expect(status).toBe(403);
});

test.each(oddRequests)('%j is answered or its connection ended, and nothing else ends', async (head) => {
  const said = await sendRaw(net.connect(join(directory, 'shoal.sock')), head);
  expect(said).toMatch(/^(?:HTTP\/1\.1 [2345]|$)/);
  expect(await client.request('GET', `${localPrefix}/info`)).toEqual(info);
});

test('a path that is none is a malformed request', async () => {
  expect(await sendRaw(net.connect(join(directory, 'shoal.sock')), 'GET // HTTP/1.1')).toMatch(
    /^HTTP\/1\.1 400.*malformed/s,
  );
});

test('an upgrade without a manager is refused with what to do', async () => {
  managerSocket = () => {
    throw new ShoalError('failed_precondition', 'Cannot ask a manager here');
  };
  const upgrade = 'GET /api/v1/x HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket';
  expect(await sendRaw(net.connect(join(directory, 'shoal.sock')), upgrade)).toMatch(
    /^HTTP\/1\.1 412.*Cannot ask/s,
  );
});
