import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, mkdtemp, rm } from 'node:fs/promises';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { WebSocket } from 'ws';
import { managerRate } from '../../agent/network/isolation.ts';
import { nft } from '../../agent/network/kernel.ts';
import { helloOf } from '../../manager/testing.ts';
import { heartbeatIntervalMs } from '../../src/spec/defaults.ts';
import type { AdministratorAnswer, JoinAnswer, JoinTokens } from '../../src/wire/api.ts';
import { createKeyAndRequest, managerServerName } from '../../src/wire/certificates.ts';
import { connect, type Client } from '../../src/wire/client.ts';
import { sessionPath } from '../../src/wire/session.ts';
import { systemClock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { sampleNode } from '../samples.ts';
import { attackNames, type AttackData, type AttackName } from './attack-load.ts';

/** How long each attack goes on, and how long the manager has afterwards. */
const attackMs = 8_000;
const restMs = 6_000;
const agentsCount = 5;
const askIntervalMs = 50;

type Credentials = AttackData['credentials'];

export interface AttackResult {
  attack: AttackName;
  /** The slowest answer to an administrator, on the local socket and over a new TLS connection each time (ms). */
  worstLocalMs: number;
  worstRemoteMs: number;
  requests: number;
  failed: number;
  /** Sessions of honest agents that ended. */
  sessionsLost: number;
  /** Resident memory of the manager (MiB). */
  before: number;
  peak: number;
  after: number;
}

interface Cluster {
  manager: ChildProcess;
  client: Client;
  port: number;
  administrator: Credentials;
  worker: Credentials;
  lost: () => number;
}

/** Limits connections to the manager as the packet filter of its host does. */
const table = `inet shoal_bench_${process.pid}`;

/**
 * A real manager on loopback with some agents, behind what the packet filter of its host has for it, under one attack after
 * another; `only` names the attacks in their order, one that is named twice is made twice. All by default.
 */
export async function measureAttacks(only?: string): Promise<AttackResult[]> {
  const names = only === undefined ? attackNames : only.split(',').map(attackOf);
  const folder = await mkdtemp(join(tmpdir(), 'shoal-attack-'));
  const manager = fork(
    join(import.meta.dirname, '../../manager/main.ts'),
    [
      '--state',
      folder,
      '--run',
      folder,
      '--listen',
      '127.0.0.1:0',
      '--advertise',
      '127.0.0.1',
      '--init',
      '{}',
    ],
    { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], execArgv: ['--disable-warning=ExperimentalWarning'] },
  );
  try {
    const [{ port }] = (await once(manager, 'message')) as [{ port: number }];
    await nft(`table ${table} {${managerRate(String(port))}}\n`);
    const client = connect(`unix://${join(folder, 'manager.sock')}`);
    const cluster = await prepare(manager, client, port);
    const results: AttackResult[] = [];
    for (const attack of names) results.push(await measureOne(cluster, attack));
    client.close();
    return results;
  } finally {
    manager.kill('SIGKILL');
    await nft(`table ${table}\ndelete table ${table}\n`); // no error when there is none
    await rm(folder, { recursive: true, force: true });
  }
}

function attackOf(name: string): AttackName {
  const found = attackNames.find((each) => each === name);
  if (found) return found;
  throw new ShoalError('invalid_argument', `Unknown attack "${name}": use one of ${attackNames.join(', ')}`);
}

async function prepare(manager: ChildProcess, client: Client, port: number): Promise<Cluster> {
  const tokens = await client.request<JoinTokens>('GET', '/tokens');
  const { privateKeyPem, certificateRequestPem } = await createKeyAndRequest();
  const body = { name: 'bench', role: 'viewer', certificateRequestPem };
  const made = await client.request<AdministratorAnswer>('POST', '/administrators', body);
  let lost = 0;
  for (let index = 0; index < agentsCount; index++) {
    const localAddress = `127.0.0.${10 + index}`;
    const credentials = await joinAs(port, tokens.worker, `agent-${index}`);
    await startAgent(port, credentials, localAddress, () => lost++);
  }
  const worker = await joinAs(port, tokens.worker, 'attacker');
  const ca = worker.ca;
  const administrator = { cert: made.certificatePem, key: privateKeyPem, ca };
  return { manager, client, port, administrator, worker, lost: () => lost };
}

async function joinAs(port: number, token: string, hostname: string): Promise<Credentials> {
  const { privateKeyPem, certificateRequestPem } = await createKeyAndRequest();
  const text = await callSecure(port, { rejectUnauthorized: false }, 'POST', '/join', {
    token,
    certificateRequestPem,
    hostname,
  });
  const answer = JSON.parse(text) as JoinAnswer;
  return { cert: answer.certificatePem, key: privateKeyPem, ca: answer.certificateAuthorityPem };
}

/** A connection of its own for one request. Rejects when the answer is not a success. */
function callSecure(
  port: number,
  tls: https.RequestOptions,
  method: string,
  path: string,
  body?: unknown,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = {
      ...tls,
      host: '127.0.0.1',
      port,
      method,
      path,
      agent: false,
      servername: managerServerName,
    };
    const request = https.request(options, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => (text += part));
      answer.on('end', () =>
        (answer.statusCode ?? 500) < 400 ? resolve(text) : reject(new Error(`${answer.statusCode} ${text}`)),
      );
    });
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** An agent that greets and beats, and counts how often it loses its session. */
async function startAgent(
  port: number,
  credentials: Credentials,
  localAddress: string,
  onLost: () => void,
): Promise<void> {
  const options = { ...credentials, localAddress, servername: managerServerName, perMessageDeflate: false };
  const socket = new WebSocket(`wss://127.0.0.1:${port}${sessionPath}`, options);
  await once(socket, 'open');
  const description = { ...sampleNode('agent').description!, address: localAddress };
  socket.send(JSON.stringify(helloOf(description, { host: localAddress, instance: localAddress })));
  const beat = () => {
    if (socket.readyState !== socket.OPEN) return;
    socket.send(JSON.stringify({ type: 'heartbeat' }));
    systemClock.after(heartbeatIntervalMs, beat);
  };
  beat();
  socket.on('error', () => undefined); // followed by close
  socket.once('close', onLost);
}

async function measureOne(cluster: Cluster, attack: AttackName): Promise<AttackResult> {
  const { manager, client, port, administrator, worker, lost } = cluster;
  const before = await residentOf(manager);
  const lostBefore = lost();
  const workerData: AttackData = { attack, port, credentials: worker, localAddress: '127.0.1.1' };
  const thread = new Worker(new URL('./attack-load.ts', import.meta.url), { workerData });
  const local: number[] = [];
  const remote: number[] = [];
  let failed = 0;
  let peak = before;
  const ask = async (times: number[], request: () => Promise<unknown>) => {
    const start = systemClock.monotonic();
    await request().catch(() => failed++);
    times.push(systemClock.monotonic() - start);
  };
  const end = systemClock.monotonic() + attackMs;
  while (systemClock.monotonic() < end) {
    await ask(local, () => client.request('GET', '/nodes'));
    await ask(remote, () => callSecure(port, administrator, 'GET', '/api/v1/nodes'));
    peak = Math.max(peak, await residentOf(manager));
    await systemClock.sleep(askIntervalMs);
  }
  await thread.terminate();
  await systemClock.sleep(restMs);
  return {
    attack,
    worstLocalMs: Math.max(...local),
    worstRemoteMs: Math.max(...remote),
    requests: local.length + remote.length,
    failed,
    sessionsLost: lost() - lostBefore,
    before,
    peak,
    after: await residentOf(manager),
  };
}

async function residentOf({ pid }: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024;
}

export function attackTable(results: AttackResult[]): string {
  const head =
    '| Attack | worst answer, local (ms) | over TLS (ms) | requests | failed | sessions lost | manager before, peak, after (MiB) |\n|---|---|---|---|---|---|---|';
  const rows = results.map((row) => {
    const memory = [row.before, row.peak, row.after].map((value) => value.toFixed(0)).join(', ');
    const cells = [row.worstLocalMs, row.worstRemoteMs].map((value) => value.toFixed(0));
    return `| ${row.attack} | ${cells.join(' | ')} | ${row.requests} | ${row.failed} | ${row.sessionsLost} | ${memory} |`;
  });
  return [head, ...rows].join('\n');
}
