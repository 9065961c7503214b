import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock, type Clock } from '../src/util/clock.ts';
import { silentLogger } from '../src/util/log.ts';
import { systemRandom } from '../src/util/random.ts';
import type { JoinAnswer, JoinTokens } from '../src/wire/api.ts';
import { certificateLifeMs, createKeyAndRequest, managerServerName } from '../src/wire/certificates.ts';
import { connect } from '../src/wire/client.ts';
import { startManager, type Manager } from './manager.ts';
import { createClusterStore } from './store/cluster-store.ts';
import { createMemoryStore } from './store/memory.ts';

const dayMs = 24 * 60 * 60 * 1000;

let folder: string;
let manager: Manager;
/** How far the manager's clock is ahead. */
let aheadMs: number;
/** Calls back at once for what would be waited for a minute. */
const timers: (() => void)[] = [];

const clock: Clock = {
  ...systemClock,
  now: () => systemClock.now() + aheadMs,
  after: (ms, callback) => {
    if (ms === 60_000) timers.push(callback);
    return systemClock.after(ms, callback);
  },
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-clock-'));
});
afterEach(async () => {
  await manager.stop();
  await rm(folder, { recursive: true });
});

async function start(ahead: number): Promise<void> {
  aheadMs = ahead;
  const options = {
    stateFolder: folder,
    runFolder: folder,
    listen: { host: '127.0.0.1', port: 0 },
    advertiseAddress: '127.0.0.1',
    initialise: {},
    logLevel: 'error' as const,
  };
  const openStore = () =>
    Promise.resolve(createClusterStore(createMemoryStore(), 'embedded', { clock, log: silentLogger }));
  manager = await startManager(options, { clock, random: systemRandom, log: silentLogger, openStore });
}

interface Credentials {
  ca: string;
  cert?: string;
  key?: string;
}

/** A request over TLS that is verified by the machine's own, right clock; gives the answer, and when the server's certificate ends. */
function call(
  path: string,
  body: object,
  tls: Credentials,
): Promise<{ answer: JoinAnswer; validTo: number }> {
  const target = {
    ...tls,
    host: '127.0.0.1',
    port: manager.port,
    servername: managerServerName,
    agent: false,
  };
  return new Promise((resolve, reject) => {
    const sent = request({ ...target, path, method: 'POST' }, (response) => {
      const validTo = Date.parse((response.socket as TLSSocket).getPeerCertificate().valid_to);
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => {
        if (response.statusCode === 200) resolve({ answer: JSON.parse(text) as JoinAnswer, validTo });
        else reject(new Error(text));
      });
    });
    sent.on('error', reject);
    sent.end(JSON.stringify(body));
  });
}

test('a cluster that was made by a clock days ahead goes on when the clock is right, with a server certificate made anew', async () => {
  await start(12 * dayMs);
  const client = connect(`unix://${join(folder, 'manager.sock')}`);
  const { worker: token } = await client.request<JoinTokens>('GET', '/tokens');
  const ca = await authorityPem();
  client.close();
  const { privateKeyPem, certificateRequestPem } = await createKeyAndRequest();
  const joined = await call('/join', { token, certificateRequestPem, hostname: 'host' }, { ca });
  expect(joined.validTo - systemClock.now()).toBeGreaterThan(certificateLifeMs + 11 * dayMs);
  aheadMs = 0;
  const own = { ca, cert: joined.answer.certificatePem, key: privateKeyPem };
  // The check waits for its minute; however often it has begun to, it is over now.
  const look = async () => {
    for (const tick of timers.splice(0)) tick();
    return (await call('/renew', { certificateRequestPem }, own)).validTo - systemClock.now();
  };
  await expect.poll(look, { timeout: 15_000, interval: 100 }).toBeLessThan(certificateLifeMs + dayMs);
  const renewed = await call('/renew', { certificateRequestPem }, own);
  expect(renewed.answer.nodeId).toBe(joined.answer.nodeId);
});

function authorityPem(): Promise<string> {
  return new Promise((resolve, reject) => {
    const target = { host: '127.0.0.1', port: manager.port, path: '/ca', rejectUnauthorized: false };
    const sent = request({ ...target, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve(text));
    });
    sent.on('error', reject);
    sent.end();
  });
}
