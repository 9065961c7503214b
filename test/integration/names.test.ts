import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createCluster, type Cluster } from '../harness/cluster.ts';
import { runInside, writeComposeFile } from '../harness/compose.ts';
import type { Host } from '../harness/host.ts';
import { busyboxImage } from '../harness/image.ts';
import { paths } from '../harness/state.ts';

/** Names and addresses that a Compose file gives to its services, seen from inside of them on real hosts. */

let cluster: Cluster;
let image: string;

beforeAll(async () => {
  cluster = await createCluster({ hosts: 3 });
  image = await cluster.push('library/tools:1', await busyboxImage(paths(cluster.directory).images));
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(await cluster.troubles());
});

afterAll(async () => {
  await cluster?.down();
  expect(await cluster?.leftovers()).toEqual([]);
});

const patient = 'command: [sleep, "86400"]\n    stop_signal: SIGKILL';

/** A service that answers over HTTP with what it is told. */
const answering = (word: string) =>
  `command: [sh, -c, "mkdir /www; echo ${word} >/www/index.html; exec httpd -f -p 80 -h /www"]\n    stop_signal: SIGKILL`;

/** What a program asks of such a service, by its address. */
const ask = (address: string, port = 80) =>
  `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 2 ${address} ${port} | tail -n 1`;
/** The same by a program of a host itself. */
async function from(host: Host, address: string, port: number): Promise<string> {
  const { stdout } = await host.exec(['sh', '-c', ask(address, port)]);
  return stdout.trim();
}

const lookUp = (name: string) => `nslookup -type=a ${name}. | sed -n 's/^Address: //p' | sort`;
/** The same by its name. */
const askByName = (name: string) => ask(`$(${lookUp(name)})`);

async function up(application: string, text: string): Promise<string> {
  const path = await writeComposeFile(cluster, application, text.replaceAll('IMAGE', image));
  const { exitCode, stderr } = await cluster.shoal(['up', '-f', path, '--timeout', '60']);
  expect(exitCode, stderr).toBe(0);
  return path;
}

const inside = (application: string, service: string, script: string) =>
  runInside(cluster, application, service, script);

test('links and the name of a container are names inside, each for whom it is meant', async () => {
  await up(
    'named',
    `services:
  web:
    image: IMAGE
    ${patient}
    links: ["db:store", "many:crowd"]
  other: { image: IMAGE, command: [sleep, "86400"], stop_signal: SIGKILL }
  db:
    image: IMAGE
    ${answering('db')}
    container_name: The-Database
  many:
    image: IMAGE
    ${patient}
    deploy: { replicas: 2, endpoint_mode: dnsrr }
`,
  );
  expect(await inside('named', 'web', askByName('store'))).toBe('db');
  expect(await inside('named', 'web', lookUp('store'))).toBe(await inside('named', 'web', lookUp('db')));
  expect(await inside('named', 'web', lookUp('crowd'))).toMatch(/^[\d.]+\n[\d.]+$/);
  expect(await inside('named', 'other', 'nslookup -type=a store.')).toMatch(/^1: /);
  expect(await inside('named', 'other', askByName('the-database'))).toBe('db');
  expect(await inside('named', 'The-Database', 'echo here')).toBe('here');
  const { stdout } = await cluster.shoal(['ps', '-p', 'named']);
  expect(stdout).toMatch(/ named_db\.1 \(The-Database\) /);
  const scaled = await cluster.shoal(['scale', '-p', 'named', 'db=2']);
  expect(scaled.stderr).toContain('for its container is called The-Database');
  expect(await cluster.shoal(['down', '-p', 'named'])).toMatchObject({ exitCode: 0 });
});

test('fixed addresses, interfaces, the default route and the MTU are inside as the file says', async () => {
  const path = await up(
    'placed',
    `services:
  db:
    image: IMAGE
    ${answering('first')}
    ports: ["7090:80"]
    networks:
      low: { ipv4_address: 10.201.0.201 }
      high: { ipv4_address: 10.202.3.4, gw_priority: 1, interface_name: lan0 }
  web:
    image: IMAGE
    ${patient}
    deploy: { replicas: 3 }
    networks: { low: , high: { priority: 1 } }
networks:
  low:
    ipam: { config: [{ subnet: 10.201.0.0/24, gateway: 10.201.0.1, aux_addresses: { router: 10.201.0.3 } }] }
  high:
    driver_opts: { com.docker.network.driver.mtu: 1300 }
    ipam: { config: [{ subnet: 10.202.0.0/16, ip_range: 10.202.9.0/24 }] }
`,
  );
  const addresses = 'ip -o -4 addr | awk \'$2 != "lo" { print $2, $4 }\'';
  expect(await inside('placed', 'db', addresses)).toBe('lan0 10.202.3.4/16\neth0 10.201.0.201/24');
  expect(await inside('placed', 'db', "ip route | awk '/^default/ { print $5 }'")).toBe('lan0');
  expect(await inside('placed', 'db', 'cat /sys/class/net/lan0/mtu')).toBe('1300');
  const low = '10\\.201\\.0\\.(?!1/|3/|201/)\\d+/24';
  for (const web of ['web.1', 'web.2', 'web.3']) {
    expect(await inside('placed', web, addresses)).toMatch(
      new RegExp(`^eth0 10\\.202\\.9\\.\\d+/16\neth1 ${low}$`),
    );
    for (const name of ['10.201.0.201', '10.202.3.4', `$(${lookUp('db')})`]) {
      expect(await inside('placed', web, ask(name))).toBe('first');
    }
  }
  for (const host of cluster.hosts) {
    expect(await from(cluster.hosts[0]!, host.address, 7090)).toBe('first');
    expect(await from(host, '127.0.0.1', 7090)).toBe('first');
  }
  expect(await inside('placed', 'web.1', lookUp('db'))).toMatch(/^10\.202\.9\.\d+$/);

  await writeFile(path, (await readFile(path, 'utf8')).replace('echo first', 'echo second'));
  expect(await cluster.shoal(['up', '-f', path, '--timeout', '60'])).toMatchObject({ exitCode: 0 });
  expect(await inside('placed', 'db', addresses)).toBe('lan0 10.202.3.4/16\neth0 10.201.0.201/24');
  for (const web of ['web.1', 'web.2', 'web.3']) {
    expect(await inside('placed', web, `${ask('10.201.0.201')}; ${askByName('db')}`)).toBe('second\nsecond');
  }
  expect(await cluster.shoal(['down', '-p', 'placed'])).toMatchObject({ exitCode: 0 });
});

test('a fixed address goes along when its task is moved, and when its host is cut off and comes back', async () => {
  await up(
    'moved',
    `services:
  db:
    image: IMAGE
    ${answering('db')}
    deploy: { placement: { constraints: [node.role == worker] } }
    networks: { net: { ipv4_address: 10.203.0.9 } }
  web:
    image: IMAGE
    ${patient}
    deploy: { mode: global }
    networks: [net]
networks: { net: { ipam: { config: [{ subnet: 10.203.0.0/24 }] } } }
`,
  );
  const running = async (service: string) => {
    const { stdout } = await cluster.shoal(['ps', '-p', 'moved', service, '--json']);
    const rows = JSON.parse(stdout) as { id: string; node: string; state: string; desiredState: string }[];
    return rows.filter(({ state, desiredState }) => state === 'running' && desiredState === 'running');
  };
  /** What the replicas of web on these hosts hear from the address. */
  const heard = async (hosts: string[]) => {
    const there = (await running('web')).filter(({ node }) => hosts.includes(node));
    return Promise.all(there.map(({ id }) => inside('moved', id, ask('10.203.0.9'))));
  };
  const dbHost = async () => (await running('db'))[0]?.node ?? '';
  const patience = { timeout: 30_000, interval: 250 };
  const first = await dbHost();
  const second = first === 'b' ? 'c' : 'b';
  expect(await heard(['a', 'b', 'c'])).toEqual(['db', 'db', 'db']);
  await cluster.host(first).cut();
  await expect.poll(dbHost, patience).toBe(second);
  await expect.poll(() => heard(['a', second]), patience).toEqual(['db', 'db']);
  await cluster.host(first).heal();
  await expect.poll(() => heard(['a', 'b', 'c']), patience).toEqual(['db', 'db', 'db']);
  const update = ['node', 'update', second, '--availability'];
  expect(await cluster.shoal([...update, 'drain'])).toMatchObject({ exitCode: 0 });
  await expect.poll(dbHost, patience).toBe(first);
  await expect.poll(() => heard(['a', first]), patience).toEqual(['db', 'db']);
  expect(await cluster.shoal([...update, 'active'])).toMatchObject({ exitCode: 0 });
  await expect.poll(() => heard(['a', 'b', 'c']), patience).toEqual(['db', 'db', 'db']);
  expect(await cluster.shoal(['down', '-p', 'moved'])).toMatchObject({ exitCode: 0 });
});

test('a port on 127.0.0.1 is for programs of the hosts', async () => {
  await up(
    'local',
    `services:
  web:
    image: IMAGE
    ${answering('web')}
    ports: ["127.0.0.1:7080:80", "7081:80"]
`,
  );
  const [first, second] = cluster.hosts;
  for (const host of [first, second]) {
    expect(await from(host!, '127.0.0.1', 7080)).toBe('web');
    expect(await from(host!, '127.0.0.1', 7081)).toBe('web');
  }
  expect(await from(first!, second!.address, 7081)).toBe('web');
  expect(await from(first!, second!.address, 7080)).toBe('');
  const { stdout } = await cluster.shoal(['ps', '-p', 'local']);
  expect(stdout).toContain('127.0.0.1:7080->80/tcp, *:7081->80/tcp');
  expect(await cluster.shoal(['down', '-p', 'local'])).toMatchObject({ exitCode: 0 });
});
