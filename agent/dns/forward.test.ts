import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import packet from 'dns-packet';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { systemClock, type Clock } from '../../src/util/clock.ts';
import { clientQuestionsMax, Forwarder, headStartMs, resolverQuestionsMax } from './forward.ts';

/** Real resolvers on addresses of the loopback, and a clock that runs ten times as fast. */
const haste = 10;
const clock: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * haste,
  sleep: (ms, signal) => systemClock.sleep(ms / haste, signal),
  after: (ms, callback) => systemClock.after(ms / haste, callback),
};

let directory: string;
let resolverFile: string;
let port = 0;
let sockets: Socket[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'shoal-forward-'));
  resolverFile = join(directory, 'resolv.conf');
  port = 0;
});

afterEach(async () => {
  for (const socket of sockets) socket.close();
  sockets = [];
  await rm(directory, { recursive: true });
});

/** A resolver that answers with this code, or never; gives how many questions it was asked. */
async function resolver(address: string, code: number | 'never'): Promise<() => number> {
  const socket = createSocket('udp4');
  let asked = 0;
  socket.on('message', (bytes, from) => {
    asked++;
    if (code === 'never') return;
    const { id = 0, questions = [] } = packet.decode(bytes);
    socket.send(packet.encode({ type: 'response', id, flags: code, questions }), from.port, from.address);
  });
  socket.bind(port, address);
  await once(socket, 'listening');
  ({ port } = socket.address());
  sockets.push(socket);
  return () => asked;
}

async function forwarderTo(...resolvers: string[]): Promise<Forwarder> {
  await writeFile(resolverFile, resolvers.map((address) => `nameserver ${address}\n`).join(''));
  return new Forwarder({ clock, resolverFile, port });
}

const question = packet.encode({ type: 'query', id: 9, questions: [{ name: 'example.org', type: 'A' }] });

/** The code of the answer; undefined without one. */
async function ask(forwarder: Forwarder, client = 'one'): Promise<number | undefined> {
  const signal = AbortSignal.timeout(10_000);
  const answer = await forwarder.ask({ bytes: question, protocol: 'udp', client }, signal);
  return answer && answer[3]! & 0xf;
}

/** How long it takes, in the milliseconds of the fast clock. */
async function duration(work: Promise<unknown>): Promise<number> {
  const before = clock.monotonic();
  await work;
  return clock.monotonic() - before;
}

// The kernel refuses to connect to the broadcast address, as it refuses a network without a route.
test.each(['udp', 'tcp'] as const)(
  'a resolver that cannot be reached over %s gives no answer',
  async (protocol) => {
    const forwarder = await forwarderTo('255.255.255.255');
    const signal = AbortSignal.timeout(10_000);
    expect(await forwarder.ask({ bytes: question, protocol, client: 'one' }, signal)).toBeUndefined();
  },
);

test('a host without resolvers gives no answer', async () => {
  const forwarder = new Forwarder({ clock, resolverFile: join(directory, 'missing') });
  expect(await ask(forwarder)).toBeUndefined();
});

test('a dead first resolver costs the first question its head start, and those after it nothing', async () => {
  const dead = await resolver('127.0.0.2', 'never');
  await resolver('127.0.0.3', 0);
  const forwarder = await forwarderTo('127.0.0.2', '127.0.0.3');
  expect(await duration(ask(forwarder))).toBeGreaterThanOrEqual(headStartMs);
  expect(dead()).toBe(1);
  for (let round = 0; round < 5; round++) expect(await ask(forwarder)).toBe(0);
  expect(dead()).toBe(1);
});

test('a resolver that refuses to be spoken to hands on at once', async () => {
  await resolver('127.0.0.3', 0);
  const forwarder = await forwarderTo('127.0.0.2', '127.0.0.3');
  expect(await duration(ask(forwarder))).toBeLessThan(headStartMs);
});

test.each([2, 5])(
  'a resolver that answers with code %i is believed only when no other knows better',
  async (code) => {
    await resolver('127.0.0.2', code);
    const other = await resolver('127.0.0.3', 3);
    expect(await ask(await forwarderTo('127.0.0.2', '127.0.0.3'))).toBe(3);
    expect(other()).toBe(1);
    expect(await ask(await forwarderTo('127.0.0.2'))).toBe(code);
  },
);

test('a client whose questions nobody answers takes no place from others', async () => {
  await resolver('127.0.0.3', 0);
  const dead = await resolver('127.0.0.2', 'never');
  const forwarder = await forwarderTo('127.0.0.3');
  const signal = AbortSignal.timeout(10_000);
  const lost = () =>
    forwarder.ask({ bytes: question, protocol: 'udp', client: 'greedy', resolvers: ['127.0.0.2'] }, signal);
  const waiting = Array.from({ length: clientQuestionsMax }, lost);
  await vi.waitFor(() => expect(dead()).toBe(clientQuestionsMax));
  expect(await duration(lost())).toBeLessThan(headStartMs);
  expect(await ask(forwarder, 'modest')).toBe(0);
  expect(await Promise.all(waiting)).toEqual(Array(clientQuestionsMax).fill(undefined));
  expect(await ask(forwarder, 'greedy')).toBe(0);
});

test('clients that take all they can at the only resolver leave a place for another', async () => {
  const socket = createSocket('udp4');
  let unanswered = 0;
  socket.on('message', (bytes, from) => {
    const { id = 0, questions = [] } = packet.decode(bytes);
    if (questions[0]!.name === 'example.org') unanswered++;
    else socket.send(packet.encode({ type: 'response', id, questions }), from.port, from.address);
  });
  socket.bind(0, '127.0.0.2');
  await once(socket, 'listening');
  ({ port } = socket.address());
  sockets.push(socket);
  await writeFile(resolverFile, 'nameserver 127.0.0.2\n');
  const forwarder = new Forwarder({ clock: systemClock, resolverFile, port });
  const over = new AbortController();
  const lost = (client: string) => forwarder.ask({ bytes: question, protocol: 'udp', client }, over.signal);
  const greedy = Array.from({ length: 2 * (resolverQuestionsMax / clientQuestionsMax) }, (_, index) =>
    Array.from({ length: clientQuestionsMax }, () => lost(`greedy-${index}`)),
  ).flat();
  await vi.waitFor(() => expect(unanswered).toBeGreaterThan(resolverQuestionsMax / 2), { timeout: 3_500 });
  const bytes = packet.encode({ type: 'query', id: 9, questions: [{ name: 'example.com', type: 'A' }] });
  const modest = { bytes, protocol: 'udp', client: 'modest' } as const;
  expect(await forwarder.ask(modest, over.signal)).toBeDefined();
  over.abort();
  await Promise.all(greedy);
  expect(unanswered).toBeLessThan(resolverQuestionsMax);
});
