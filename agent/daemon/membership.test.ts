import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkOwnAddress } from './address.ts';
import { managerAddress } from './joining.ts';
import { lockState } from './lock.ts';
import { MembershipStore, type Identity } from './membership.ts';
import { parseDaemonOptions } from './options.ts';

let directory: string;
const identity: Identity = {
  membership: {
    nodeId: 'n',
    role: 'worker',
    clusterId: 'c',
    advertiseAddress: '10.0.0.1',
    managerAddresses: ['m:1'],
  },
  credentials: { key: 'key', cert: 'cert', ca: 'ca' },
};

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'shoal-agent-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

test('a host that gets another address stays who it is', async () => {
  const store = new MembershipStore(directory);
  await store.save(identity);
  await store.move(identity, '10.0.0.9');
  const { membership, credentials } = identity;
  expect(await store.load()).toEqual({
    credentials,
    membership: { ...membership, advertiseAddress: '10.0.0.9' },
  });
});

test('only an address that this host has is taken', () => {
  expect(checkOwnAddress('127.0.0.1')).toBe('127.0.0.1');
  for (const [address, why] of [
    ['198.51.100.250', 'this host does not have it'],
    ['host.example', 'it is not an IPv4 address'],
  ]) {
    expect(() => checkOwnAddress(address!)).toThrow(why);
  }
});

test('an identity comes back as it was saved, its files for root alone', async () => {
  const store = new MembershipStore(directory);
  expect(await store.load()).toBeUndefined();
  await store.save(identity);
  expect(await new MembershipStore(directory).load()).toEqual(identity);
  const folder = join(directory, 'certificates');
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
});

test('new certificates replace the old ones together, and nothing old stays', async () => {
  const store = new MembershipStore(directory);
  await store.save(identity);
  const renewed = { key: 'key2', cert: 'cert2', ca: 'ca2' };
  await store.saveCredentials(renewed);
  expect(await store.load()).toEqual({ ...identity, credentials: renewed });
  expect(readdirSync(directory).filter((name) => name.startsWith('certificates-'))).toHaveLength(1);
});

test('a save that was cut off before its note makes no member, and forgetting leaves nothing', async () => {
  const store = new MembershipStore(directory);
  await store.saveCredentials(identity.credentials);
  writeFileSync(join(directory, 'node.json.new'), '{"nodeId":');
  expect(await store.load()).toBeUndefined();
  await store.save(identity);
  await store.forget();
  expect(await store.load()).toBeUndefined();
  expect(readdirSync(directory)).toEqual([]);
});

test('a state folder is used by one daemon at a time', () => {
  const first = lockState(directory, directory);
  expect(() => lockState(directory, directory)).toThrow(/another shoal daemon/);
  first.release();
  lockState(directory, directory).release();
});

test('options are read, and what is not known is refused', () => {
  const options = parseDaemonOptions([
    '--listen',
    '127.0.0.1:99',
    '--insecure-registry',
    'a',
    '--insecure-registry=b',
  ]);
  expect(options).toMatchObject({ listen: { host: '127.0.0.1', port: 99 }, insecureRegistries: ['a', 'b'] });
  expect(parseDaemonOptions(['--help'])).toBeUndefined();
  for (const wrong of [
    ['--nope'],
    ['positional'],
    ['--listen', 'x'],
    ['--data-port', '0'],
    ['--log-level', 'loud'],
  ]) {
    expect(() => parseDaemonOptions(wrong)).toThrow(/^Cannot /);
  }
});

test('a manager’s address has a port, the usual one when none is given', () => {
  expect(managerAddress('host')).toBe('host:2377');
  expect(managerAddress(' 10.0.0.1:99 ')).toBe('10.0.0.1:99');
  expect(() => managerAddress('http://x')).toThrow(/as a manager's address/);
});
