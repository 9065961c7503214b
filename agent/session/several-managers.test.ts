import net from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { NodeDescription } from '../../src/spec/node.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { seededRandom } from '../../src/util/random.ts';
import { managerServerName } from '../../src/wire/certificates.ts';
import type { WebSocket } from 'ws';
import type { ToldManagers } from './connection.ts';
import { FakeManager, selfSigned } from './fake-manager.ts';
import { AgentSession, type Credentials } from './session.ts';

let credentials: Credentials;
let managers: FakeManager[];
let addresses: string[];
let session: AgentSession;
const told: ToldManagers[] = [];
const dials: (() => WebSocket)[] = [];
const waitFor = (check: () => void) => vi.waitFor(check, { timeout: 15_000, interval: 5 });

beforeEach(async () => {
  credentials = await selfSigned(managerServerName);
  managers = [1, 2, 3].map(() => new FakeManager(credentials));
  addresses = await Promise.all(managers.map((manager) => manager.listen()));
  told.length = dials.length = 0;
  session = new AgentSession({
    addresses: () => addresses,
    credentials: () => credentials,
    describe: () => Promise.resolve({ hostname: 'h' } as NodeDescription),
    host: 'one',
    conditions: () => [],
    clock: systemClock,
    random: seededRandom(1),
    log: silentLogger,
    stalledMs: () => 0,
    onManagers: (managers) => told.push(managers),
    onAssignments: () => undefined,
    onStream: (_id, _request, dial) => dials.push(dial),
  });
});

afterEach(async () => {
  await session.stop();
  for (const manager of managers) manager.close();
});

const sessions = () => managers.map((manager) => manager.sessions);

test('goes to another manager when its own has gone, and stays there', async () => {
  session.start();
  await waitFor(() => expect(session.connected).toBe(true));
  expect(sessions()).toEqual([1, 0, 0]);
  managers[0]!.close();
  await waitFor(() => expect(sessions()).toEqual([1, 1, 0]));
  await waitFor(() => expect(session.connected).toBe(true));
  session.reconnect();
  await waitFor(() => expect(sessions()).toEqual([1, 2, 0]));
});

test('passes over managers that are not there, or refuse it, without a pause', async () => {
  managers[0]!.close();
  managers[1]!.refuses = true;
  session.start();
  await waitFor(() => expect(sessions()).toEqual([0, 1, 1]));
  await waitFor(() => expect(session.connected).toBe(true));
});

test('passes over a manager whose host takes connections and says nothing', async () => {
  const silent = net.createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  addresses.unshift(`127.0.0.1:${(silent.address() as net.AddressInfo).port}`);
  session.start();
  await waitFor(() => expect(session.connected).toBe(true));
  expect(sessions()).toEqual([1, 0, 0]);
  silent.close();
});

test('hands on what it is told of the managers', async () => {
  session.start();
  await waitFor(() => expect(session.connected).toBe(true));
  managers[0]!.send({ type: 'managers', role: 'manager', addresses: ['192.0.2.1:2377', '192.0.2.2:2377'] });
  await waitFor(() =>
    expect(told).toEqual([{ role: 'manager', addresses: ['192.0.2.1:2377', '192.0.2.2:2377'] }]),
  );
});

test('a stream is dialled at the manager of the session, and at another one when that did not do', async () => {
  session.start();
  await waitFor(() => expect(session.connected).toBe(true));
  const request = { kind: 'logs', taskId: 't', follow: false } as const;
  managers[0]!.send({ type: 'stream', streamId: 's', request });
  await waitFor(() => expect(dials).toHaveLength(1));
  for (let attempt = 1; attempt <= 3; attempt++) dials[0]!();
  await waitFor(() => expect(managers.map(({ streams }) => streams.length)).toEqual([1, 1, 1]));
});
