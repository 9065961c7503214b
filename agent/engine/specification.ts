import { posix } from 'node:path';
import { ShoalError } from '../../src/util/errors.ts';
import type { ContainerCreate, RuntimeMount } from './engine.ts';
import { seccompProfile } from './seccomp.ts';
import type { ContainerUser } from './user.ts';

/** What this machine has, as far as a container's specification depends on it. */
export interface HostFeatures {
  cgroupVersion: 1 | 2;
  seccomp: boolean;
  /** Node's name of the machine: `x64`, `arm64`, … */
  architecture: string;
  /** Hard limit of open files of this process. */
  openFilesMax: number;
}

export interface OciMount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

export interface OciProcess {
  terminal: boolean;
  consoleSize?: { width: number; height: number };
  user: { uid: number; gid: number; additionalGids: number[] };
  args: string[];
  env: string[];
  cwd: string;
  capabilities: Record<'bounding' | 'effective' | 'permitted', string[]>;
  rlimits: { type: string; soft: number; hard: number }[];
  noNewPrivileges: boolean;
}

export interface OciSpecification {
  ociVersion: string;
  process: OciProcess;
  root: { path: string; readonly: boolean };
  hostname: string;
  mounts: OciMount[];
  annotations: Record<string, string>;
  linux: {
    cgroupsPath: string;
    namespaces: { type: string; path?: string }[];
    sysctl: Record<string, string>;
    resources: Record<string, unknown>;
    maskedPaths: string[];
    readonlyPaths: string[];
    seccomp?: object;
  };
}

/** Docker's default set (docs.docker.com, "Runtime privilege and Linux capabilities"). */
export const defaultCapabilities = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
];

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const cpuPeriodUs = 100_000;
const sharedMemoryBytes = 64 * 1024 * 1024;
/** What systemd and newer Docker give a service: enough for everything, and no program loops over a million descriptors. */
const openFiles = { soft: 1024, hard: 524_288 };

/** Parts of /proc and /sys that show or change the host. */
const maskedPaths = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
];
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/**
 * The runtime specification of a container (OCI runtime specification 1.0.2) with Docker's defaults. Throws
 * `invalid_argument` when there is nothing to run.
 */
export function runtimeSpecification(
  container: ContainerCreate,
  options: { user: ContainerUser; host: HostFeatures; cgroupParent: string },
): OciSpecification {
  const { user, host, cgroupParent } = options;
  if (container.args.length === 0 || container.args[0] === '') {
    throw new ShoalError('invalid_argument', `Cannot run ${container.image.reference}: there is no command`, {
      next: 'Give the service a `command`; the image has none of its own.',
    });
  }
  const namespaces: { type: string; path?: string }[] = [
    { type: 'pid' },
    { type: 'ipc' },
    { type: 'uts' },
    { type: 'mount' },
    { type: 'network', ...(container.networkNamespace && { path: container.networkNamespace }) },
    ...(host.cgroupVersion === 2 ? [{ type: 'cgroup' }] : []),
  ];
  return {
    ociVersion: '1.0.2',
    process: containerProcess(container, user, host),
    root: { path: 'rootfs', readonly: false },
    hostname: container.hostname,
    mounts: containerMounts(container.mounts),
    // containers of one group share a shim process: 1 MiB each instead of 13
    annotations: container.group === '' ? {} : { 'io.containerd.runc.v2.group': container.group },
    linux: {
      cgroupsPath: cgroupPath(cgroupParent, container.id),
      namespaces,
      // both belong to the network namespace: any user may listen on every port and send pings, as with Docker
      sysctl: { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': '0 2147483647' },
      resources: containerResources(container),
      maskedPaths,
      readonlyPaths,
      ...(host.seccomp && { seccomp: seccompProfile(host.architecture) }),
    },
  };
}

/** Where a container's control group is, below each hierarchy's root. */
export function cgroupPath(cgroupParent: string, id: string): string {
  return posix.join('/', cgroupParent, id);
}

function containerProcess(container: ContainerCreate, user: ContainerUser, host: HostFeatures): OciProcess {
  const hard = Math.min(openFiles.hard, host.openFilesMax);
  const defaults = [`PATH=${defaultPath}`, `HOSTNAME=${container.hostname}`];
  return {
    terminal: container.tty,
    user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
    args: container.args,
    env: mergeEnvironment([...defaults, ...terminalEnvironment(container.tty)], container.environment),
    cwd: container.workingDirectory === '' ? '/' : container.workingDirectory,
    capabilities: capabilitiesOf(user),
    rlimits: [{ type: 'RLIMIT_NOFILE', soft: Math.min(openFiles.soft, hard), hard }],
    noNewPrivileges: false,
  };
}

/** The process of an exec: as the container's own, except for what the request says. */
export function execProcess(
  base: OciProcess,
  request: {
    command: string[];
    environment: string[];
    tty: boolean;
    workingDirectory?: string;
    size?: { columns: number; rows: number };
  },
  user: ContainerUser | undefined,
): OciProcess {
  const { consoleSize: _, ...rest } = base;
  return {
    ...rest,
    terminal: request.tty,
    ...(request.tty &&
      request.size && { consoleSize: { width: request.size.columns, height: request.size.rows } }),
    args: request.command,
    env: mergeEnvironment([...base.env, ...terminalEnvironment(request.tty)], request.environment),
    cwd: request.workingDirectory ?? base.cwd,
    ...(user && {
      user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
      capabilities: capabilitiesOf(user),
    }),
  };
}

/** Root gets the set; everybody else only may get it, by programs that carry capabilities. */
function capabilitiesOf(user: ContainerUser): OciProcess['capabilities'] {
  const held = user.uid === 0 ? defaultCapabilities : [];
  return { bounding: defaultCapabilities, effective: held, permitted: held };
}

function terminalEnvironment(tty: boolean): string[] {
  return tty ? ['TERM=xterm'] : [];
}

/** Later settings win; order is kept. A name without `=` removes the setting. */
function mergeEnvironment(defaults: string[], own: string[]): string[] {
  const merged = new Map<string, string>();
  for (const setting of [...defaults, ...own]) {
    const equals = setting.indexOf('=');
    if (equals < 0) merged.delete(setting);
    else merged.set(setting.slice(0, equals), setting);
  }
  return [...merged.values()];
}

function containerMounts(own: RuntimeMount[]): OciMount[] {
  const defaults: OciMount[] = [
    mount('/proc', 'proc', 'proc', ['nosuid', 'noexec', 'nodev']),
    mount('/dev', 'tmpfs', 'tmpfs', ['nosuid', 'strictatime', 'mode=755', 'size=65536k']),
    mount('/dev/pts', 'devpts', 'devpts', [
      'nosuid',
      'noexec',
      'newinstance',
      'ptmxmode=0666',
      'mode=0620',
      'gid=5',
    ]),
    mount('/sys', 'sysfs', 'sysfs', ['nosuid', 'noexec', 'nodev', 'ro']),
    mount('/sys/fs/cgroup', 'cgroup', 'cgroup', ['ro', 'nosuid', 'noexec', 'nodev', 'relatime']),
    mount('/dev/mqueue', 'mqueue', 'mqueue', ['nosuid', 'noexec', 'nodev']),
    mount('/dev/shm', 'tmpfs', 'shm', [
      'nosuid',
      'noexec',
      'nodev',
      'mode=1777',
      `size=${sharedMemoryBytes}`,
    ]),
  ];
  const wanted = own.map(({ source, target, type, options }) =>
    type === 'tmpfs'
      ? mount(target, 'tmpfs', source === '' ? 'tmpfs' : source, options)
      : mount(target, 'bind', source, withDefaults(options, ['rbind', 'rprivate'])),
  );
  const replaced = new Set(wanted.map(({ destination }) => destination));
  // a mount inside another must come after it
  const depth = ({ destination }: OciMount) => destination.split('/').filter((part) => part !== '').length;
  return [
    ...defaults.filter(({ destination }) => !replaced.has(destination)),
    ...wanted.sort((left, right) => depth(left) - depth(right)),
  ];
}

function mount(destination: string, type: string, source: string, options: string[]): OciMount {
  return { destination: posix.resolve('/', destination), type, source, options };
}

/** Bind mounts need to be told so, and must not carry mounts back to the host. */
function withDefaults(options: string[], [bind, propagation]: [string, string]): string[] {
  const binds = options.includes('bind') || options.includes('rbind');
  const propagates = options.some((option) => /^r?(?:private|shared|slave|unbindable)$/.test(option));
  return [...(binds ? [] : [bind]), ...options, ...(propagates ? [] : [propagation])];
}

function containerResources({ limits, reservations }: ContainerCreate): Record<string, unknown> {
  const memory = {
    ...(limits.memoryBytes !== undefined && { limit: limits.memoryBytes }),
    ...(reservations.memoryBytes !== undefined && { reservation: reservations.memoryBytes }),
  };
  const cpu = {
    ...(limits.nanoCpus !== undefined && {
      quota: Math.max(1000, Math.round((limits.nanoCpus * cpuPeriodUs) / 1e9)),
      period: cpuPeriodUs,
    }),
    // a reservation is also a claim when CPUs are scarce: 1024 shares for each
    ...(reservations.nanoCpus !== undefined && {
      shares: Math.max(2, Math.round((reservations.nanoCpus * 1024) / 1e9)),
    }),
  };
  return {
    // everything is denied; the runtime itself allows null, zero, full, random, urandom, tty, console, ptmx, pts and mknod
    devices: [{ allow: false, access: 'rwm' }],
    ...(Object.keys(memory).length > 0 && { memory }),
    ...(Object.keys(cpu).length > 0 && { cpu }),
    ...(limits.pids !== undefined && { pids: { limit: limits.pids } }),
  };
}
