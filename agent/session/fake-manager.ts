import { webcrypto } from 'node:crypto';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { WebSocketServer, type WebSocket } from 'ws';
import { systemClock } from '../../src/util/clock.ts';
import { exportPrivateKey, keyAlgorithm, signingAlgorithm } from '../../src/wire/certificates.ts';
import { decodeFrame } from '../../src/wire/frames.ts';
import { loadX509 } from '../../src/wire/x509.ts';
import {
  sessionPath,
  sessionProtocol,
  streamPath,
  type AgentMessage,
  type ManagerMessage,
} from '../../src/wire/session.ts';
import type { Credentials } from './session.ts';

/** One self-signed certificate serves both sides: it is its own authority. */
export async function selfSigned(name: string): Promise<Credentials> {
  const { X509CertificateGenerator, SubjectAlternativeNameExtension } = await loadX509();
  const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=test',
    keys,
    signingAlgorithm,
    notBefore: new Date(systemClock.now() - 60_000),
    notAfter: new Date(systemClock.now() + 3_600_000),
    extensions: [new SubjectAlternativeNameExtension([{ type: 'dns', value: name }])],
  });
  const cert = certificate.toString('pem');
  return { key: await exportPrivateKey(keys.privateKey), cert, ca: cert };
}

/** A manager that speaks the session's words over loopback TLS. */
export class FakeManager {
  readonly received: AgentMessage[] = [];
  readonly streams: { socket: WebSocket; frames: string[]; closed: Promise<unknown> }[] = [];
  sessions = 0;
  connections = 0;
  acknowledges = true;
  declines = false;
  refuses = false;
  protocol = sessionProtocol;
  /** So many connections for streams are closed before the manager knows whose they are. */
  closes = 0;
  #socket: WebSocket | undefined;
  readonly #server: https.Server;

  constructor(credentials: Credentials) {
    this.#server = https.createServer({ ...credentials, requestCert: true, rejectUnauthorized: true });
    const sockets = new WebSocketServer({ noServer: true });
    this.#server.on('connection', () => this.connections++);
    this.#server.on('upgrade', (request, socket, head) => {
      if (!(socket as TLSSocket).authorized) return socket.destroy();
      if (request.url?.startsWith(streamPath) && this.closes-- > 0) return socket.destroy();
      return sockets.handleUpgrade(request, socket, head, (accepted) => {
        if (request.url?.startsWith(streamPath)) this.#stream(accepted);
        else if (request.url === sessionPath) this.#session(accepted);
      });
    });
  }

  /** Gives `HOST:PORT`. */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  send(message: ManagerMessage): void {
    this.#socket!.send(JSON.stringify(message));
  }

  drop(): void {
    this.#socket?.terminate();
  }

  close(): void {
    this.#socket?.terminate();
    for (const { socket } of this.streams) socket.terminate();
    this.#server.close();
  }

  #stream(socket: WebSocket): void {
    const frames: string[] = [];
    socket.on('message', (data: Buffer) => {
      const frame = decodeFrame(data);
      frames.push(`${frame.type} ${frame.payload.toString()}`);
    });
    this.streams.push({ socket, frames, closed: new Promise((resolve) => socket.once('close', resolve)) });
  }

  #session(socket: WebSocket): void {
    this.sessions++;
    this.#socket = socket;
    socket.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString()) as AgentMessage;
      this.received.push(message);
      if (message.type === 'hello' && this.refuses) {
        this.send({ type: 'refused', code: 'already_exists', message: 'another host' });
        socket.close();
      } else if (message.type === 'hello') this.send({ ...welcome, protocol: this.protocol });
      if (message.type === 'status' && this.declines)
        this.send({ type: 'status-declined', batch: message.batch });
      else if (message.type === 'status' && this.acknowledges)
        this.send({ type: 'status-ack', batch: message.batch });
    });
  }
}

const welcome: Extract<ManagerMessage, { type: 'welcome' }> = {
  type: 'welcome',
  nodeId: 'n',
  heartbeatIntervalMs: 200,
  protocol: sessionProtocol,
  version: '0',
  at: 0,
};
