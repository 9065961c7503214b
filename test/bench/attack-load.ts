import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { workerData } from 'node:worker_threads';
import { WebSocket } from 'ws';
import { helloOf } from '../../manager/testing.ts';
import { managerServerName } from '../../src/wire/certificates.ts';
import { sessionPath, streamPath } from '../../src/wire/session.ts';
import { systemClock } from '../../src/util/clock.ts';
import { sampleNode } from '../samples.ts';

/** What a thread that attacks is told. */
export interface AttackData {
  attack: AttackName;
  port: number;
  /** A certified worker's, for the attacks that take one. */
  credentials: { cert: string; key: string; ca: string };
  localAddress: string;
}

const target = (data: AttackData) => ({
  host: '127.0.0.1',
  port: data.port,
  localAddress: data.localAddress,
  servername: managerServerName,
  rejectUnauthorized: false,
});
const chunk = Buffer.alloc(64 * 1024, '[');
const upgradeOf = (path: string) =>
  `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n` +
  'sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n';

/** Keeps `count` of something open, opening another one whenever one ends. */
function keep(count: number, open: () => Socket | TLSSocket): void {
  const again = () => {
    const socket = open();
    socket.on('error', () => undefined); // followed by close
    socket.on('close', () => systemClock.after(20, again));
  };
  for (let index = 0; index < count; index++) systemClock.after(index * 2, again);
}

function post(data: AttackData, headers: string): TLSSocket {
  const socket = connectTls(target(data), () => {
    socket.write(`POST /join HTTP/1.1\r\nhost: x\r\n${headers}\r\n\r\n`);
    const more = () => {
      if (socket.destroyed) return;
      const text = headers.startsWith('transfer')
        ? `${chunk.length.toString(16)}\r\n${chunk.toString()}\r\n`
        : chunk;
      if (socket.write(text)) systemClock.after(1, more);
      else socket.once('drain', more);
    };
    more();
  });
  return socket;
}

/** Sends the same request again and again, without waiting for answers, on as many connections. */
function requests(data: AttackData, request: { path: string; body: string; asWorker: boolean }): void {
  const { path, body, asWorker } = request;
  const { cert, key, ca } = data.credentials;
  const length = Buffer.byteLength(body);
  const text = `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${length}\r\n\r\n${body}`.repeat(20);
  keep(32, () => {
    const socket = connectTls({ ...target(data), ...(asWorker && { cert, key, ca }) }, () => {
      const more = () => {
        if (!socket.destroyed) socket.write(text, () => setImmediate(more));
      };
      more();
    });
    socket.resume();
    return socket;
  });
}

/** A session of the worker, opened again whenever it ends; `act` is called when it stands. */
function sessions(
  data: AttackData,
  count: number,
  act: (socket: WebSocket) => void,
  path = sessionPath,
): void {
  const { cert, key, ca } = data.credentials;
  const open = () => {
    const options = { ...target(data), cert, key, ca, perMessageDeflate: false };
    const socket = new WebSocket(`wss://127.0.0.1:${data.port}${path}`, options);
    socket.on('open', () => act(socket));
    socket.on('error', () => undefined); // followed by close
    socket.on('close', () => systemClock.after(5, open));
  };
  for (let index = 0; index < count; index++) open();
}

function hello(data: AttackData, host: string): string {
  const description = { ...sampleNode('attacker').description!, address: data.localAddress };
  return JSON.stringify(helloOf(description, { host, instance: host }));
}

/** Sends as fast as the connection takes it. */
function flood(socket: WebSocket, text: string): void {
  const more = () => {
    if (socket.readyState === socket.OPEN) socket.send(text, () => setImmediate(more));
  };
  more();
}

const longStatus = { state: 'running', at: 1, message: 'x'.repeat(1_900) };
const statuses = JSON.stringify({
  type: 'status',
  batch: 1,
  tasks: Array.from({ length: 450 }, (_, index) => ({ taskId: `t${index}`, status: longStatus })),
});
const malformed = JSON.stringify({
  type: 'status',
  batch: 1,
  tasks: [{ taskId: 't', status: { state: 'running', at: 1, message: '', hostPorts: 7 } }],
});

const attacks = {
  none: () => undefined,
  'unfinished bodies': (data: AttackData) => keep(40, () => post(data, 'content-length: 32505856')),
  'bracket bomb': (data: AttackData) => keep(4, () => post(data, 'transfer-encoding: chunked')),
  'silent connections': (data: AttackData) => keep(4_100, () => connectTcp(target(data))),
  'refused upgrades': (data: AttackData) =>
    keep(500, () => {
      const options = { ...target(data), allowHalfOpen: true };
      const socket = connectTls(options, () => socket.write(upgradeOf(sessionPath)));
      socket.on('end', () => systemClock.after(2_000, () => socket.destroy()));
      return socket;
    }),
  'handshakes never finished': (data: AttackData) =>
    keep(1_000, () => {
      const socket = connectTcp(target(data), () =>
        socket.write(Buffer.from('1603010200010001fc0303', 'hex')),
      );
      return socket;
    }),
  'malformed messages': (data: AttackData) =>
    sessions(data, 4, (socket) => {
      socket.send(hello(data, 'attacker'));
      flood(socket, malformed);
    }),
  'status flood': (data: AttackData) =>
    sessions(data, 1, (socket) => {
      socket.send(hello(data, 'attacker'));
      flood(socket, statuses);
    }),
  'hello flood of two hosts': (data: AttackData) => {
    for (const host of ['one', 'two']) sessions(data, 2, (socket) => flood(socket, hello(data, host)));
  },
  'join flood': (data: AttackData) => {
    const body = JSON.stringify({ token: 'x'.repeat(100), certificateRequestPem: 'y', hostname: 'h' });
    requests(data, { path: '/join', body, asWorker: false });
  },
  'request flood': (data: AttackData) => requests(data, { path: '/leave', body: '{}', asWorker: true }),
  'stream flood': (data: AttackData) => sessions(data, 32, () => undefined, `${streamPath}/nobody-asked`),
};

export type AttackName = keyof typeof attacks;
export const attackNames = Object.keys(attacks) as AttackName[];

const given = workerData as AttackData | null;
if (given?.attack !== undefined) attacks[given.attack](given);
