import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { tryCommand } from '../../src/util/command.ts';
import { answers, servicePort, virtual, World } from './network-world.ts';

const world = new World();
const host = () => world.hosts.hosts[0]!;
const sh = (script: string) => host().run('sh', '-ec', script);
const conditions = () => host().driver.call<{ type: string; message: string }[]>('conditions');
const waitFor = (look: () => Promise<void>) => vi.waitFor(look, { timeout: 30_000, interval: 100 });
const hasIptables = (await tryCommand('iptables', ['--version']).catch(() => undefined))?.exitCode === 0;

beforeAll(() => world.start());
afterAll(() => world.close());

const drop = {
  'an nft table with policy drop': `nft '
    table inet filter { chain forward { type filter hook forward priority 0; policy drop; ct state established accept; }; }'`,
  'what a Docker daemon leaves': `nft '
    table ip filter {
      chain DOCKER-USER { return; }; chain DOCKER-FORWARD { iifname "docker0" accept; };
      chain FORWARD { type filter hook forward priority 0; policy drop; counter jump DOCKER-USER; counter jump DOCKER-FORWARD; };
    }'`,
  'an input chain that takes SSH only': `nft '
    table inet filter { chain input { type filter hook input priority 0; policy drop; ct state established,related accept; iifname lo accept; tcp dport 22 accept; udp dport 4789 accept; }; }'`,
};

async function everythingPasses(): Promise<void> {
  const client = world.programs['client']!;
  expect(await answers(client, '10.64.0.12', servicePort, 1)).toEqual({ 'web2 10.64.0.21': 1 });
  expect(await answers(client, '10.64.0.11', servicePort, 1)).toEqual({ 'web1 10.64.0.21': 1 });
  expect(await answers(client, '192.0.2.100', servicePort, 1)).toEqual({ 'outside 192.0.2.1': 1 });
  const seen = Object.keys(await answers(world.outside, host().address, 80, 4));
  expect(seen.filter((answer) => !answer.startsWith('web'))).toEqual([]);
  expect(await client.call('query', { server: '10.64.0.1', name: 'app_web' })).toEqual({
    code: 0,
    data: [virtual.web],
  });
}

test.each(Object.entries(drop))('%s lets pass what is ours, and all else as before', async (_, script) => {
  const before = await sh('nft list tables');
  await sh(script);
  await waitFor(everythingPasses);
  await waitFor(async () => expect(await conditions()).toEqual([]));
  const tables = await sh('nft -s list ruleset | grep -A30 -E "^table (inet|ip) filter"');
  expect(tables).toMatch(/policy drop;/u);
  expect(tables.match(/comment "shoal"/gu)).toHaveLength(2);
  await sh('nft list tables | grep filter | sed "s/^/delete /" | nft -f -');
  expect(await sh('nft list tables')).toBe(before);
});

test('what drops all the same is told, with what to do, until it is gone', async () => {
  await sh(
    `nft 'table netdev guard { chain in { type filter hook ingress device shbprobe priority 0; policy drop; }; }'`,
  );
  await sh(
    `nft 'table inet other { chain c { type filter hook forward priority 3; policy accept; tcp dport 1 drop; }; }'`,
  );
  await waitFor(async () =>
    expect(await conditions()).toEqual([
      {
        type: 'ForeignFirewall',
        message: expect.stringMatching(
          /^packets from containers to the outside.* are dropped by .*; accept there/u,
        ) as string,
      },
    ]),
  );
  await sh('nft delete table netdev guard; nft delete table inet other');
  await waitFor(async () => expect(await conditions()).toEqual([]));
});

test.skipIf(!hasIptables)(
  'iptables reads its tables with our rules in them, and they stay over a reload',
  async () => {
    await sh('iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -A FORWARD -j DOCKER-USER');
    await waitFor(everythingPasses);
    expect(await sh('iptables -S DOCKER-USER')).toContain('-i shb+ -m comment --comment shoal -j ACCEPT');
    await sh('iptables-save > /tmp/saved; iptables -F; iptables-restore < /tmp/saved; rm /tmp/saved');
    await waitFor(everythingPasses);
    await sh('iptables -P FORWARD ACCEPT; iptables -F; iptables -X');
  },
);

test('purge takes our rules out of the tables of others, and puts switches of the host back', async () => {
  await sh(drop['what a Docker daemon leaves']);
  await waitFor(async () => expect(await sh('nft list ruleset')).toContain('comment "shoal"'));
  expect(await sh('cat /proc/sys/net/ipv4/ip_forward')).toBe('1\n');
  await host().driver.call('purge');
  expect(await sh('cat /proc/sys/net/ipv4/ip_forward')).toBe('0\n');
  const left = await sh('nft list ruleset');
  expect(left).toContain('chain DOCKER-USER');
  expect(left).not.toMatch(/shb|shoal/u);
  expect(await sh('ip -o link')).not.toMatch(/shb|shoal/u);
});
