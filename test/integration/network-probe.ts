/** A program inside a task's or host's namespace: serves TCP and UDP with its name, and asks others. Argument: its name. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import packet from 'dns-packet';
import { systemClock } from '../../src/util/clock.ts';
import { serveLines } from './network-rpc.ts';

const name = process.argv[2] ?? '';
const answerTimeoutMs = 3_000;
const connections = new Map<number, Socket>();
const flows = new Map<number, UdpSocket>();
let count = 0;

/** What comes next on a socket; throws what went wrong, or after a while. */
async function nextMessage(emitter: Socket | UdpSocket, event: string): Promise<string> {
  const abort = new AbortController();
  const cancel = systemClock.after(answerTimeoutMs, () => abort.abort());
  try {
    const [bytes] = (await once(emitter, event, { signal: abort.signal })) as [Buffer];
    return bytes.toString().trim();
  } catch (error) {
    if (abort.signal.aborted) throw Object.assign(new Error('no answer'), { code: 'TIMEOUT' });
    throw error;
  } finally {
    cancel();
  }
}

async function open({ host, port, localAddress }: { host: string; port: number; localAddress?: string }) {
  const socket = connect({ host, port, ...(localAddress && { localAddress }) });
  const greeting = await nextMessage(socket, 'data').catch((error: unknown) => {
    socket.destroy();
    throw error;
  });
  const id = ++count;
  socket.on('error', () => socket.destroy());
  connections.set(id, socket);
  return { id, greeting };
}

async function sendOn(id: number, text: string): Promise<string> {
  const socket = connections.get(id)!;
  if (socket.destroyed) throw Object.assign(new Error('closed'), { code: 'CLOSED' });
  socket.write(`${text}\n`);
  return nextMessage(socket, 'data');
}

async function query(server: string, question: string, type: string, protocol: 'udp' | 'tcp') {
  const bytes = packet.encode({
    type: 'query',
    id: 7,
    flags: packet.RECURSION_DESIRED,
    questions: [{ name: question, type: type as 'A', class: 'IN' }],
  });
  let reply: Buffer;
  if (protocol === 'udp') {
    const socket = createSocket('udp4');
    socket.send(bytes, 53, server);
    [reply] = (await once(socket, 'message', { signal: AbortSignal.timeout(answerTimeoutMs) })) as [Buffer];
    socket.close();
  } else {
    const socket = connect(53, server);
    socket.write(Buffer.concat([Buffer.from([0, bytes.length]), bytes]));
    const [whole] = (await once(socket, 'data', { signal: AbortSignal.timeout(answerTimeoutMs) })) as [
      Buffer,
    ];
    reply = whole.subarray(2);
    socket.destroy();
  }
  const decoded = packet.decode(reply);
  const data = (decoded.answers ?? []).map((answer) =>
    'data' in answer && typeof answer.data === 'string' ? answer.data : '',
  );
  return { code: (decoded.flags ?? 0) & 15, data };
}

/** Sends questions as fast as it can; gives how many were answered until none came for a while. */
async function flood({ server, name: asked, count }: { server: string; name: string; count: number }) {
  const socket = createSocket('udp4');
  let answered = 0;
  socket.on('message', () => answered++);
  for (let id = 1; id <= count; id++) {
    const questions = [{ name: asked, type: 'A' as const, class: 'IN' as const }];
    socket.send(packet.encode({ type: 'query', id, questions }), 53, server);
    if (id % 100 === 0) await systemClock.sleep(1); // let answers in between
  }
  for (let before = -1; before !== answered;) {
    before = answered;
    await systemClock.sleep(300);
  }
  socket.close();
  return { sent: count, answered };
}

/** Answers what it was sent, some time after the client has closed its side. */
async function serveSlowly({ port, delayMs }: { port: number; delayMs: number }): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let asked = '';
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes) => (asked += bytes.toString()));
    socket.on('end', () => systemClock.after(delayMs, () => socket.end(`answer to ${asked}`)));
  });
  server.listen(port);
  await once(server, 'listening');
}

/** Sends, closes its side, and waits for the answer. */
async function askAndClose({ host, port, limitMs }: { host: string; port: number; limitMs: number }) {
  const socket = connect({ host, port, allowHalfOpen: true });
  socket.end('a question');
  let answer = '';
  socket.on('data', (bytes) => (answer += bytes.toString()));
  await once(socket, 'end', { signal: AbortSignal.timeout(limitMs) });
  socket.destroy();
  return answer;
}

/** A resolver that knows one name. */
async function resolve({ name: known, address }: { name: string; address: string }): Promise<void> {
  const udp = createSocket('udp4');
  udp.on('message', (bytes, from) => {
    const asked = packet.decode(bytes);
    const matches = asked.questions?.[0]?.name === known;
    const reply = packet.encode({
      type: 'response',
      id: asked.id ?? 0,
      flags: matches ? 0 : 3,
      questions: asked.questions ?? [],
      answers: matches ? [{ name: known, type: 'A', class: 'IN', ttl: 60, data: address }] : [],
    });
    udp.send(reply, from.port, from.address);
  });
  udp.bind(53);
  await once(udp, 'listening');
}

await serveLines({
  ready: () => Promise.resolve(),
  /** Greets each connection with its own name and the client's address, and echoes lines with its name. */
  serve: async ({ port, address = '0.0.0.0' }: { port: number; address?: string }) => {
    const tcp = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.write(`${name} ${socket.remoteAddress?.replace('::ffff:', '')}\n`);
      socket.on('data', (bytes) => socket.write(`${name} ${bytes.toString().trim()}\n`));
    });
    tcp.listen(port, address);
    const udp = createSocket('udp4');
    udp.on('message', (_, from) => udp.send(`${name} ${from.address}`, from.port, from.address));
    udp.bind(port, address);
    await Promise.all([once(tcp, 'listening'), once(udp, 'listening')]);
  },
  ask: async (where: { host: string; port: number; localAddress?: string }) => {
    const { id, greeting } = await open(where);
    connections.get(id)!.destroy();
    connections.delete(id);
    return greeting;
  },
  open,
  send: ({ id, text }: { id: number; text: string }) => sendOn(id, text),
  /** A UDP socket that keeps its source port over several questions. */
  openFlow: async ({ host, port }: { host: string; port: number }) => {
    const socket = createSocket('udp4');
    socket.connect(port, host);
    await once(socket, 'connect');
    const id = ++count;
    flows.set(id, socket);
    return id;
  },
  askFlow: async ({ id }: { id: number }) => {
    const socket = flows.get(id)!;
    socket.send('hello');
    return nextMessage(socket, 'message');
  },
  serveSlowly,
  askAndClose,
  resolve,
  flood,
  query: (question: { server: string; name: string; type?: string; protocol?: 'udp' | 'tcp' }) =>
    query(question.server, question.name, question.type ?? 'A', question.protocol ?? 'udp'),
});
