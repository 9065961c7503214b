import net from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { AdministratorAnswer } from './api.ts';
import { createKeyAndRequest } from './certificates.ts';
import { startTestManager, type TestManager } from '../../manager/testing.ts';
import { connectAny, firstReachable } from './several.ts';

let manager: TestManager;
let there: string;
/** Where nobody listens. */
let gone: string;
const listening: net.Server[] = [];

async function listen(): Promise<{ server: net.Server; host: string }> {
  const server = net.createServer((socket) => socket.on('error', () => undefined));
  listening.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, host: `tcp://127.0.0.1:${(server.address() as net.AddressInfo).port}` };
}

beforeEach(async () => {
  manager = await startTestManager();
  there = `tcp://127.0.0.1:${manager.port}`;
  const { server, host } = await listen();
  await new Promise((resolve) => server.close(resolve));
  gone = host;
});

afterEach(async () => {
  for (const server of listening.splice(0)) server.close();
  await manager[Symbol.asyncDispose]();
});

async function administrator() {
  const { privateKeyPem, certificateRequestPem } = await createKeyAndRequest();
  const body = { name: 'ann', role: 'admin', certificateRequestPem };
  const answer = await manager.client.request<AdministratorAnswer>('POST', '/administrators', body);
  return { ca: answer.certificateAuthorityPem, cert: answer.certificatePem, key: privateKeyPem };
}

test('the first host that takes a connection is found, and none where none does', async () => {
  expect(await firstReachable([gone, there])).toBe(there);
  expect(await firstReachable([there, gone])).toBe(there);
  expect(await firstReachable([gone, gone])).toBeUndefined();
});

test('a command line reaches whichever manager is there', async () => {
  const client = connectAny([gone, there], { credentials: await administrator() });
  await expect(client.request('GET', '/nodes')).resolves.toEqual([]);
  expect(client.host).toBe(there);
  client.close();
});

test('when the manager is lost a question is asked another one', async () => {
  const { server, host } = await listen();
  server.on('connection', (socket) => void socket.once('data', () => socket.destroy()));
  const client = connectAny([host, there], { credentials: await administrator() });
  const asked = client.request('GET', '/nodes');
  server.close();
  await expect(asked).resolves.toEqual([]);
  expect(client.host).toBe(there);
  client.close();
});

test('says where nobody is', async () => {
  const client = connectAny([gone], { credentials: await administrator() });
  await expect(client.request('GET', '/nodes')).rejects.toThrow(`Cannot reach Shoal at ${gone}`);
  client.close();
});
