import type { Host } from './host.ts';

/** A container as the engine of a host has it. The id is that of the task it was made for. */
export interface RunningContainer {
  id: string;
  /** Tells this process from any later one: its id in the host and when it started. */
  process: string;
  status: string;
}

/** containerd waits a while for each shim that does not answer before it calls its containers UNKNOWN. */
const listMsMax = 60_000;

const engine = 'ctr -a /run/shoal/containerd.sock -n shoal';

/** All containers of the host that have a process, running or ended, by id. */
export async function containersOf(host: Host): Promise<RunningContainer[]> {
  // "TASK PID STATUS", and then field 22 of /proc/PID/stat: when it started (proc(5); the name before it holds no space here)
  const script = `${engine} tasks list | while read -r id pid status; do
    test "$id" = TASK && continue
    echo "$id $pid $status $(cut -d' ' -f22 /proc/$pid/stat 2>/dev/null)"
  done`;
  const printed = await host.run(['sh', '-c', script], { timeoutMs: listMsMax });
  return lines(printed).map((line) => {
    const [id = '', pid = '', status = '', startedAt = ''] = line.split(' ');
    return { id, status, process: `${pid} ${startedAt}` };
  });
}

/**
 * Everything of applications that stands on the host, in words and sorted: containers, shims, links, namespaces, mounts,
 * cgroups, elements of nftables sets and maps. Two hosts with the same applications differ; one host before and after an
 * application came and went does not.
 * The links by which a host probes its packet filters are left out: they come some time after it has joined.
 */
export async function inventoryOf(host: Host, cgroupParent: string): Promise<string[]> {
  const script = `
    ${engine} containers list -q | sed 's/^/container /'
    ${engine} tasks list -q | sed 's/^/task /'
    ip -o link show | grep -vE ' (shbprobe|shoal-probe)@' | sed -E 's/^[0-9]+: ([^:@]+).*/link \\1/'
    ip -o address show scope global | grep -vE ' shbprobe ' | sed -E 's/^[0-9]+: (\\S+) +\\S+ (\\S+).*/address \\2 on \\1/'
    ip rule show | sed 's/^/rule /'
    awk '$5 ~ "^/run/shoal/" { print "mount " $5 }' /proc/self/mountinfo
    find /sys/fs/cgroup -path '*${cgroupParent}/${host.name}/*' -type d | sed 's/^/cgroup /'
    nft list ruleset | tr -d '\\n\\t' | grep -oE '(map|set) [a-z_]+ \\{[^}]*elements = \\{[^}]*\\}' | grep -vE '^(map|set) (renewed|live|hosts|dns_rates|manager_rates)'
    true`; // grep that finds nothing ends with 1
  const printed = await host.run(['sh', '-c', script]);
  const shims = (await host.processes()).filter(({ name }) => name.startsWith('containerd-shim'));
  return [...lines(printed), ...shims.map(() => 'shim')].sort();
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}
