import { once } from 'node:events';
import type { Socket } from 'node:net';
import { systemClock } from '../src/util/clock.ts';

const upgrade = 'Connection: upgrade\r\nUpgrade: websocket';

/** Heads of requests that no client of ours sends, without the `Host` that `sendRaw` adds where there is none. */
export const oddRequests = [
  'GET // HTTP/1.1',
  'GET //[ HTTP/1.1',
  'GET http:// HTTP/1.1',
  'GET http://[::1/ HTTP/1.1',
  'GET http://other.example/local/v1/info HTTP/1.1',
  'GET mailto:x HTTP/1.1',
  'OPTIONS * HTTP/1.1',
  'CONNECT other:1 HTTP/1.1',
  'GET /%ff%zz HTTP/1.1',
  'GET /\u00e9\u0001 HTTP/1.1',
  'GET /api/v1/nodes/%E0%A4%A HTTP/1.1',
  'GET /local/v1/%zz HTTP/1.1',
  'GET / HTTP/1.1\r\nHost: [::1',
  'GET / HTTP/1.1\r\nHost:',
  'GET / HTTP/1.1\r\nExpect: nonsense',
  'POST /local/v1/join HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked',
  `GET // HTTP/1.1\r\n${upgrade}`,
  `GET http://[ HTTP/1.1\r\n${upgrade}`,
  `OPTIONS * HTTP/1.1\r\n${upgrade}`,
  `GET /local/v1/info HTTP/1.1\r\n${upgrade}`,
];

const quietMs = 200;

/** Sends the head of a request and gives what is answered until the other side has ended, or for a moment. */
export async function sendRaw(socket: Socket, head: string): Promise<string> {
  let said = '';
  socket.on('data', (chunk: Buffer) => {
    said += chunk.toString();
    // some of them leave the connection open for more
    systemClock.after(quietMs, () => socket.destroy());
  });
  socket.on('error', () => undefined); // a connection that is cut is an answer too
  const host = /\r\nhost:/i.test(head) ? '' : '\r\nHost: shoal';
  const close = /\r\nconnection:/i.test(head) ? '' : '\r\nConnection: close';
  socket.write(`${head}${host}${close}\r\n\r\n`, 'latin1');
  await once(socket, 'close', { signal: AbortSignal.timeout(2_000) }).catch(() => socket.destroy());
  return said;
}
