import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import type { WebSocket } from 'ws';
import { ManualClock } from '../../test/manual-clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { agentMessageBytesMax, type AgentMessage } from '../../src/wire/session.ts';
import { helloMsMax, Newcomers, newcomersOfNodeMax } from './newcomers.ts';
import { byteRate, resyncRate, sendStallMsMax, Session, unacknowledgedMax } from './session.ts';

/** A connection that takes what is sent, unless it is told to keep it. */
class FakeSocket extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  isStuck = false;
  closed = false;
  readonly sent: string[] = [];

  send(text: string, callback?: () => void): void {
    this.sent.push(text);
    if (!this.isStuck) callback?.();
  }

  terminate(): void {
    this.closed = true;
  }
}

function startSession() {
  const clock = new ManualClock();
  const socket = new FakeSocket();
  const transport = new PassThrough();
  const session = new Session(
    socket as unknown as WebSocket,
    { nodeId: 'n', remoteAddress: '192.0.2.1', transport },
    { clock, log: silentLogger },
    { message: () => {}, heard: () => {}, idle: () => {}, closed: () => {} },
  );
  const sendText = (text: string) => socket.emit('message', Buffer.from(text), false);
  const say = (message: AgentMessage) => sendText(JSON.stringify(message));
  return { clock, socket, session, transport, say, sendText };
}

test('an agent has only so many status batches that were not answered', () => {
  const { session, socket, say } = startSession();
  const tell = (batch: number) => say({ type: 'status', batch, tasks: [] });
  for (let batch = 1; batch <= unacknowledgedMax; batch++) tell(batch);
  session.acknowledge(1);
  session.decline(2);
  tell(5);
  tell(6);
  expect(socket.closed).toBe(false);
  tell(7);
  expect(socket.closed).toBe(true);
});

test('an agent asks for everything anew only so often', () => {
  const { clock, socket, say } = startSession();
  for (let count = 0; count < resyncRate.burst; count++) say({ type: 'resync' });
  clock.advance(1_000);
  say({ type: 'resync' });
  expect(socket.closed).toBe(false);
  say({ type: 'resync' });
  expect(socket.closed).toBe(true);
});

test('an agent sends only so many bytes, in however few messages', () => {
  const { socket, sendText } = startSession();
  const large = JSON.stringify({ type: 'later', filler: 'x'.repeat(agentMessageBytesMax - 100) });
  const most = Math.floor(byteRate.burst / large.length);
  for (let count = 0; count < most; count++) sendText(large);
  expect(socket.closed).toBe(false);
  sendText(large);
  expect(socket.closed).toBe(true);
});

test('an agent that takes nothing of what waits for it is cut off', () => {
  const { clock, session, socket } = startSession();
  socket.isStuck = true;
  session.complete([]);
  clock.advance(sendStallMsMax);
  session.checkProgress();
  expect(socket.closed).toBe(false);
  clock.advance(1);
  session.checkProgress();
  expect(socket.closed).toBe(true);
});

test('a connection that its agent’s side ends or resets has been left; one that breaks or is closed here has not', () => {
  const after = (happens: (it: ReturnType<typeof startSession>) => void) => {
    const it = startSession();
    happens(it);
    return it.session.hasLeft;
  };
  const failed = (code: string) =>
    after(({ transport }) => transport.emit('error', Object.assign(new Error(), { code })));
  expect(after(({ transport }) => transport.emit('end'))).toBe(true);
  expect([failed('ECONNRESET'), failed('ETIMEDOUT'), failed('EHOSTUNREACH')]).toEqual([true, false, false]);
  const closedHere = after(({ session, transport }) => {
    session.close('the node is down');
    transport.emit('end');
  });
  expect(closedHere).toBe(false);
});

test('of the connections of one node without a hello the oldest makes room, and none stays for long', () => {
  const clock = new ManualClock();
  const newcomers = new Newcomers(clock);
  const closed: string[] = [];
  const connect = (name: string, nodeId: string) => newcomers.add({ nodeId, close: () => closed.push(name) });
  for (let count = 0; count < newcomersOfNodeMax; count++) connect(`a${count}`, 'a');
  connect('b0', 'b');
  expect(closed).toEqual([]);
  connect('last', 'a');
  expect(closed).toEqual(['a0']);
  closed.length = 0;
  clock.advance(helloMsMax);
  expect(closed).toContain('last');
  expect(closed).toContain('b0');
});
