import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import packet from 'dns-packet';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { questionRate } from './connection.ts';
import { framed } from './forward.ts';
import { buildNames } from './names.ts';
import { DnsServers, tcpClientConnectionsMax } from './servers.ts';

/** A server and its clients on addresses of the loopback. */
const server = '127.0.0.1';
const client = '127.0.0.5';
const network = {
  id: 'net',
  name: 'app_net',
  vni: 4096,
  subnet: '127.0.0.0/20',
  internal: true,
  bridgeAddress: server,
  peers: [],
};
const networks = [{ networkId: 'net', virtualAddress: '127.0.8.1', aliases: [] }];
const web = { id: 'web', name: 'app_web', key: 'web', application: 'app', networks, ports: [] };
const names = buildNames(
  {
    networks: new Map([['net', network]]),
    peers: new Map(),
    services: new Map([['web', web]]),
    endpoints: new Map(),
  },
  [
    {
      taskId: 'task',
      serviceId: 'web',
      hostPorts: [],
      attachments: [{ networkId: 'net', address: client, aliases: [] }],
    },
  ],
);
const question = framed(packet.encode({ type: 'query', id: 9, questions: [{ name: 'web', type: 'A' }] }));

let servers: DnsServers;
let port: number;
let open: Socket[] = [];

beforeEach(async () => {
  servers = new DnsServers({ clock: systemClock, log: silentLogger, resolverFile: '/dev/null' });
  servers.setNames(names);
  port = (await servers.listen([server])).get(server)!;
});

afterEach(async () => {
  for (const socket of open) socket.destroy();
  open = [];
  await servers.stop();
});

function dial(localAddress: string): Socket {
  const socket = connect({ host: server, port, localAddress });
  socket.on('error', () => socket.destroy());
  open.push(socket);
  return socket;
}

async function code(socket: Socket): Promise<number> {
  socket.write(question);
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  return bytes[5]! & 0xf;
}

test('a task of the network is answered over TCP, and somebody else is refused', async () => {
  expect(await code(dial(client))).toBe(0);
  expect(await code(dial('127.0.0.6'))).toBe(5);
});

test('a client has so many connections and no more, and others have theirs', async () => {
  const many = Array.from({ length: tcpClientConnectionsMax }, () => dial(client));
  for (const socket of many) expect(await code(socket)).toBe(0);
  const surplus = dial(client);
  await once(surplus, 'close');
  expect(await code(dial('127.0.0.6'))).toBe(5);
  const [first] = many;
  first!.destroy();
  await systemClock.sleep(50);
  expect(await code(dial(client))).toBe(0);
});

test('a client that asks much over one connection is answered at a pace', async () => {
  const socket = dial(client);
  const count = questionRate.burst + questionRate.perSecond / 2;
  const before = systemClock.monotonic();
  let bytes = 0;
  const replyBytes = question.length + 16;
  socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
  socket.write(Buffer.concat(Array.from({ length: count }, () => question)));
  await vi.waitFor(() => expect(bytes).toBe(count * replyBytes), { timeout: 10_000 });
  expect(systemClock.monotonic() - before).toBeGreaterThan(450);
});

test('a client that asks without reading is read no further', async () => {
  const socket = dial(client);
  socket.pause();
  const batch = Buffer.concat(Array.from({ length: 1_000 }, () => question));
  // What the kernel holds for both ends is far less than these questions.
  let accepted = 0;
  while (accepted < 64 * 1024 * 1024) {
    const isTaken = await new Promise<boolean>((resolve) => {
      const cancel = systemClock.after(500, () => resolve(false));
      socket.write(batch, () => {
        cancel();
        resolve(true);
      });
    });
    if (!isTaken) break;
    accepted += batch.length;
  }
  expect(accepted).toBeLessThan(64 * 1024 * 1024);
  expect(await code(dial(client))).toBe(0);
});
