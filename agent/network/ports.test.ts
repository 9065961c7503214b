import { expect, test } from 'vitest';
import { createServer, type AddressInfo } from 'node:net';
import { listeningPorts, parseSctpEndpoints, parseSockets } from './ports.ts';

const header =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';

test('listening TCP sockets hold their port on their address, connected ones do not', () => {
  const text = `${header}   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0100007F:1F90 0200007F:A1B2 01 00000000:00000000 00:00000000 00000000     0        0 2
   2: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3
`;
  expect(parseSockets(text, 'tcp', new Set())).toEqual([
    { published: 22, protocol: 'tcp' },
    { published: 3306, protocol: 'tcp', address: '127.0.0.1' },
  ]);
});

test('sockets of the DNS servers on bridges do not count', () => {
  const text = `${header}   0: 0100400A:2745 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1
   1: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 2
`;
  expect(parseSockets(text, 'udp', new Set(['10.64.0.1']))).toEqual([{ published: 53, protocol: 'udp' }]);
});

test.each([
  ['00000000000000000000000000000000', {}],
  ['0000000000000000FFFF00000100007F', { address: '127.0.0.1' }],
  ['00000000000000000000000001000000', { address: '00000000000000000000000001000000' }],
])('a socket of IPv6 on %s counts', (address, expected) => {
  const text = `${header}   0: ${address}:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 1\n`;
  expect(parseSockets(text, 'tcp', new Set())).toEqual([{ published: 80, protocol: 'tcp', ...expected }]);
});

test('endpoints of SCTP that listen hold their port', () => {
  const text = ` ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS
ffff8800 ffff8801 2   10  29   5000      0 11111 0.0.0.0
ffff8802 ffff8803 2   10  30   5001      0 11112 192.0.2.1 192.0.2.2
ffff8804 ffff8805 2   7   31   5002      0 11113 192.0.2.1
`;
  expect(parseSctpEndpoints(text)).toEqual([
    { published: 5000, protocol: 'sctp' },
    { published: 5001, protocol: 'sctp', address: '192.0.2.1' },
    { published: 5001, protocol: 'sctp', address: '192.0.2.2' },
  ]);
});

test('others are answered on what is not bound to the loopback', async () => {
  const servers = await Promise.all(
    ['0.0.0.0', '::', '127.0.0.1', '127.0.0.2'].map(async (host) => {
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host, port: 0, exclusive: true }, resolve);
      });
      return server;
    }),
  );
  try {
    const ports = servers.map((server) => (server.address() as AddressInfo).port);
    const open = await listeningPorts(process.pid);
    expect(ports.map((port) => open.has(port))).toEqual([true, true, false, false]);
  } finally {
    for (const server of servers) server.close();
  }
});

test('a process that has ended listens on nothing', async () => {
  expect(await listeningPorts(2 ** 22 + 1)).toEqual(new Set());
});
