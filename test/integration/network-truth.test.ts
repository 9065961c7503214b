import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { macOf } from '../../src/spec/address.ts';
import { vethName } from '../../agent/network/plan.ts';
import type { TestTask } from './network-cluster.ts';
import { answers, servicePort, taskId, virtual, World } from './network-world.ts';

const world = new World();
const host = () => world.hosts.hosts[0]!;
const sh = (script: string) => host().run('sh', '-ec', script);

beforeAll(async () => {
  await world.start();
  await sh(`
    nft 'table inet foreign { chain c { type filter hook forward priority 5; policy accept; tcp dport 1 drop; }; }'
    ip link add foreign0 type bridge
    ip addr add 198.51.100.1/24 dev foreign0
    ip link set foreign0 up`);
});
afterAll(() => world.close());

/** All that the driver has set up on the first host, without what is new with every interface. */
async function standing(): Promise<string[]> {
  const text = await sh(`
    ip -o -4 addr show | sed -E 's/^[0-9]+: //; s/ +valid_lft.*//'
    ip -o link show | grep -E ' sh[bvx]' | sed -E 's/^[0-9]+: ([^:@]+)[^<]*<([^>]*)> (.*) qdisc .* (master [^ ]+)? *state.*/link \\1 \\2 \\3 \\4/'
    bridge -d link show | tr -d '\\n' | sed 's/[0-9]*: /\\n/g' | grep -E '^sh[vx]' | grep -oE '^[^:@]+|(hairpin|learning|flood|neigh_suppress) (on|off)' | tr '\\n' ' ' | sed 's/sh[vx]/\\n&/g'
    echo
    bridge fdb show | grep '^0a:53' | grep -E 'static|dst' | sed 's/ permanent//'
    ip neigh show nud permanent
    ip route show
    nft -s list ruleset | sed -E '/set (dns|manager)_rates/,/^\t}/d; /map renewed/,/^\t}/d'
    cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/shb*/route_localnet /proc/sys/net/ipv4/conf/shb*/rp_filter`);
  return text
    .split('\n')
    .map((line) => line.trim().replaceAll(/LOWER_UP,?|,M-DOWN|expires \\S+/gu, ''))
    .filter((line) => line !== '')
    .toSorted();
}

const conditions = () => host().driver.call<{ type: string; message: string }[]>('conditions');

async function broken(): Promise<string> {
  const all = await conditions();
  return all.find(({ type }) => type === 'NetworkBroken')?.message ?? 'nothing is broken';
}

/** How soon is measured by `npm run bench -- faults`, not here. */
function waitFor(look: () => Promise<void>): Promise<void> {
  return vi.waitFor(look, { timeout: 30_000, interval: 50 });
}

function whole(): Promise<void> {
  return waitFor(async () => expect(await conditions()).toEqual([]));
}

const bridge = 'shbfrontnetwo';
const vxlan = 'shxfrontnetwo';
const remote = macOf('10.64.0.12');
const port = (name: string) => vethName(taskId(name), 0);

describe('what is changed in the kernel by somebody else is put right', () => {
  // Which of them is seen by what is told apart in read-links.test.ts; these are kinds of repair.
  test.each<[string, RegExp, string[]]>([
    [
      'rules',
      /^rules of the packet filter are gone/u,
      ['nft flush chain inet shoal services', 'nft flush chain bridge shoal guard'],
    ],
    ['a bridge', /^bridge shbfrontnetwo is gone/u, [`ip link del ${bridge}`]],
    [
      'a VXLAN port and a route',
      /bridge shbfrontnetwo is wrong: virtualSubnet missing|VXLAN port shxfrontnetwo is gone/u,
      [`ip route del 10.64.8.0/21 dev ${bridge}; ip link del ${vxlan}`],
    ],
    [
      'a bridge that is down, with its neighbours and routes',
      /^bridge shbfrontnetwo is wrong: .*not up/u,
      [`ip link set ${bridge} down`],
    ],
    [
      'entries and switches',
      / and \d more/u,
      [
        `bridge fdb del ${remote} dev ${vxlan} self`,
        `bridge fdb del ${macOf('10.64.0.2')} dev ${vxlan} master`,
        `bridge fdb replace ${macOf('10.64.0.3')} dev ${vxlan} dst 192.0.2.66 self permanent`,
        `ip neigh replace 10.64.0.12 lladdr 02:00:00:00:00:01 dev ${bridge} nud permanent`,
        `ip link set ${vxlan} type bridge_slave learning on`,
        `sysctl -qw net.ipv4.conf.${bridge}.rp_filter=0`,
        'sysctl -qw net.ipv4.ip_forward=0',
      ],
    ],
    [
      'interfaces of tasks',
      /^port shv/u,
      [
        `ip link del ${port('client')}`,
        `ip link set ${port('other')} nomaster`,
        `ip link set ${port('web1')} down`,
      ],
    ],
  ])('%s', async (_, words, damage) => {
    const before = await standing();
    await sh(damage.join('\n'));
    await waitFor(async () => expect(await broken()).toMatch(words));
    await waitFor(async () => expect(await standing()).toEqual(before));
    const client = world.programs['client']!;
    expect(await answers(client, '10.64.0.12', servicePort, 1)).toEqual({ 'web2 10.64.0.21': 1 });
    expect(await answers(client, '10.64.0.11', servicePort, 1)).toEqual({ 'web1 10.64.0.21': 1 });
  });

  test('and what is not ours is left alone', async () => {
    expect(await sh('nft list table inet foreign; ip addr show foreign0')).toMatch(
      /drop[\s\S]*198\.51\.100\.1/u,
    );
  });

  test('the host says so only for some seconds', whole);
});

test('after `nft flush ruleset` ports and names come back, and the host says so meanwhile', async () => {
  await sh('nft flush ruleset');
  await waitFor(async () => expect(await broken()).toContain('are gone or changed'));
  await waitFor(async () => {
    const seen = await answers(world.outside, host().address, 80, 1);
    expect(Object.keys(seen).join()).toMatch(/^web/u);
    const reply = await world.programs['client']!.call('query', { server: '10.64.0.1', name: 'app_web' });
    expect(reply).toEqual({ code: 0, data: [virtual.web] });
  });
  await whole();
});

test.each([1, 2, 3])(
  'a task that is attached right after `nft flush ruleset` has all of its network (%i)',
  async () => {
    const task: TestTask = {
      id: taskId('late'),
      service: 'app_client',
      host: 0,
      slot: 2,
      ready: true,
      addresses: { front: '10.64.0.61' },
    };
    const before = world.cluster.tasks;
    world.cluster.tasks = [...before, task];
    await world.sync(); // the others have to know where to answer to
    await sh(`nft flush ruleset; ip link del ${bridge}`);
    await host().attach(world.cluster.attachments(task));
    expect(await sh('nft list set bridge shoal sources')).toContain('10.64.0.61');
    const late = await host().probe('late', task.id);
    expect(await answers(late, '10.64.0.11', servicePort, 1)).toEqual({ 'web1 10.64.0.61': 1 });
    expect(await answers(late, '10.64.0.12', servicePort, 1)).toEqual({ 'web2 10.64.0.61': 1 });
    expect(Object.keys(await answers(late, virtual.web, servicePort, 1)).join()).toMatch(/^web[12] /u);
    await host().driver.call('detach', { taskId: task.id });
    world.cluster.tasks = before;
    await world.sync();
    await whole();
  },
);
