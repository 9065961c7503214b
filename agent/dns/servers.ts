/** DNS servers, one on each bridge's address, over UDP and TCP. */
import { createSocket, type Socket } from 'node:dgram';
import { createServer, type Server, type Socket as TcpSocket } from 'node:net';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { systemRandom } from '../../src/util/random.ts';
import { decide, fitAnswer } from './answer.ts';
import { serveConnection } from './connection.ts';
import { Forwarder } from './forward.ts';
import { buildNames, type Names } from './names.ts';
import { Budget } from './resolvers.ts';

/** Tried in this order on each bridge; the redirect from port 53 follows whichever was free. */
const portFirst = 10_053;
const portsTried = 16;
/** All that may be. */
export const dnsPorts = { first: portFirst, last: portFirst + portsTried - 1 } as const;
/** So many connections are served per bridge, and so many of one client; others are closed at once. */
const tcpConnectionsMax = 256;
export const tcpClientConnectionsMax = 16;

export interface DnsServersOptions {
  clock: Clock;
  log: Logger;
  resolverFile: string;
  /** Of resolvers. @default 53 */
  port?: number;
}

interface Running {
  udp: Socket;
  tcp: Server;
  port: number;
  connections: Set<TcpSocket>;
}

/** One way in: the address that was asked, and how. */
interface Door {
  server: string;
  protocol: 'udp' | 'tcp';
}

export class DnsServers {
  readonly #options: DnsServersOptions;
  readonly #forwarder: Forwarder;
  readonly #tcpClients = new Budget(tcpClientConnectionsMax);
  readonly #running = new Map<string, Running>();
  #names: Names = buildNames(
    { networks: new Map(), peers: new Map(), services: new Map(), endpoints: new Map() },
    [],
  );
  #stopping = new AbortController();

  constructor(options: DnsServersOptions) {
    this.#options = options;
    this.#forwarder = new Forwarder(options);
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
    const tcp = createServer((socket) => this.#serveTcp(socket, address, connections));
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
      void this.#answer(bytes, from.address, { server: address, protocol: 'udp' }).then((answer) => {
        // Replies go unseen when the server was closed in the meantime or the client is gone; DNS clients ask again.
        if (answer && this.#running.get(address)?.udp === udp)
          udp.send(answer, from.port, from.address, () => undefined);
      });
    });
    return { udp, tcp, port, connections };
  }

  /** Never rejects: whatever goes wrong with one question is logged, and the client hears nothing. */
  async #answer(bytes: Buffer, from: string, door: Door): Promise<Buffer | undefined> {
    try {
      const decision = decide({ bytes, from, ...door }, this.#names, systemRandom);
      if (decision.kind === 'drop') return undefined;
      if (decision.kind === 'answer') return decision.packet;
      const { client, resolvers } = decision;
      const question = { bytes, protocol: door.protocol, client, resolvers };
      const answer = await this.#forwarder.ask(question, this.#stopping.signal);
      return answer ? fitAnswer(answer, decision.bytesMax) : decision.failure;
    } catch (error) {
      this.#options.log.error('Cannot answer a DNS question', { from, error: messageOf(error) });
      return undefined;
    }
  }

  #serveTcp(socket: TcpSocket, server: string, connections: Set<TcpSocket>): void {
    const from = socket.remoteAddress ?? '';
    if (!this.#tcpClients.take(from)) return void socket.destroy();
    connections.add(socket);
    socket.on('close', () => {
      this.#tcpClients.giveBack(from);
      connections.delete(socket);
    });
    serveConnection(socket, this.#options.clock, (question) =>
      this.#answer(question, from, { server, protocol: 'tcp' }),
    );
  }
}

async function close({ udp, tcp, connections }: Running): Promise<void> {
  for (const socket of connections) socket.destroy();
  await Promise.all([
    new Promise<void>((resolve) => udp.close(() => resolve())),
    new Promise<void>((resolve) => tcp.close(() => resolve())),
  ]);
}
