import { expect, test } from 'vitest';
import { refusedNetworks } from './conflicts.ts';

const network = (id: string, subnet: string) => ({
  id,
  name: `app_${id}`,
  vni: 4096,
  subnet,
  internal: false,
  bridgeAddress: '10.64.0.1',
  peers: [],
});
const networks = [network('front', '10.64.0.0/20'), network('back', '10.64.16.0/20')];
const underlay = { addresses: [], connected: ['10.64.0.0/22', '192.0.2.0/24'], routed: ['10.64.16.0/20'] };

test('a network that would take the host from its own is refused, with the reason', () => {
  const refused = refusedNetworks(networks, underlay, () => false);
  expect([...refused.keys()]).toEqual(['front']);
  expect(refused.get('front')).toContain(
    'its subnet 10.64.0.0/20 overlaps 10.64.0.0/22, which the host is on itself',
  );
});

test('one that stands already stays', () => {
  expect(refusedNetworks(networks, underlay, (id) => id === 'front').size).toBe(0);
});
