/** DNS servers, one on each bridge's address, over UDP and TCP. */
import { createSocket, type Socket } from 'node:dgram';
import { createServer, type Server, type Socket as TcpSocket } from 'node:net';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { systemRandom } from '../../src/util/random.ts';
import { decide, fitAnswer } from './answer.ts';
import { framed, Forwarder } from './forward.ts';
import { buildNames, type Names } from './names.ts';

/** Tried in this order on each bridge; the redirect from port 53 follows whichever was free. */
const portFirst = 10_053;
const portsTried = 16;
/** A TCP client that says nothing for this long is dropped, and at most this many are served per bridge. */
const tcpIdleMs = 10_000;
const tcpConnectionsMax = 256;
/** A length prefix and the longest message there can be. */
const tcpBufferBytesMax = 65_537;

export interface DnsServersOptions {
  clock: Clock;
  log: Logger;
  resolverFile: string;
}

interface Running {
  udp: Socket;
  tcp: Server;
  port: number;
  connections: Set<TcpSocket>;
}

export class DnsServers {
  readonly #options: DnsServersOptions;
  readonly #forwarder: Forwarder;
  readonly #running = new Map<string, Running>();
  #names: Names = buildNames(
    { networks: new Map(), peers: new Map(), services: new Map(), endpoints: new Map() },
    [],
  );
  #stopping = new AbortController();

  constructor(options: DnsServersOptions) {
    this.#options = options;
    this.#forwarder = new Forwarder(options.clock, options.resolverFile);
  }

  /** What the next questions are answered from. */
  setNames(names: Names): void {
    this.#names = names;
  }

  /** Bridge address to port. */
  ports(): Map<string, number> {
    return new Map([...this.#running].map(([address, { port }]) => [address, port]));
  }

  /** Serves exactly these addresses, which must be the host's; gives their ports. */
  async listen(addresses: readonly string[]): Promise<Map<string, number>> {
    if (this.#stopping.signal.aborted) this.#stopping = new AbortController();
    for (const [address, running] of this.#running) {
      if (addresses.includes(address)) continue;
      this.#running.delete(address);
      await close(running);
    }
    for (const address of addresses) {
      if (!this.#running.has(address)) this.#running.set(address, await this.#open(address));
    }
    return this.ports();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the DNS server stops'));
    const running = [...this.#running.values()];
    this.#running.clear();
    await Promise.all(running.map(close));
  }

  async #open(address: string): Promise<Running> {
    let last: unknown;
    for (let port = portFirst; port < portFirst + portsTried; port++) {
      try {
        return await this.#openOn(address, port);
      } catch (error) {
        last = error;
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') break;
      }
    }
    throw new ShoalError('network_failed', `Cannot serve DNS on ${address}`, { cause: last });
  }

  async #openOn(address: string, port: number): Promise<Running> {
    const connections = new Set<TcpSocket>();
    const tcp = createServer((socket) => this.#serveTcp(socket, connections));
    tcp.maxConnections = tcpConnectionsMax;
    await new Promise<void>((resolve, reject) => {
      tcp.once('error', reject);
      tcp.listen({ host: address, port, exclusive: true }, () => {
        tcp.off('error', reject);
        resolve();
      });
    });
    const udp = createSocket('udp4');
    try {
      await new Promise<void>((resolve, reject) => {
        udp.once('error', reject);
        udp.bind({ address, port, exclusive: true }, () => {
          udp.off('error', reject);
          resolve();
        });
      });
    } catch (error) {
      tcp.close();
      throw error;
    }
    const report = (error: Error) =>
      this.#options.log.warn('DNS server', { address, error: messageOf(error) });
    tcp.on('error', report);
    udp.on('error', report);
    udp.on('message', (bytes, from) => {
      void this.#answer(bytes, from.address, 'udp').then((answer) => {
        // Replies go unseen when the server was closed in the meantime or the client is gone; DNS clients ask again.
        if (answer && this.#running.get(address)?.udp === udp)
          udp.send(answer, from.port, from.address, () => undefined);
      });
    });
    return { udp, tcp, port, connections };
  }

  /** Never rejects: whatever goes wrong with one question is logged, and the client hears nothing. */
  async #answer(bytes: Buffer, from: string, protocol: 'udp' | 'tcp'): Promise<Buffer | undefined> {
    try {
      const decision = decide({ bytes, from, protocol }, this.#names, systemRandom);
      if (decision.kind === 'drop') return undefined;
      if (decision.kind === 'answer') return decision.packet;
      const answer = await this.#forwarder.ask(bytes, protocol, this.#stopping.signal, decision.resolvers);
      return answer ? fitAnswer(answer, decision.bytesMax) : decision.failure;
    } catch (error) {
      this.#options.log.error('Cannot answer a DNS question', { from, error: messageOf(error) });
      return undefined;
    }
  }

  #serveTcp(socket: TcpSocket, connections: Set<TcpSocket>): void {
    connections.add(socket);
    let received = Buffer.alloc(0);
    let busy = false;
    const expire = () => this.#options.clock.after(tcpIdleMs, () => socket.destroy());
    let cancelIdle = expire();
    socket.on('error', () => socket.destroy()); // the client went away
    socket.on('close', () => {
      cancelIdle();
      connections.delete(socket);
    });
    const next = async () => {
      if (busy) return;
      busy = true;
      // One question at a time, in order; a client may send several before it reads.
      while (received.length >= 2 && received.length >= received.readUInt16BE(0) + 2) {
        const length = received.readUInt16BE(0);
        const question = received.subarray(2, length + 2);
        received = received.subarray(length + 2);
        const answer = await this.#answer(question, socket.remoteAddress ?? '', 'tcp');
        if (!answer) {
          socket.destroy();
          return;
        }
        if (!socket.destroyed) socket.write(framed(answer));
      }
      busy = false;
      if (received.length <= tcpBufferBytesMax) socket.resume();
    };
    socket.on('data', (chunk) => {
      cancelIdle();
      cancelIdle = expire();
      received = Buffer.concat([received, chunk]);
      if (received.length > tcpBufferBytesMax) socket.pause();
      void next();
    });
  }
}

async function close({ udp, tcp, connections }: Running): Promise<void> {
  for (const socket of connections) socket.destroy();
  await Promise.all([
    new Promise<void>((resolve) => udp.close(() => resolve())),
    new Promise<void>((resolve) => tcp.close(() => resolve())),
  ]);
}
