import { mkdtemp, rm } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import type { AdministratorRole } from '../src/spec/administrator.ts';
import type { NodeDescription, NodeRole } from '../src/spec/node.ts';
import { systemClock } from '../src/util/clock.ts';
import { silentLogger } from '../src/util/log.ts';
import { KeyedQueue } from '../src/util/queue.ts';
import { systemRandom } from '../src/util/random.ts';
import type { JoinAnswer } from '../src/wire/api.ts';
import { createKeyAndRequest, managerServerName } from '../src/wire/certificates.ts';
import { connect, errorOfAnswer, type Client } from '../src/wire/client.ts';
import {
  sessionPath,
  sessionProtocol,
  streamPath,
  type AgentMessage,
  type AssignmentPut,
  type ManagerMessage,
} from '../src/wire/session.ts';
import { StreamCounter, type AgentStreams, type ApiContext } from './api/context.ts';
import { ApplicationFeeds } from './api/feeds.ts';
import { allRoutes, allUpgrades } from './api/routes.ts';
import type { Route } from './api/router.ts';
import { createApiServer } from './api/server.ts';
import { soleSite } from './api/site.ts';
import type { UpgradeRoute } from './api/upgrade.ts';
import { Audit } from './audit/audit.ts';
import { createAdministrators, type Administrators } from './ca/administrators.ts';
import { createServerCertificate } from './ca/authority.ts';
import { initialiseCluster, joinTokens } from './ca/cluster.ts';
import { createJoiner } from './ca/join.ts';
import { createLogHub } from './logs/hub.ts';
import { createDispatcher } from './dispatcher/dispatcher.ts';
import { openDatabase } from './store/database.ts';
import { createMemoryStore } from './store/memory.ts';
import type { Database } from './store/objects.ts';
import { sampleNode } from '../test/samples.ts';

/** For tests: waits until `look` gives something; how long is bounded by the test's own limit. */
export async function until<T>(look: () => T | undefined | false): Promise<T> {
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    await systemClock.sleep(2);
  }
}

/** A client certificate and the key that belongs to it. */
export interface TestCredentials {
  certificatePem: string;
  privateKeyPem: string;
}

/** What a node has after it joined. */
export type TestIdentity = JoinAnswer & TestCredentials;

export interface TestManager extends AsyncDisposable {
  database: Database;
  /** Every path that is answered. */
  routes: readonly Route[];
  upgrades: readonly UpgradeRoute[];
  audit: Audit;
  agents: AgentStreams;
  /** Holds the audit log, in `audit`. */
  folder: string;
  /** Over the local socket. */
  client: Client;
  socketPath: string;
  port: number;
  token(role: NodeRole): string;
  /** Joins a host, which is called `host-N` unless another name is given. */
  join(role: NodeRole, hostname?: string): Promise<TestIdentity>;
  /** A request over TLS, with the node's certificate or none; throws the API's error. */
  call(path: string, credentials?: TestCredentials, body?: unknown, method?: string): Promise<unknown>;
  /** Makes an administrator. */
  administrator(role: AdministratorRole, lifeMs?: number): Promise<TestCredentials & { name: string }>;
  /** An agent session of the node, not greeted yet. */
  agent(identity: TestIdentity): Promise<TestAgent>;
}

/** A manager without its planning loops: store in memory, API on both sockets, dispatcher. */
export async function startTestManager(): Promise<TestManager> {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-manager-'));
  const common = { clock: systemClock, random: systemRandom, log: silentLogger };
  const store = createMemoryStore();
  const database = await openDatabase(store, systemClock);
  await initialiseCluster(database, {}, common);
  const cluster = database.view.cluster!;
  const authority = cluster.certificateAuthority;
  const dispatcher = createDispatcher({ ...common, database });
  const audit = await Audit.open({ ...common, folder: join(folder, 'audit') });
  const joiner = createJoiner({ ...common, database });
  const context: ApiContext = {
    ...common,
    database,
    audit,
    administrators: createAdministrators({ ...common, database }),
    agents: dispatcher,
    joiner,
    queue: new KeyedQueue(),
    streams: new StreamCounter(),
    logStreams: new StreamCounter(),
    logs: createLogHub({ database, clock: systemClock, agents: dispatcher }),
    feeds: new ApplicationFeeds({ database, clock: systemClock }),
    addresses: () => ['192.0.2.1:2377'],
    leader: () => '192.0.2.1:2377',
  };
  const routes = { routes: allRoutes(context), upgrades: allUpgrades(context) };
  const server = createApiServer({ site: soleSite(routes), ...common, audit, database });
  const own = await createServerCertificate(authority, cluster.clusterId, [], systemClock.now());
  const socketPath = join(folder, 'manager.sock');
  await server.listenLocal(socketPath);
  const tls = { ...own, certificateAuthorityPem: authority.certificatePem };
  const port = await server.listenSecure('127.0.0.1', 0, tls);
  dispatcher.start();
  const client = connect(`unix://${socketPath}`);
  const token = (role: NodeRole) => joinTokens(database.view.cluster!, [])[role];
  const approve = (nodeId: string, address: string) => approveAddress(database, nodeId, address);
  const target = { port, ca: authority.certificatePem, approve };
  let hosts = 0;
  return {
    database,
    ...routes,
    audit,
    agents: dispatcher,
    folder,
    client,
    socketPath,
    port,
    token,
    join: async (role, hostname) => {
      const { privateKeyPem, certificateRequestPem } = await createKeyAndRequest();
      const name = hostname ?? `host-${++hosts}`;
      const answer = await joiner.join({ token: token(role), certificateRequestPem, hostname: name });
      return { ...answer, privateKeyPem };
    },
    call: (path, credentials, body, method) => callSecure(target, path, credentials, body, method),
    administrator: (role, lifeMs) => createAdministrator(context.administrators, role, lifeMs),
    agent: (identity) => TestAgent.open(target, identity),
    [Symbol.asyncDispose]: async () => {
      client.close();
      await server.stop();
      await audit.stop();
      await dispatcher.stop();
      await database.close();
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
}

async function createAdministrator(
  administrators: Administrators,
  role: AdministratorRole,
  lifeMs: number | undefined,
): Promise<TestCredentials & { name: string }> {
  const name = `${role}-${systemRandom.id()}`;
  const { privateKeyPem, certificateRequestPem } = await createKeyAndRequest();
  const { certificatePem } = await administrators.create({ name, role, lifeMs, certificateRequestPem });
  return { name, certificatePem, privateKeyPem };
}

async function approveAddress(database: Database, nodeId: string, approvedAddress: string): Promise<void> {
  const node = database.view.nodes.get(nodeId);
  if (node === undefined) return;
  const object = { ...node, approvedAddress };
  await database.write([[{ kind: 'node', action: 'update', object }]]);
}

export interface SecureTarget {
  port: number;
  /** Absent with `rejectUnauthorized: false`, to ask for it. */
  ca?: string;
  rejectUnauthorized?: boolean;
  /** Lets the node have the address, though it connects from another one. */
  approve: (nodeId: string, address: string) => Promise<void>;
}

function tlsOptions(target: SecureTarget, identity: TestCredentials | undefined) {
  const own = identity && { cert: identity.certificatePem, key: identity.privateKeyPem };
  return { ...target, ...own, host: '127.0.0.1', servername: managerServerName };
}

export function callSecure(
  target: SecureTarget,
  path: string,
  identity?: TestCredentials,
  body?: unknown,
  method = body === undefined ? 'GET' : 'POST',
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest({ ...tlsOptions(target, identity), path, method }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      answer.on('end', () => {
        if (answer.statusCode! >= 400) reject(errorOfAnswer(answer.statusCode!, text));
        else resolve(answer.headers['content-type'] === 'application/json' ? JSON.parse(text) : text);
      });
    });
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** How many agents have said hello, for another address for each. */
let agents = 0;

/** The agent's side of a session, as the wire has it: keeps what it is told, and does nothing by itself. */
export class TestAgent {
  readonly nodeId: string;
  readonly messages: ManagerMessage[] = [];
  /** What the assignments add up to, by `KIND/ID`. */
  readonly assignments = new Map<string, AssignmentPut['value']>();
  closed = false;
  readonly #socket: WebSocket;
  readonly #target: SecureTarget;
  readonly #identity: TestIdentity;

  constructor(socket: WebSocket, target: SecureTarget, identity: TestIdentity) {
    this.nodeId = identity.nodeId;
    this.#socket = socket;
    this.#target = target;
    this.#identity = identity;
    socket.on('message', (data: Buffer) => this.#receive(JSON.parse(data.toString()) as ManagerMessage));
    socket.on('close', () => (this.closed = true));
    socket.on('error', () => undefined); // followed by close
  }

  static async open(target: SecureTarget, identity: TestIdentity): Promise<TestAgent> {
    const socket = openSocket(target, identity, sessionPath);
    const agent = new TestAgent(socket, target, identity);
    await opened(socket);
    return agent;
  }

  send(message: AgentMessage): void {
    this.#socket.send(JSON.stringify(message));
  }

  /** Says hello as a host at this address and waits for the complete set. */
  async greet(address = `192.0.2.${100 + agents++}`): Promise<void> {
    await this.#target.approve(this.nodeId, address);
    const description = { ...sampleNode(this.nodeId).description!, address };
    this.send(helloOf(description));
    await until(() => this.sequence > 0);
  }

  /** Number of the newest assignments message. */
  get sequence(): number {
    return this.assignmentMessages.at(-1)?.sequence ?? 0;
  }

  get assignmentMessages(): Extract<ManagerMessage, { type: 'assignments' }>[] {
    return this.messages.filter((message) => message.type === 'assignments');
  }

  /** Confirms everything that has come so far. */
  confirm(): void {
    this.send({ type: 'applied', sequence: this.sequence });
  }

  /** Dials back for a stream that the manager asked for. */
  async dialBack(streamId: string): Promise<WebSocket> {
    const socket = this.dial(streamId);
    await opened(socket);
    return socket;
  }

  /** The same, before it stands. */
  dial(streamId: string): WebSocket {
    return openSocket(this.#target, this.#identity, `${streamPath}/${streamId}`);
  }

  close(): void {
    this.#socket.terminate();
  }

  #receive(message: ManagerMessage): void {
    this.messages.push(message);
    if (message.type !== 'assignments') return;
    if (message.mode === 'complete' && this.assignmentMessages.at(-2)?.more !== true)
      this.assignments.clear();
    for (const { kind, value } of message.put) this.assignments.set(`${kind}/${value.id}`, value);
    for (const { kind, id } of message.remove) this.assignments.delete(`${kind}/${id}`);
  }
}

/** The hello of a host of its own, whose clock is right. */
export function helloOf(
  description: NodeDescription,
  changes: Partial<Extract<AgentMessage, { type: 'hello' }>> = {},
): AgentMessage {
  const { hostname: host } = description;
  const at = systemClock.now();
  return { type: 'hello', protocol: sessionProtocol, at, instance: host, host, description, ...changes };
}

function openSocket(target: SecureTarget, identity: TestIdentity, path: string): WebSocket {
  return new WebSocket(`wss://127.0.0.1:${target.port}${path}`, tlsOptions(target, identity));
}

function opened(socket: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
}
