import { access, readFile } from 'node:fs/promises';
import { tryCommand } from '../util/command.ts';
import { formatDuration } from '../util/text.ts';
import type { ManagerProcessInfo } from '../wire/api.ts';
import { formatAge } from './ages.ts';

/** One thing that a host needs, and whether it has it. */
export interface Finding {
  name: string;
  state: 'ok' | 'warning' | 'missing';
  detail: string;
  /** How to mend it. */
  next?: string;
}

/** What the checks look at; tests hand in their own machine. */
export interface Machine {
  userId: number;
  nodeVersion: string;
  /** Runs a program: its exit code and output; exit code 127 when it is not there. */
  run(file: string, args: string[]): Promise<{ exitCode: number; output: string }>;
  /** A file's text; undefined when it is not there. */
  read(path: string): Promise<string | undefined>;
  exists(path: string): Promise<boolean>;
}

export const localMachine: Machine = {
  userId: process.getuid?.() ?? -1,
  nodeVersion: process.versions.node,
  run: async (file, args) => {
    try {
      const { exitCode, stdout, stderr } = await tryCommand(file, args, { timeoutMs: 5_000 });
      return { exitCode, output: `${stdout}${stderr}`.trim() };
    } catch {
      return { exitCode: 127, output: '' }; // not there, or not runnable: the finding says so
    }
  },
  read: (path) => readFile(path, 'utf8').catch(() => undefined),
  exists: (path) =>
    access(path).then(
      () => true,
      () => false,
    ),
};

/** Managers need it once there are several; nothing else does. The service that a package brings is not the one they need. */
async function checkEtcd(machine: Machine): Promise<Finding> {
  const name = 'etcd';
  const { exitCode, output } = await machine.run('etcd', ['--version']);
  if (exitCode !== 0) {
    const detail =
      'not found; only a host that is one of several managers needs it (apt-get install etcd-server)';
    return { name, state: 'ok', detail };
  }
  const version = output.split('\n')[0]!;
  const service = await machine.run('systemctl', ['is-active', '--quiet', 'etcd']);
  if (service.exitCode !== 0) return { name, state: 'ok', detail: version };
  return {
    name,
    state: 'warning',
    detail: `${version}; its own service runs here and may hold the ports of a manager's (2379, 2380)`,
    next: 'Unless something else uses it: systemctl disable --now etcd',
  };
}

const programs = [
  { file: 'containerd', args: ['--version'], package: 'containerd', why: 'runs containers' },
  { file: 'runc', args: ['--version'], package: 'runc', why: 'starts them' },
  { file: 'nft', args: ['--version'], package: 'nftables', why: 'balances and publishes ports' },
  { file: 'ip', args: ['-Version'], package: 'iproute2', why: 'makes overlay networks' },
];

async function checkProgram(machine: Machine, program: (typeof programs)[number]): Promise<Finding> {
  const { exitCode, output } = await machine.run(program.file, program.args);
  if (exitCode === 0) return { name: program.file, state: 'ok', detail: output.split('\n')[0]! };
  return {
    name: program.file,
    state: 'missing',
    detail: `not found; it ${program.why}`,
    next: `apt-get install ${program.package}`,
  };
}

/** Kernel features, each with a file that is there when it is (built in or as a loaded module) or the module to load. */
const features = [
  { name: 'overlayfs', listed: 'overlay', module: 'overlay', why: 'image layers' },
  { name: 'VXLAN', path: '/sys/module/vxlan', module: 'vxlan', why: 'networks across hosts' },
  {
    name: 'bridge netfilter',
    path: '/proc/sys/net/bridge',
    module: 'br_netfilter',
    why: 'virtual IPs on one network',
  },
];

async function checkFeature(machine: Machine, feature: (typeof features)[number]): Promise<Finding> {
  const { name, module, why } = feature;
  const present =
    feature.path === undefined
      ? (await machine.read('/proc/filesystems'))?.includes(feature.listed)
      : await machine.exists(feature.path);
  if (present) return { name, state: 'ok', detail: 'in the kernel' };
  const loadable = (await machine.run('modprobe', ['-n', module])).exitCode === 0;
  if (loadable) return { name, state: 'ok', detail: `module ${module}, loaded on use` };
  return {
    name,
    state: 'missing',
    detail: `the kernel lacks it; it carries ${why}`,
    next: `modprobe ${module}, or a kernel with it`,
  };
}

async function checkCgroups(machine: Machine): Promise<Finding> {
  const name = 'control groups';
  const unified = await machine.read('/sys/fs/cgroup/cgroup.controllers');
  if (unified !== undefined) {
    const lacking = ['cpu', 'memory', 'pids'].filter(
      (controller) => !unified.split(/\s+/).includes(controller),
    );
    if (lacking.length === 0) return { name, state: 'ok', detail: 'version 2' };
    return {
      name,
      state: 'warning',
      detail: `version 2 without ${lacking.join(', ')}: these limits will not hold`,
      next: 'Enable the controllers on the kernel command line.',
    };
  }
  const lacking: string[] = [];
  for (const controller of ['cpu', 'memory', 'pids', 'devices', 'freezer']) {
    if (!(await machine.exists(`/sys/fs/cgroup/${controller}`))) lacking.push(controller);
  }
  if (lacking.length === 0) return { name, state: 'ok', detail: 'version 1' };
  return {
    name,
    state: 'missing',
    detail: `version 1 without ${lacking.join(', ')}`,
    next: 'Mount the controllers under /sys/fs/cgroup.',
  };
}

async function checkForwarding(machine: Machine): Promise<Finding> {
  const name = 'forwarding';
  const { exitCode, output } = await machine.run('iptables', ['-S', 'FORWARD']);
  if (exitCode === 0 && output.includes('-P FORWARD DROP')) {
    return {
      name,
      state: 'warning',
      detail: 'iptables drops forwarded packets (Docker does this): overlay traffic may not pass',
      next: 'iptables -I FORWARD -i shb+ -j ACCEPT && iptables -I FORWARD -o shb+ -j ACCEPT',
    };
  }
  return { name, state: 'ok', detail: 'nothing in the way' };
}

/** Everything a host needs to run Shoal, checked. Never throws for what it finds. */
export async function examine(machine: Machine): Promise<Finding[]> {
  const [major = 0] = machine.nodeVersion.split('.').map(Number);
  const node: Finding =
    major >= 24
      ? { name: 'Node', state: 'ok', detail: machine.nodeVersion }
      : {
          name: 'Node',
          state: 'missing',
          detail: `${machine.nodeVersion} is too old`,
          next: 'Install Node 24 or newer.',
        };
  const user: Finding =
    machine.userId === 0
      ? { name: 'root', state: 'ok', detail: 'yes' }
      : {
          name: 'root',
          state: 'warning',
          detail: 'the daemon must run as root',
          next: 'Run `shoal daemon` with sudo.',
        };
  return [
    node,
    user,
    ...(await Promise.all(programs.map((program) => checkProgram(machine, program)))),
    await checkEtcd(machine),
    ...(await Promise.all(features.map((feature) => checkFeature(machine, feature)))),
    await checkCgroups(machine),
    await checkForwarding(machine),
  ];
}

/** An end of the manager's process is told of for this long. */
const endShownMs = 24 * 3_600_000;

/** How the manager of this host is. `now` in ms, by the clock of this host. */
export function managerFinding(
  { state, opening, silentMs = 0, excuse, lastEnd }: ManagerProcessInfo,
  now: number,
): Finding {
  const wasEnded =
    lastEnd !== undefined && now - lastEnd.at < endShownMs
      ? `; started again ${formatAge(lastEnd.at, now)} ago: ${lastEnd.reason}`
      : '';
  if (state === 'running')
    return { name: 'manager', state: wasEnded === '' ? 'ok' : 'warning', detail: `runs${wasEnded}` };
  const next = 'See the log of the daemon on this host.';
  if (state === 'starting')
    return {
      name: 'manager',
      state: 'warning',
      detail: `is starting${opening === undefined ? '' : `: ${opening}`}${wasEnded}`,
      next,
    };
  const why = excuse === undefined ? 'it is killed and started again if that goes on' : excuse;
  return {
    name: 'manager',
    state: 'warning',
    detail: `has not answered its daemon for ${formatDuration(silentMs)}: ${why}${wasEnded}`,
    next,
  };
}

/** Which managers of its cluster a host reaches: `problem` is why one does not take a connection. */
export function managersFinding(managers: readonly { address: string; problem?: string }[]): Finding {
  const away = managers.filter(({ problem }) => problem !== undefined);
  const reached = `${managers.length - away.length} of ${managers.length} can be reached from here`;
  if (away.length === 0) return { name: 'managers', state: 'ok', detail: reached };
  const why = away.map(({ address, problem }) => `${address}: ${problem}`).join('; ');
  return {
    name: 'managers',
    state: 'warning',
    detail: `${reached}; ${why}`,
    next: 'See `shoal node ls`, whether the daemon runs on those hosts, and whether a firewall is in between.',
  };
}
