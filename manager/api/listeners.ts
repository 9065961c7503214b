import { chmodSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net, { type AddressInfo, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { handshakeMsMax, type Admission } from './admission.ts';

/** Neither side has moved anything for this long: a caller that vanished, or does not read its answer. Streams write now and then. */
const silenceMsMax = 60_000;
/** Connections to the local socket, and to the managers' port of those who are known. */
const connectionsMax = 8_192;
/**
 * Connections that the kernel holds until they are accepted. When they are more, it drops whoever comes next, administrators too,
 * and they try again after 1 s. As many as Linux lets a program ask for by default (`net.core.somaxconn`).
 */
const backlogMax = 4_096;
const keepAliveInitialDelayMs = 30_000;

const limits: http.ServerOptions = {
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  keepAliveTimeout: 60_000,
  connectionsCheckingInterval: 1_000,
  // A caller that vanished without a word is noticed by the kernel.
  keepAlive: true,
  keepAliveInitialDelay: keepAliveInitialDelayMs,
  // The request of an exec travels in the query.
  maxHeaderSize: 64 * 1024,
};

export interface TlsMaterial {
  certificatePem: string;
  privateKeyPem: string;
  certificateAuthorityPem: string;
}

/** Something that accepts connections, and the server that talks on them. */
export interface Listener {
  server: http.Server;
  close(): Promise<void>;
}

/** Listens on a unix socket of mode 0600. */
export async function listenOnSocket(socketPath: string): Promise<Listener> {
  rmSync(socketPath, { force: true });
  const server = http.createServer(limits);
  server.timeout = silenceMsMax;
  server.maxConnections = connectionsMax;
  // Made with mode 0600 from the first moment: nobody else can connect before the mode is set.
  const before = process.umask(0o177);
  try {
    await listen(server, { path: socketPath });
  } finally {
    process.umask(before);
  }
  chmodSync(socketPath, 0o600);
  return {
    server,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

export interface SecureListener extends Listener {
  server: https.Server;
  port: number;
}

/** Listens with TLS. Every connection is looked at by `admission` before TLS begins on it. */
export async function listenWithTls(
  where: { host: string; port: number },
  tls: TlsMaterial,
  admission: Admission,
  log: Logger,
): Promise<SecureListener> {
  const server = https.createServer({
    ...limits,
    ...secureContext(tls),
    minVersion: 'TLSv1.3',
    handshakeTimeout: handshakeMsMax,
    requestCert: true,
    // Joining works without a certificate; every other route checks who is there.
    rejectUnauthorized: false,
  });
  server.timeout = silenceMsMax;
  server.on('tlsClientError', (error, socket) => {
    log.debug('TLS refused', { error: error.message });
    socket.destroy();
  });
  const sockets = new Set<Socket>();
  // A refused connection is to cost as little as can be, for others wait behind it: it is neither read from nor set up, and
  // ends with a reset, which leaves nothing in the kernel.
  const front = net.createServer({ pauseOnConnect: true }, (socket) => {
    const key = connectionKey(socket);
    if (!admission.admit(key, socket.remoteAddress ?? '', socket)) {
      socket.resetAndDestroy();
      return;
    }
    socket.setKeepAlive(true, keepAliveInitialDelayMs);
    sockets.add(socket);
    socket.on('error', (error) => log.debug('connection failed', { error: error.message }));
    socket.once('close', () => {
      sockets.delete(socket);
      admission.end(key);
    });
    server.emit('connection', socket);
  });
  front.maxConnections = connectionsMax;
  await listen(front, where);
  return {
    server,
    port: (front.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise((resolve) => front.close(resolve));
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Tells the connections to one port apart. */
export function connectionKey({ remoteAddress, remotePort }: Socket | TLSSocket): string {
  return `${remoteAddress} ${remotePort}`;
}

export function secureContext(tls: TlsMaterial): { cert: string; key: string; ca: string } {
  return { cert: tls.certificatePem, key: tls.privateKeyPem, ca: tls.certificateAuthorityPem };
}

function listen(server: net.Server, where: { path: string } | { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const place = 'path' in where ? where.path : `${where.host}:${where.port}`;
      const code = cause.code === 'EADDRINUSE' ? 'port_taken' : 'unavailable';
      reject(new ShoalError(code, `Cannot listen on ${place}`, { cause }));
    });
    server.listen({ ...where, backlog: backlogMax }, resolve);
  });
}
