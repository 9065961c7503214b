import { vethName } from '../../agent/network/plan.ts';
import { probeLink } from '../../agent/network/rules.ts';
import type { Network } from '../../src/spec/network.ts';
import type { Node } from '../../src/spec/node.ts';
import { interfaceName } from '../../src/spec/names.ts';
import type { Service } from '../../src/spec/service.ts';
import type { Cluster } from './cluster.ts';
import type { Host } from './host.ts';
import { cgroupParent } from './state.ts';
import type { TaskInfo } from '../../src/wire/api.ts';

/** What the manager says that there is. */
export interface Wished {
  tasks: TaskInfo[];
  services: Service[];
  networks: Network[];
  nodes: Node[];
}

/** Asks the manager; throws what the client throws when it is away. */
export async function askWished(cluster: Cluster): Promise<Wished> {
  const client = cluster.client();
  const options = { timeoutMs: 2_000 };
  try {
    const get = <T>(path: string) => client.request<T>('GET', path, undefined, options);
    const [tasks, services, networks, nodes] = await Promise.all([
      get<TaskInfo[]>('/tasks'),
      get<Service[]>('/services'),
      get<Network[]>('/networks'),
      get<Node[]>('/nodes'),
    ]);
    return { tasks, services, networks, nodes };
  } finally {
    client.close();
  }
}

/** Kinds of things of which a host has exactly one for each of its tasks. */
const onePerTask = [
  'container',
  'task',
  'snapshot',
  'bundle',
  'bundle-state',
  'runc',
  'namespace',
  'files',
  'fifos',
  'mount',
  'cgroup',
  'record',
] as const;

/** Prints `KIND VALUE` lines of all that stands on a host because of tasks. */
const script = (parent: string, name: string, state: string) => `
  ctr="ctr -a /run/shoal/containerd.sock -n shoal"
  names() { ls "$2" 2>/dev/null | sed "s/^/$1 /"; }
  $ctr containers list -q | sed 's/^/container /'
  $ctr tasks list | sed -n '1!s/ .* / /;1!s/^/task /p'
  $ctr snapshots list | awk '$NF == "Active" { print "snapshot", $1 }'
  # what a pull that was cut short has got so far is kept for the next attempt, for a day
  $ctr leases list -q | grep -v '^shoal-pull-' | sed 's/^/lease /'
  names bundle /run/shoal/containerd/io.containerd.runtime.v2.task/shoal
  names bundle-state ${state}/containerd/io.containerd.runtime.v2.task/shoal
  names runc /run/containerd/runc/shoal
  names socket /run/containerd/s
  names namespace /run/netns | sed 's/ shoal-/ /'
  names files /run/shoal/tasks
  names record ${state}/network/tasks | sed 's/\\.json$//'
  ls /run/shoal/engine/fifo | grep -vE '^(spare|exec)-' | sed -E 's/-std(out|err)$//; s/^/fifos /'
  awk '$5 ~ "/io.containerd.runtime.v2.task/" { split($5, part, "/"); print "mount", part[7] }' /proc/self/mountinfo
  awk '$5 ~ "^/run/netns/shoal-" { print "mounted-namespace", substr($5, 18) }' /proc/self/mountinfo
  find /sys/fs/cgroup -path '*${parent}/${name}/*' -type d | sed 's|.*/|cgroup |'
  ip -o link show | sed -E 's/^[0-9]+: ([^:@]+).*/link \\1/'
  nft list map inet shoal port_slots 2>/dev/null | tr -d '\\n\\t' | grep -oE '[0-9]+(\\.[0-9]+){3}' | sed 's/^/published /'
  for set in live local hairpin service_slots port_slots host_ports; do
    nft list table inet shoal | tr -d '\\n\\t' | grep -oE "(map|set) $set \\{[^}]*elements = \\{[^}]*\\}" | grep -oE '[0-9]+(\\.[0-9]+){3}' | sed 's/^/address /'
  done
  ip neigh show nud permanent | sed 's/ .*//; s/^/neighbour /'
  bridge fdb show | sed -n 's/^\\(0a:53:[^ ]*\\) .* dst .*/forward \\1/p'
  for pid in $(ps -eo pid= -o comm= | awk '$2 ~ /^containerd-shim/ { print $1 }'); do
    echo "shim $pid $(ps -o pid= --ppid $pid | wc -l)"
  done
  true`;

/** What stands on a host: kind to values, each value once. */
type Standing = Map<string, Set<string>>;

async function standingOn(host: Host, parent: string): Promise<Standing> {
  const printed = await host.run(['sh', '-c', script(parent, host.name, host.stateDirectory)]);
  const standing: Standing = new Map();
  for (const line of printed.split('\n')) {
    const [kind = '', ...words] = line.trim().split(' ');
    const value = words.join(' ').trim();
    if (value === '') continue;
    if (!standing.has(kind)) standing.set(kind, new Set());
    standing.get(kind)!.add(value);
  }
  return standing;
}

/**
 * Compares what stands on every host with what the manager says: containers with all that belongs to one, links,
 * addresses, shims, leases. Gives a line for each thing too many or too few. It is a moment's picture: while anything is
 * still going on there are differences.
 */
export async function differences(cluster: Cluster): Promise<string[]> {
  const [wished, ...standing] = await Promise.all([
    askWished(cluster),
    ...cluster.hosts.map((host) => standingOn(host, cgroupParent(cluster.id))),
  ]);
  return cluster.hosts.flatMap((host, index) => {
    const node = wished.nodes.find(({ description }) => description?.hostname === host.name);
    return compare(wished, node?.id ?? '', standing[index]!).map((line) => `${host.name}: ${line}`);
  });
}

function compare(wished: Wished, nodeId: string, standing: Standing): string[] {
  const current = wished.tasks.filter(({ desiredState }) => desiredState === 'running');
  const here = current.filter((task) => task.nodeId === nodeId);
  const has = (kind: string) => [...(standing.get(kind) ?? [])];
  const ids = here.map(({ id }) => id);
  const exact = (kind: string, values: string[], wanted: string[]) => [
    ...values.filter((value) => !wanted.includes(value)).map((value) => `${kind} ${value} is left over`),
    ...wanted.filter((value) => !values.includes(value)).map((value) => `${kind} ${value} is missing`),
  ];
  const only = (kind: string, values: string[], allowed: string[]) =>
    values.filter((value) => !allowed.includes(value)).map((value) => `${kind} ${value} is left over`);
  const running = ids.map((id) => `${id} RUNNING`);
  const veths = here.flatMap(({ id, attachments }) => attachments.map((_, index) => vethName(id, index)));
  const links = has('link').filter((name) => /^sh[vbx]/.test(name) && name !== probeLink);
  const taskAddresses = current.flatMap(({ attachments }) => attachments.map(({ address }) => address));
  const virtual = wished.services.flatMap(({ endpoint }) => Object.values(endpoint?.virtualAddresses ?? {}));
  const bridges = wished.networks.flatMap(({ bridgeAddresses }) => Object.values(bridgeAddresses));
  const all = [...taskAddresses, ...virtual, ...bridges];
  const networkLinks = wished.networks.flatMap(({ id }) => [
    interfaceName('bridge', id),
    interfaceName('vxlan', id),
  ]);
  const shims = has('shim').map((line) => line.split(/ +/));
  const leftShims = shims
    .filter(([, children]) => children === '0')
    .map(([pid]) => `shim ${pid} has no container`);
  const sockets = has('socket').length;
  return [
    ...onePerTask.filter((kind) => kind !== 'task').flatMap((kind) => exact(kind, has(kind), ids)),
    ...exact('mounted-namespace', has('mounted-namespace'), ids),
    ...exact('task', has('task'), running),
    ...exact(
      'veth',
      links.filter((name) => name.startsWith('shv')),
      veths,
    ),
    ...only(
      'link',
      links.filter((name) => !name.startsWith('shv')),
      networkLinks,
    ),
    ...only('address', [...has('address'), ...has('neighbour')], all),
    ...exact('published', has('published'), publishedAddresses(wished, current)),
    ...only('forward', has('forward').map(addressOfMac), all),
    ...has('lease').map((lease) => `lease ${lease} is left over`),
    ...leftShims,
    ...(sockets === shims.length ? [] : [`${sockets} shim sockets for ${shims.length} shims`]),
  ];
}

/** Addresses behind the published ports, which every host has. */
function publishedAddresses({ services }: Wished, current: TaskInfo[]): string[] {
  const publishing = new Set(services.filter(({ spec }) => spec.ports.length > 0).map(({ id }) => id));
  const tasks = current.filter(({ serviceId }) => publishing.has(serviceId));
  return tasks.flatMap(({ attachments }) => attachments.slice(0, 1).map(({ address }) => address));
}

/** The address that a MAC address of ours was made from (`macOf`). */
function addressOfMac(mac: string): string {
  return mac
    .split(':')
    .slice(2)
    .map((byte) => Number.parseInt(byte, 16))
    .join('.');
}
