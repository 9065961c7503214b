import { chmodSync, existsSync, statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startTestManager } from '../../manager/testing.ts';
import { contextOf } from '../../test/cli-samples.ts';
import { connect, type Client } from '../wire/client.ts';
import { parseArguments } from './arguments.ts';
import { create, ls, parseLife } from './commands/admin.ts';
import type { Command } from './command.ts';
import { defaultContextPath, targetOf } from './target.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-admin-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function run(command: Command, client: Client, words: string[]): Promise<string> {
  const { context, said } = contextOf(client, folder);
  await command.run(context, parseArguments(command, words));
  return said.map((line) => `${line}\n`).join('');
}

test('the context that is created drives the cluster over mutual TLS in its role', async () => {
  await using manager = await startTestManager();
  const said = await run(create, manager.client, ['alice', '--role', 'operator', '--duration', '12h']);
  const path = join(folder, 'alice.json');
  expect(said).toContain(`SHOAL_CONTEXT=${path} shoal ps`);
  expect(said).not.toContain('PRIVATE KEY');
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const host = `tcp://127.0.0.1:${manager.port}`;
  const { host: found, ...options } = targetOf({ host, environment: { SHOAL_CONTEXT: path } });
  const client = connect(found, options);
  await expect(client.request('GET', '/nodes')).resolves.toEqual([]);
  await expect(client.request('GET', '/tokens')).rejects.toMatchObject({ code: 'permission_denied' });
  await expect(
    client.exec('nothing', { command: ['sh'], tty: false, environment: {} }),
  ).rejects.toMatchObject({ code: 'not_found' });
  client.close();
  expect(await run(ls, manager.client, [])).toMatch(/^alice +operator +\d+s ago +in 1[12]h$/m);
});

test('a context without a host leads to the manager that made it', async () => {
  await using manager = await startTestManager();
  await run(create, manager.client, ['bob', '-o', 'b.json']);
  const context = join(folder, 'b.json');
  expect(targetOf({ context, environment: {} }).host).toBe('tcp://192.0.2.1:2377');
  expect(targetOf({ context, environment: { SHOAL_HOST: 'tcp://h:1' } }).host).toBe('tcp://h:1');
});

test('a name that is refused leaves no file, and a file that is there is not written over', async () => {
  await using manager = await startTestManager();
  await expect(run(create, manager.client, ['../Mallory'])).rejects.toMatchObject({
    code: 'invalid_argument',
  });
  expect(existsSync(join(folder, '.._Mallory.json'))).toBe(false);
  await writeFile(join(folder, 'carol.json'), 'mine');
  await expect(run(create, manager.client, ['carol'])).rejects.toMatchObject({ code: 'failed_precondition' });
  expect(manager.database.view.administrators.size).toBe(0);
});

test('a context that others can read is refused, and a broken one does not repeat what is in it', async () => {
  const path = join(folder, 'c.json');
  await writeFile(path, '{"privateKeyPem": "very secret', { mode: 0o600 });
  const read = () => targetOf({ context: path, environment: {} });
  expect(read).toThrow(/not the context of an administrator/);
  expect(read).not.toThrow(/very secret/);
  chmodSync(path, 0o644);
  expect(read).toThrow(/others can read it/);
});

test('without host and context the local daemon is meant; a host over TCP takes the default context', () => {
  expect(targetOf({ environment: {} })).toEqual({ host: 'unix:///run/shoal/shoal.sock' });
  expect(targetOf({ environment: { SHOAL_HOST: 'unix:///x', SHOAL_CONTEXT: '/nothing' } })).toEqual({
    host: 'unix:///x',
  });
  const environment = { XDG_CONFIG_HOME: folder };
  expect(() => targetOf({ host: 'tcp://h', environment })).toThrow(defaultContextPath(environment));
});

test.each(['', '0m', '367d', '1y', '-1d'])('%j is no duration', (text) => {
  expect(() => parseLife(text)).toThrow(/as a duration/);
});
