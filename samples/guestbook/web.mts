import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { hostname } from 'node:os';
import { Redis } from './redis.mts';

const { VERSION = '0', STORE_HOST = 'store', STORE_PASSWORD_FILE = '', PORT = '8080' } = process.env;
const bodyBytesMax = 4_096;
const entriesShown = 20;
/** After SIGTERM new requests are still served this long: some are on their way already. */
const drainMs = 300;

const store = new Redis({ host: STORE_HOST, passwordFile: STORE_PASSWORD_FILE });
const page = readFileSync(new URL('page.html', import.meta.url), 'utf8');
const replica = hostname();
let draining = false;

const server = createServer((request, response) => {
  if (draining) response.setHeader('connection', 'close');
  answer(request, response).catch((error: unknown) => {
    console.error(`${request.method} ${request.url}: ${String(error)}`);
    if (!response.headersSent) send(response, 503, { error: 'The store cannot be reached' });
    else response.destroy();
  });
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost');
  switch (`${request.method} ${pathname}`) {
    case 'GET /health':
      return send(response, draining ? 503 : 200, { replica, draining });
    case 'GET /':
      return await showPage(request, response);
    case 'GET /entries':
      return send(response, 200, await readEntries());
    case 'POST /entries':
      return await addEntry(request, response);
    default:
      return send(response, 404, { error: `There is no ${request.method} ${pathname}` });
  }
}

function send(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(value)}\n`);
}

async function showPage(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const visits = await store.command('INCR', 'visits');
  if (!request.headers.accept?.includes('text/html')) {
    return send(response, 200, { replica, version: VERSION, visits });
  }
  const items = (await readEntries()).map(
    ({ name, text }) => `<li><b>${escape(name)}</b>: ${escape(text)}</li>`,
  );
  const values: Record<string, string> = {
    visits: String(visits),
    version: escape(VERSION),
    replica: escape(replica),
    entries: items.join(''),
  };
  const html = page.replace(/\{\{(\w+)\}\}/g, (_, key: string) => values[key] ?? '');
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(html);
}

interface Entry {
  name: string;
  text: string;
}

async function readEntries(): Promise<Entry[]> {
  const lines = await store.command('LRANGE', 'entries', '0', String(entriesShown - 1));
  return Array.isArray(lines) ? lines.map((line) => JSON.parse(String(line)) as Entry) : [];
}

/** What a visitor wrote goes to the worker's list; the worker files it. */
async function addEntry(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += (chunk as Buffer).length;
    if (bytes > bodyBytesMax) return send(response, 413, { error: `More than ${bodyBytesMax} bytes` });
    chunks.push(chunk as Buffer);
  }
  const form = new URLSearchParams(Buffer.concat(chunks).toString());
  const entry: Entry = { name: form.get('name') ?? '', text: form.get('text') ?? '' };
  if (entry.name === '' || entry.text === '')
    return send(response, 400, { error: 'name and text are needed' });
  await store.command('RPUSH', 'inbox', JSON.stringify(entry));
  if (request.headers.accept?.includes('text/html')) response.writeHead(303, { location: '/' }).end();
  else send(response, 202, { accepted: entry });
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character]!);
}

/** Asks clients to come back on another connection, then takes no new one, and ends when the last request is answered. */
function drain(): void {
  if (draining) return;
  draining = true;
  setTimeout(() => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
  }, drainMs);
}

process.on('SIGTERM', drain);
process.on('SIGINT', drain);
server.listen(Number(PORT), () => console.log(`guestbook ${VERSION} on ${replica} listens on ${PORT}`));
