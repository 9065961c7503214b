import { expect, test } from 'vitest';
import { parseSockets } from './ports.ts';

const header =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';

test('listening TCP sockets hold their port, connected ones do not', () => {
  const text = `${header}   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0100007F:1F90 0200007F:A1B2 01 00000000:00000000 00:00000000 00000000     0        0 2
   2: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3
`;
  expect(parseSockets(text, 'tcp', new Set())).toEqual(['tcp/22', 'tcp/3306']);
});

test('sockets of the DNS servers on bridges do not count', () => {
  const text = `${header}   0: 0100400A:2745 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1
   1: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 2
`;
  expect(parseSockets(text, 'udp', new Set(['10.64.0.1']))).toEqual(['udp/53']);
});

test('IPv6 sockets count', () => {
  const text = `${header}   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 1\n`;
  expect(parseSockets(text, 'tcp', new Set())).toEqual(['tcp/80']);
});
