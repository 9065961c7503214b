import http from 'node:http';
import { hostname } from 'node:os';

/** `web` and `api` of the project under load: tells its version, its replica, and what the service that it asks tells of itself. */

const { VERSION = '', ASKS = '', CRASH = '', PORT = '8080' } = process.env;
/** After SIGTERM new requests are still served this long: some are on their way already. */
const drainMs = 300;
const askLimitMs = 3_000;
const crashAfterMs = 300;

const server = http.createServer((request, response) => {
  const send = (status: number, value: unknown) =>
    response
      .writeHead(status, { 'content-type': 'application/json', connection: 'close' })
      .end(JSON.stringify(value));
  if (request.url === '/health' || ASKS === '') {
    send(200, { version: VERSION, replica: hostname() });
    return;
  }
  ask(ASKS).then(
    (api) => send(200, { version: VERSION, replica: hostname(), api }),
    (error: unknown) => send(502, { error: `${ASKS}: ${String(error)}`, replica: hostname() }),
  );
});

/** One request on a connection of its own: each of them finds its way through the service's address. */
function ask(url: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const options = { agent: false, signal: AbortSignal.timeout(askLimitMs) };
    const request = http.get(url, options, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString())));
    });
    request.on('error', reject);
  });
}

process.on('SIGTERM', () => {
  setTimeout(() => server.close(() => process.exit(0)), drainMs);
});
if (CRASH !== '') setTimeout(() => process.exit(7), crashAfterMs);
server.listen(Number(PORT));
