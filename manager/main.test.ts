import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ClusterInfo, JoinTokens } from '../src/wire/api.ts';
import { parseJoinToken } from '../src/wire/certificates.ts';
import { connect } from '../src/wire/client.ts';

let folder: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-manager-'));
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await rm(folder, { recursive: true });
});

function start(...extra: string[]): ChildProcess {
  const entry = new URL('main.ts', import.meta.url).pathname;
  const paths = ['--state', folder, '--run', join(folder, 'run')];
  const network = ['--listen', '127.0.0.1:0', '--advertise', '192.0.2.1'];
  const child = fork(entry, [...paths, ...network, ...extra], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  children.push(child);
  return child;
}

const messageOf = async (child: ChildProcess) => (await once(child, 'message'))[0] as unknown;

async function clusterId(): Promise<string> {
  const client = connect(`unix://${join(folder, 'run/manager.sock')}`);
  try {
    return (await client.request<ClusterInfo>('GET', '/cluster')).clusterId;
  } finally {
    client.close();
  }
}

test('a manager makes its cluster once, and is the same after a kill', async () => {
  const first = start('--init', '{}');
  expect(await messageOf(first)).toMatchObject({ type: 'ready' });
  const id = await clusterId();
  first.kill('SIGKILL');
  await once(first, 'exit');
  const second = start('--init', '{"addressPool":"10.1.0.0/16"}');
  expect(await messageOf(second)).toMatchObject({ type: 'ready' });
  expect(await clusterId()).toBe(id);
  expect(statSync(join(folder, 'manager')).mode & 0o777).toBe(0o700);
});

test('secrets and keys of the cluster are in no file of the manager in clear, and are there again after a kill', async () => {
  const content = Buffer.from('hunter2-hunter2-hunter2').toString('base64');
  const first = start('--init', '{}');
  await messageOf(first);
  const client = connect(`unix://${join(folder, 'run/manager.sock')}`);
  await client.request('POST', '/secrets', { name: 'password', data: content });
  const tokens = await client.request<JoinTokens>('GET', '/tokens');
  client.close();
  first.kill('SIGKILL');
  await once(first, 'exit');
  const secretOf = (token: string) => parseJoinToken(token).secret;
  const needles = [content, 'hunter2', 'PRIVATE KEY', secretOf(tokens.manager), secretOf(tokens.worker)];
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((file) =>
    file.isFile(),
  );
  expect(files.map(({ name }) => name)).toContain('store.sqlite');
  for (const { parentPath, name } of files) {
    const text = await readFile(join(parentPath, name), 'latin1');
    expect(needles.filter((needle) => text.includes(needle))).toEqual([]);
  }
  await messageOf(start());
  const again = connect(`unix://${join(folder, 'run/manager.sock')}`);
  const { manager, worker } = tokens;
  expect(await again.request('GET', '/tokens')).toMatchObject({ manager, worker });
  again.close();
});

test('a manager without a cluster says so and ends', async () => {
  const child = start();
  const exited = once(child, 'exit');
  expect(await messageOf(child)).toMatchObject({ type: 'failed', code: 'failed_precondition' });
  expect((await exited)[0]).toBe(1);
});

test('a manager refuses settings that cannot be', async () => {
  const child = start('--init', '{"subnetPrefix":3}');
  expect(await messageOf(child)).toMatchObject({ type: 'failed', code: 'invalid_argument' });
});

test.each([
  ['its daemon has gone', (child: ChildProcess) => child.disconnect()],
  ['it is told to', (child: ChildProcess) => child.kill('SIGTERM')],
])('a manager ends cleanly when %s', async (_, end) => {
  const child = start('--init', '{}');
  await messageOf(child);
  const exited = once(child, 'exit');
  end(child);
  expect(await exited).toEqual([0, null]);
  expect(existsSync(join(folder, 'run/manager.sock'))).toBe(false);
});
