import { expect, test } from 'vitest';
import { etcdFlags, type EtcdFlags } from './flags.ts';

const debian = { major: 3, minor: 4, patch: 23 };
const sample: EtcdFlags = {
  name: 'node-a',
  address: '192.0.2.1',
  ports: { client: 2379, peer: 2380 },
  dataFolder: '/state/data',
  certificates: { authority: '/c/ca.pem', certificate: '/c/cert.pem', privateKey: '/c/key.pem' },
  start: { state: 'continue' },
};
const flagsOf = (changes: Partial<EtcdFlags> = {}, version = debian) =>
  Object.fromEntries(
    etcdFlags(version, { ...sample, ...changes }).map((flag) => {
      const [name = '', ...value] = flag.split('=');
      return [name, value.join('=')];
    }),
  );

test('etcdFlags() lets in members and managers only, each by a name of its own', () => {
  expect(flagsOf()).toMatchObject({
    '--client-cert-auth': 'true',
    '--peer-client-cert-auth': 'true',
    '--peer-cert-allowed-cn': 'etcd-peer',
    '--client-cert-allowed-hostname': 'store.etcd.shoal',
    '--trusted-ca-file': '/c/ca.pem',
    '--peer-trusted-ca-file': '/c/ca.pem',
  });
  expect(etcdFlags(debian, sample).join(' ')).not.toContain('http:');
});

test('etcdFlags() names the first member alone, and a later one as the cluster answered', () => {
  expect(flagsOf({ start: { state: 'new', token: 'g1' } })).toMatchObject({
    '--initial-cluster': 'node-a=https://192.0.2.1:2380',
    '--initial-cluster-state': 'new',
    '--initial-cluster-token': 'g1',
  });
  const members = [
    { name: 'node-b', peerUrl: 'https://192.0.2.2:2380' },
    { name: 'node-a', peerUrl: 'https://192.0.2.1:2380' },
  ];
  const joining = flagsOf({ start: { state: 'existing', members } });
  expect(joining).toMatchObject({
    '--initial-cluster': 'node-b=https://192.0.2.2:2380,node-a=https://192.0.2.1:2380',
    '--initial-cluster-state': 'existing',
  });
  expect(Object.keys(flagsOf()).filter((name) => name.startsWith('--initial-cluster'))).toEqual([]);
});

test('etcdFlags() listens on loopback once, whatever the address', () => {
  expect(flagsOf()['--listen-client-urls']).toBe('https://192.0.2.1:2379,https://127.0.0.1:2379');
  expect(flagsOf({ address: '127.0.0.1' })['--listen-client-urls']).toBe('https://127.0.0.1:2379');
});

test('etcdFlags() asks for the check of its data by the name that the version has for it', () => {
  expect(flagsOf()).toHaveProperty('--experimental-initial-corrupt-check', 'true');
  const newer = flagsOf({}, { major: 3, minor: 6, patch: 9 });
  expect(newer).toHaveProperty('--feature-gates', 'InitialCorruptCheck=true');
  expect(newer).not.toHaveProperty('--experimental-initial-corrupt-check');
});
