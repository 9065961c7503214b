import { posix } from 'node:path';
import { ShoalError } from '../../src/util/errors.ts';
import type { ContainerSettings } from '../../src/spec/settings.ts';
import type { OciBlockIo } from './block-io.ts';
import { capabilitiesOf } from './capabilities.ts';
import type { ContainerDevices, DeviceRule, OciDevice } from './devices.ts';
import type { ContainerCreate, RuntimeMount } from './engine.ts';
import type { HostFeatures } from './host.ts';
import { initTarget } from './init.ts';
import type { NamespacePaths } from './namespaces.ts';
import { containerResources } from './resources.ts';
import { seccompProfile } from './seccomp.ts';
import { seccompFromProfile } from './seccomp-profile.ts';
import { groupAnnotation } from './shim-groups.ts';
import type { ContainerUser } from './user.ts';

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
  apparmorProfile?: string;
  /** Always there: a container without one inherits what its shim has, which is that of the engine. */
  oomScoreAdj: number;
}

export interface OciSpecification {
  ociVersion: string;
  process: OciProcess;
  root: { path: string; readonly: boolean };
  /** Absent when the container has the host's own. */
  hostname?: string;
  mounts: OciMount[];
  annotations: Record<string, string>;
  hooks?: Record<string, { path: string; args?: string[]; env?: string[]; timeout?: number }[]>;
  linux: {
    cgroupsPath: string;
    namespaces: { type: string; path?: string }[];
    sysctl: Record<string, string>;
    devices: OciDevice[];
    resources: { devices: DeviceRule[] } & Record<string, unknown>;
    maskedPaths: string[];
    readonlyPaths: string[];
    seccomp?: object;
  };
}

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
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
  options: SpecificationOptions,
): OciSpecification {
  const { user, host, cgroupParent, devices, blockIo, initPath } = options;
  const { settings = {} } = container;
  if (container.args.length === 0 || container.args[0] === '') {
    throw new ShoalError('invalid_argument', `Cannot run ${container.image.reference}: there is no command`, {
      next: 'Give the service a `command`; the image has none of its own.',
    });
  }
  const capabilities = capabilitiesOf(settings, host.capabilities);
  const open = settings.privileged || settings.systemPaths === 'unconfined';
  const seccomp = seccompSection(settings, host, capabilities);
  const init: RuntimeMount[] =
    initPath === undefined ? [] : [{ type: 'bind', source: initPath, target: initTarget, options: ['ro'] }];
  return {
    ociVersion: '1.0.2',
    process: containerProcess(container, user, host, capabilities),
    root: { path: 'rootfs', readonly: settings.readOnly ?? false },
    ...(settings.uts !== 'host' && { hostname: container.hostname }),
    mounts: containerMounts([...container.mounts, ...init], settings),
    annotations: {
      ...settings.annotations,
      // containers of one group share a shim process: a fraction of its memory each
      ...(container.group !== '' && { [groupAnnotation]: container.group }),
    },
    linux: {
      cgroupsPath: cgroupPath(cgroupParent, container.id, settings.cgroupParent),
      namespaces: namespacesOf(container, host, options.namespaces ?? {}),
      sysctl: sysctlsOf(settings, container.join?.network === undefined),
      devices: devices.nodes,
      resources: {
        devices: devices.rules,
        ...containerResources(container, host),
        ...(blockIo && { blockIO: blockIo }),
      },
      maskedPaths: open ? [] : maskedPaths,
      readonlyPaths: open ? [] : readonlyPaths,
      ...(seccomp && { seccomp }),
    },
  };
}

/** A profile of the service's own holds for a privileged container as well, as with Docker. */
function seccompSection(
  { seccomp, privileged }: ContainerSettings,
  host: HostFeatures,
  capabilities: string[],
): object | undefined {
  if (!host.seccomp || seccomp === 'unconfined') return undefined;
  if (seccomp !== undefined) return seccompFromProfile(seccomp, { ...host, capabilities });
  return privileged ? undefined : seccompProfile(host.architecture, capabilities);
}

/** Where a container's control group is, below each hierarchy's root. `own` is a parent that the service names. */
export function cgroupPath(cgroupParent: string, id: string, own = ''): string {
  return posix.resolve('/', cgroupParent, own, id);
}

/** What is not of the container alone. */
interface SpecificationOptions {
  user: ContainerUser;
  host: HostFeatures;
  cgroupParent: string;
  devices: ContainerDevices;
  blockIo?: OciBlockIo | undefined;
  /** A static init program of the host, for a container that wants one. */
  initPath?: string;
  /** Namespaces of other containers. */
  namespaces?: NamespacePaths;
}

function namespacesOf(
  { settings = {}, networkNamespace }: ContainerCreate,
  host: HostFeatures,
  joined: NamespacePaths,
) {
  const network = joined.network ?? networkNamespace;
  const ownControlGroups =
    settings.cgroup === undefined ? host.cgroupVersion === 2 : settings.cgroup === 'private';
  return [
    ...(settings.pid === 'host' ? [] : [{ type: 'pid', ...(joined.pid && { path: joined.pid }) }]),
    ...(settings.ipc === 'host' ? [] : [{ type: 'ipc', ...(joined.ipc && { path: joined.ipc }) }]),
    ...(settings.uts === 'host' ? [] : [{ type: 'uts' }]),
    { type: 'mount' },
    ...(settings.network === 'host' ? [] : [{ type: 'network', ...(network && { path: network }) }]),
    ...(ownControlGroups ? [{ type: 'cgroup' }] : []),
  ];
}

/** Both defaults belong to the network namespace: any user may listen on every port and send pings, as with Docker. */
function sysctlsOf(
  { sysctls, domainName, network }: ContainerSettings,
  ownNetwork: boolean,
): Record<string, string> {
  return {
    ...(network !== 'host' &&
      ownNetwork && {
        'net.ipv4.ip_unprivileged_port_start': '0',
        'net.ipv4.ping_group_range': '0 2147483647',
      }),
    ...(domainName !== undefined && { 'kernel.domainname': domainName }),
    ...sysctls,
  };
}

/** As the runtime reads it: -1 as a limit stands for none, whose number no JavaScript number can hold. */
export function specificationText(value: OciSpecification | OciProcess): string {
  return JSON.stringify(value).replaceAll(
    /"(soft|hard)":(?:-1|18446744073709552000)\b/g,
    '"$1":18446744073709551615',
  );
}

function containerProcess(
  container: ContainerCreate,
  user: ContainerUser,
  host: HostFeatures,
  capabilities: string[],
): OciProcess {
  const { settings = {}, tty } = container;
  const defaults = [`PATH=${defaultPath}`, `HOSTNAME=${container.hostname}`];
  return {
    terminal: tty,
    user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
    args: settings.init ? [initTarget, '--', ...container.args] : container.args,
    env: mergeEnvironment([...defaults, ...terminalEnvironment(tty)], container.environment),
    cwd: container.workingDirectory === '' ? '/' : container.workingDirectory,
    capabilities: capabilitySets(capabilities, user),
    rlimits: resourceLimits(settings, host),
    noNewPrivileges: settings.noNewPrivileges ?? false,
    ...(settings.apparmor !== undefined && { apparmorProfile: settings.apparmor }),
    oomScoreAdj: settings.oomScoreAdjust ?? 0,
  };
}

function resourceLimits({ ulimits = {} }: ContainerSettings, host: HostFeatures): OciProcess['rlimits'] {
  const hard = Math.min(openFiles.hard, host.openFilesMax);
  const limits = { nofile: { soft: Math.min(openFiles.soft, hard), hard }, ...ulimits };
  return Object.entries(limits).map(([name, limit]) => ({ type: `RLIMIT_${name.toUpperCase()}`, ...limit }));
}

/**
 * The process of an exec: as the container's own, except for what the request says. `capabilities` are those of a
 * privileged one.
 */
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
  capabilities?: string[],
): OciProcess {
  const { consoleSize: _, ...rest } = base;
  const { uid } = user ?? base.user;
  return {
    ...rest,
    terminal: request.tty,
    ...(request.tty &&
      request.size && { consoleSize: { width: request.size.columns, height: request.size.rows } }),
    args: request.command,
    env: mergeEnvironment([...base.env, ...terminalEnvironment(request.tty)], request.environment),
    cwd: request.workingDirectory ?? base.cwd,
    ...(user && { user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids } }),
    ...((user || capabilities) && {
      capabilities: capabilitySets(capabilities ?? base.capabilities.bounding, { uid }),
    }),
  };
}

/** Root gets the set; everybody else only may get it, by programs that carry capabilities. */
function capabilitySets(bounding: string[], user: Pick<ContainerUser, 'uid'>): OciProcess['capabilities'] {
  const held = user.uid === 0 ? bounding : [];
  return { bounding, effective: held, permitted: held };
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

function defaultMounts(settings: ContainerSettings): OciMount[] {
  const access = settings.privileged ? 'rw' : 'ro';
  const hidden = ['nosuid', 'noexec', 'nodev'];
  const sharedBytes = settings.sharedMemoryBytes ?? sharedMemoryBytes;
  const shared =
    settings.ipc === 'host'
      ? mount('/dev/shm', 'bind', '/dev/shm', ['rbind', 'rprivate', 'rw'])
      : mount('/dev/shm', 'tmpfs', 'shm', [...hidden, 'mode=1777', `size=${sharedBytes}`]);
  return [
    mount('/proc', 'proc', 'proc', hidden),
    mount('/dev', 'tmpfs', 'tmpfs', ['nosuid', 'strictatime', 'mode=755', 'size=65536k']),
    mount('/dev/pts', 'devpts', 'devpts', [
      'nosuid',
      'noexec',
      'newinstance',
      'ptmxmode=0666',
      'mode=0620',
      'gid=5',
    ]),
    mount('/sys', 'sysfs', 'sysfs', [...hidden, access]),
    mount('/sys/fs/cgroup', 'cgroup', 'cgroup', [access, ...hidden, 'relatime']),
    mount('/dev/mqueue', 'mqueue', 'mqueue', hidden),
    shared,
  ];
}

function containerMounts(own: RuntimeMount[], settings: ContainerSettings): OciMount[] {
  const defaults = defaultMounts(settings);
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
