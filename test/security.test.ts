import { fork, spawnSync } from 'node:child_process';
import { chmodSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Daemon } from '../agent/daemon/daemon.ts';
import { joinCluster } from '../agent/daemon/joining.ts';
import { MembershipStore } from '../agent/daemon/membership.ts';
import type { DaemonParts } from '../agent/daemon/parts.ts';
import { startTestManager, until, type TestCredentials, type TestManager } from '../manager/testing.ts';
import { systemClock } from '../src/util/clock.ts';
import { messageOf, ShoalError } from '../src/util/errors.ts';
import { silentLogger } from '../src/util/log.ts';
import { systemRandom } from '../src/util/random.ts';
import type { JoinTokens } from '../src/wire/api.ts';
import { createKeyAndRequest, managerServerName } from '../src/wire/certificates.ts';
import { connect, type Method } from '../src/wire/client.ts';
import { sampleService, sampleTask } from './samples.ts';
import { connectionRate } from '../src/wire/session.ts';

const root = join(import.meta.dirname, '..');
const page = readFileSync(join(root, 'docs/security.md'), 'utf8');

/** The rows of the page's table that begins with these headings, without their back quotes. */
function rowsOf(...header: string[]): string[][] {
  const cells = (line: string) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim().replaceAll('`', ''));
  const lines = page.split('\n');
  const start = lines.findIndex((line) => line.startsWith(`| ${header.join(' | ')} |`));
  expect(start, `the table ${header.join(', ')}`).toBeGreaterThan(-1);
  const end = lines.findIndex((line, index) => index > start && !line.startsWith('|'));
  return [cells(lines[start]!), ...lines.slice(start + 2, end).map(cells)];
}

/** Between two requests, so that the connections of this address stay below their limit. */
const pauseMs = 1_250 / connectionRate.perSecond;

interface Target {
  socketPath?: string;
  port?: number;
  credentials?: TestCredentials;
  ca?: string;
}

/** The status that a request is answered with; 101 when a WebSocket is opened. */
function statusOf(target: Target, endpoint: string): Promise<number> {
  const [, method, pattern, isWebSocket] = /^(\w+) (\S+)( \(WebSocket\))?$/.exec(endpoint)!;
  const path = pattern!.replaceAll(/:\w+/g, 'nothing');
  const handshake = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  };
  const { certificatePem: cert, privateKeyPem: key } = target.credentials ?? {};
  const secure = target.port === undefined ? {} : { cert, key, servername: managerServerName };
  const where =
    target.port === undefined ? { socketPath: target.socketPath } : { host: '127.0.0.1', ...target };
  const transport = target.port === undefined ? http : https;
  return new Promise((resolve, reject) => {
    const headers = isWebSocket === undefined ? {} : handshake;
    const sent = transport.request({ ...where, ...secure, agent: false, method, path, headers }, (answer) => {
      answer.destroy();
      resolve(answer.statusCode!);
    });
    sent.on('upgrade', (_, socket) => {
      socket.destroy();
      resolve(101);
    });
    sent.on('error', reject);
    sent.end(['GET', 'DELETE'].includes(method!) ? undefined : '{}');
  });
}

/** Whether somebody who is not root can connect. */
function canOthersConnect(socketPath: string): boolean {
  const nobody = 65_534;
  const program = `require('node:net').connect(${JSON.stringify(socketPath)}).on('connect', () => process.exit(0)).on('error', () => process.exit(1))`;
  return spawnSync(process.execPath, ['-e', program], { uid: nobody, gid: nobody }).status === 0;
}

const isRoot = process.getuid?.() === 0;

describe("the managers' port and socket", () => {
  const [header, ...access] = rowsOf('Access', 'root, local socket');
  const endpoints = rowsOf('Endpoint', 'Access').slice(1);
  let manager: TestManager;
  let other: TestManager;
  const targets = new Map<string, Target>();

  beforeAll(async () => {
    manager = await startTestManager();
    other = await startTestManager();
    chmodSync(manager.folder, 0o755); // so that the mode of the socket is what others meet
    const ca = manager.database.view.cluster!.certificateAuthority.certificatePem;
    const secure = (credentials?: TestCredentials) => ({ port: manager.port, ca, credentials });
    const socketPath = join(manager.folder, 'manager.sock');
    targets.set('root, local socket', { socketPath });
    for (const role of ['admin', 'operator', 'viewer'] as const) {
      targets.set(role, secure(await manager.administrator(role)));
    }
    targets.set('node', secure(await manager.join('worker')));
    const revoked = await manager.administrator('admin');
    await manager.client.request('DELETE', `/administrators/${revoked.name}`);
    targets.set('revoked', secure(revoked));
    targets.set('foreign', secure(await other.administrator('admin')));
    targets.set('no certificate', secure());
  });
  afterAll(async () => {
    await manager[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
  });

  test('every path that a manager answers is on the page, with the access that it asks for', () => {
    const routes = manager.routes.map(({ method, pattern, access }) => [`${method} ${pattern}`, access]);
    const upgrades = manager.upgrades.map(({ pattern, access }) => [`GET ${pattern} (WebSocket)`, access]);
    expect(Object.fromEntries(endpoints)).toEqual(Object.fromEntries([...routes, ...upgrades]));
    expect(new Set(endpoints.map(([, needed]) => needed))).toEqual(new Set(access.map(([needed]) => needed)));
  });

  test.each(header!.slice(1).filter((caller) => caller !== 'other user, local socket'))(
    '%s is answered as the page says',
    async (caller) => {
      const column = header!.indexOf(caller);
      const found: string[] = [];
      const expected: string[] = [];
      for (const [endpoint, needed] of endpoints) {
        await systemClock.sleep(pauseMs);
        const status = await statusOf(targets.get(caller)!, endpoint!);
        found.push(`${endpoint} ${[401, 403].includes(status) ? status : 'yes'}`);
        expected.push(`${endpoint} ${access.find(([name]) => name === needed)![column]!}`);
      }
      expect(found).toEqual(expected);
    },
    60_000,
  );

  test.runIf(isRoot)('another user of the host cannot connect', () => {
    expect(access.map((row) => row[header!.indexOf('other user, local socket')])).toEqual(
      access.map(() => 'no'),
    );
    const socketPath = join(manager.folder, 'manager.sock');
    expect(canOthersConnect(socketPath)).toBe(false);
    chmodSync(socketPath, 0o666);
    expect(canOthersConnect(socketPath)).toBe(true); // it is the mode that keeps them out
    chmodSync(socketPath, 0o600);
  });
});

describe('the local socket of a worker', () => {
  const rows = rowsOf('Endpoint', 'root', 'other user').slice(1);
  let folder: string;
  let daemon: Daemon;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shoal-security-'));
    chmodSync(folder, 0o755);
    const membership = {
      nodeId: 'node',
      role: 'worker' as const,
      clusterId: 'cluster',
      advertiseAddress: '127.0.0.1',
      managerAddresses: ['127.0.0.1:9'],
    };
    await new MembershipStore(folder).save({ membership, credentials: { ca: '', cert: '', key: '' } });
    const parts = {
      engineAddress: () => '/nowhere',
      startEngine: () => Promise.reject(new Error('there is none here')),
      close: () => Promise.resolve(),
    } as unknown as DaemonParts;
    daemon = new Daemon({
      stateDirectory: folder,
      runDirectory: folder,
      engine: undefined,
      listen: { host: '127.0.0.1', port: 9 },
      advertiseAddress: '127.0.0.1',
      dataPort: 4789,
      insecureRegistries: [],
      cgroupParent: undefined,
      hostname: 'worker',
      logLevel: 'error',
      clock: systemClock,
      random: systemRandom,
      log: silentLogger,
      writeLine: () => undefined,
      parts,
    });
    await daemon.start();
  });
  afterAll(async () => {
    await daemon.stop();
    await rm(folder, { recursive: true });
  });

  test('root is answered as the page says', async () => {
    // Leaving comes last: afterwards it is no worker any more.
    const ordered = rows.toSorted(
      ([left], [right]) => Number(left!.includes('leave')) - Number(right!.includes('leave')),
    );
    for (const [endpoint, expected] of ordered) {
      const status = await statusOf({ socketPath: join(folder, 'shoal.sock') }, endpoint!);
      expect(`${endpoint} ${status}`).toBe(`${endpoint} ${expected}`);
    }
  });

  test.runIf(isRoot)('another user of the host cannot connect', () => {
    expect(rows.map((row) => row[2])).toEqual(rows.map(() => 'no'));
    expect(canOthersConnect(join(folder, 'shoal.sock'))).toBe(false);
  });
});

test('a node is told the secrets of its own tasks alone', async () => {
  await using manager = await startTestManager();
  const agents = [
    await manager.agent(await manager.join('worker')),
    await manager.agent(await manager.join('worker')),
  ];
  const data = (text: string) => Buffer.from(text).toString('base64');
  for (const name of ['mine', 'others', 'nobodys']) {
    await manager.client.request('POST', '/secrets', { name, data: data(`content of ${name}`) });
  }
  for (const [index, name] of ['mine', 'others'].entries()) {
    const web = sampleService(name);
    const task = sampleTask(web, 1, {
      nodeId: agents[index]!.nodeId,
      status: { state: 'assigned', at: 0, message: '' },
    });
    const reference = { name, target: `/run/secrets/${name}`, uid: 0, gid: 0, mode: 0o400 };
    const container = { ...task.template.container, secrets: [reference] };
    const object = { ...task, attachments: [], template: { ...task.template, networks: [], container } };
    await manager.database.write([
      [{ kind: 'service', action: 'create', object: web }],
      [{ kind: 'task', action: 'create', object }],
    ]);
  }
  for (const [index, agent] of agents.entries()) await agent.greet(`192.0.2.${index + 1}`);
  const told = (index: number) =>
    [...agents[index]!.assignments].filter(([key]) => key.startsWith('secret/')).map(([, { id }]) => id);
  await until(() => told(0).length > 0 && told(1).length > 0);
  const { secrets } = manager.database.view;
  const idOf = (name: string) => secrets.values().find(({ spec }) => spec.name === name)!.id;
  expect([told(0), told(1)]).toEqual([[idOf('mine')], [idOf('others')]]);
});

test('no log line and no error holds a secret, a token or a key', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-security-'));
  const entry = join(root, 'manager/main.ts');
  const paths = ['--state', folder, '--run', folder, '--listen', '127.0.0.1:0', '--advertise', '127.0.0.1'];
  const manager = fork(entry, [...paths, '--init', '{}', '--log-level', 'debug'], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  let said = '';
  for (const stream of [manager.stdout!, manager.stderr!]) {
    stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  }
  const [ready] = (await once(manager, 'message')) as [{ port: number }];
  const client = connect(`unix://${join(folder, 'manager.sock')}`);
  const attempt = async (method: Method, path: string, body?: unknown) => {
    const answer = await client.request(method, path, body).catch((error: ShoalError) => error);
    if (answer instanceof ShoalError)
      said += `${messageOf(answer)} ${answer.next} ${JSON.stringify(answer.details)}`;
    return answer;
  };
  const content = 'confidential-content';
  const data = Buffer.from(content).toString('base64');
  const { privateKeyPem, certificateRequestPem } = await createKeyAndRequest();
  const tokens = (await attempt('GET', '/tokens')) as JoinTokens;
  await attempt('POST', '/secrets', { name: 'key', data });
  await attempt('POST', '/secrets', { name: 'key', data });
  await attempt('POST', '/secrets', { name: 'a b', data, more: data });
  await attempt('POST', '/secrets', { name: 'key2', data: `!${content}` });
  await attempt('POST', '/administrators', {
    name: 'a',
    role: 'admin',
    certificateRequestPem: privateKeyPem,
  });
  await attempt('POST', '/administrators', { name: 'a', role: 'admin', certificateRequestPem });
  await attempt('DELETE', '/administrators/a');
  await attempt('POST', '/tokens/worker/rotate');
  await attempt('PUT', '/applications/app', {
    name: 'app',
    secrets: [{ name: 'x', application: 'app', labels: {}, data }],
  });
  const request = { command: ['sh', content], tty: false, environment: { PASSWORD: content } };
  await client.exec('nothing', request).catch((error: unknown) => (said += messageOf(error)));
  for (const token of [tokens.worker, `${tokens.manager}0`, tokens.manager]) {
    await joinCluster(`127.0.0.1:${ready.port}`, token, { hostname: 'host', address: '127.0.0.1' }).catch(
      (error: unknown) => (said += messageOf(error)),
    );
  }
  await attempt('DELETE', '/secrets/key');
  client.close();
  manager.kill('SIGTERM');
  await once(manager, 'exit');
  await rm(folder, { recursive: true });
  expect(said).toContain('an administrator was created');
  const secretOf = (token: string) => token.split('-').at(-1)!;
  const hidden = [
    content,
    data,
    secretOf(tokens.worker),
    secretOf(tokens.manager),
    'PRIVATE KEY',
    'CERTIFICATE',
  ];
  const key = privateKeyPem.split('\n')[1]!;
  expect([...hidden, key].filter((text) => said.includes(text))).toEqual([]);
}, 60_000);

test('every test that the page names is there', () => {
  const rows = rowsOf('Broken into', 'Cannot').slice(1);
  const missing = rows.flatMap(([, , shown]) => {
    const [path = '', words = ''] = shown!.split(/: (.*)/s);
    const text = readFileSync(join(root, path), 'utf8');
    return text.includes(words.trim()) && words.trim() !== '' ? [] : [shown];
  });
  expect(rows.length).toBeGreaterThan(15);
  expect(missing).toEqual([]);
});
