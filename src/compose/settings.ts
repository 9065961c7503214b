import type { ContainerSpec } from '../spec/service.ts';
import type {
  BlockIoSettings,
  ContainerSettings,
  CpuSettings,
  Hook,
  InitContainer,
  LogSettings,
  MemorySettings,
  NameSettings,
  PullPolicy,
} from '../spec/settings.ts';
import type { SeccompProfile } from '../spec/seccomp.ts';
import type { CanonicalBlockIo, CanonicalHook, CanonicalInitContainer, CanonicalService } from './model.ts';
import { cdiRequests } from './device-requests.ts';
import { durationMs, parseBytes } from './values.ts';

const dayMs = 24 * 60 * 60 * 1000;

type Optional<T> = { [Key in keyof T]?: T[Key] | undefined };

/** What a service says of its containers beside the usual, as parts of their spec; absent parts say nothing. */
export function settingParts(
  service: CanonicalService,
  seccomp: SeccompProfile | undefined,
): Pick<ContainerSpec, 'settings' | 'names' | 'logs' | 'pullPolicy' | 'preStart' | 'postStart' | 'preStop'> {
  return (
    said({
      settings: said(containerSettings(service, seccomp)),
      names: said(nameSettings(service)),
      logs: said(logSettings(service)),
      pullPolicy: pullPolicy(service.pull_policy),
      preStart: list(service.pre_start?.map(initContainer)),
      postStart: list(service.post_start?.map(hook)),
      preStop: list(service.pre_stop?.map(hook)),
    }) ?? {}
  );
}

function hook({ command, ...rest }: CanonicalHook): Hook {
  return { command, ...processParts(rest) };
}

function initContainer({
  command,
  image,
  per_replica: perReplica,
  ...rest
}: CanonicalInitContainer): InitContainer {
  return {
    ...(image === undefined ? {} : { image }),
    ...(command === undefined || command === null ? {} : { command }),
    ...processParts(rest),
    perReplica: perReplica ?? false,
  };
}

function processParts({
  user,
  privileged,
  working_dir: workingDirectory,
  environment = {},
}: Omit<CanonicalHook, 'command'>): Omit<Hook, 'command'> {
  const set = Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== null);
  return {
    environment: Object.fromEntries(set),
    ...(user === undefined || user === '' ? {} : { user }),
    ...(workingDirectory === undefined ? {} : { workingDirectory }),
    ...(privileged === true ? { privileged } : {}),
  };
}

/** What has been said, and nothing when that is nothing. */
function said<T extends object>(parts: Optional<T>): T | undefined {
  let result: T | undefined;
  for (const key in parts) {
    if (parts[key] !== undefined) (result ??= {} as T)[key] = parts[key];
  }
  return result;
}

/** What a person has written by names of their own, and nothing when that is nothing. */
function written<T>(table: Record<string, T> | undefined): Record<string, T> | undefined {
  return table === undefined || Object.keys(table).length === 0 ? undefined : { ...table };
}

interface Limits {
  soft: number;
  hard: number;
}

/** A limit of a process, as soft and hard. */
export function bothLimits(limit: number | Limits): Limits {
  return typeof limit === 'number' ? { soft: limit, hard: limit } : limit;
}

function limitsByName(limits: NonNullable<CanonicalService['ulimits']>): Record<string, Limits> {
  return Object.fromEntries(Object.entries(limits).map(([name, limit]) => [name, bothLimits(limit)]));
}

/** Only what differs from not saying it: `false` and empty lists are the same as nothing. */
function containerSettings(
  service: CanonicalService,
  profile: SeccompProfile | undefined,
): Optional<ContainerSettings> {
  const options = (service.security_opt ?? []).map(securityOption);
  return {
    init: flag(service.init),
    privileged: flag(service.privileged),
    readOnly: flag(service.read_only),
    tty: flag(service.tty),
    openStdin: flag(service.stdin_open),
    capabilitiesAdd: list(service.cap_add),
    capabilitiesDrop: list(service.cap_drop),
    noNewPrivileges: flag(options.some((option) => /^no-new-privileges(?:=true)?$/u.test(option))),
    seccomp: options.includes('seccomp=unconfined') ? 'unconfined' : profile,
    apparmor: options.map((option) => /^apparmor=(?!unconfined$)(.+)$/u.exec(option)?.[1]).find(Boolean),
    systemPaths: options.includes('systempaths=unconfined') ? 'unconfined' : undefined,
    sysctls: written(service.sysctls),
    ulimits: written(limitsByName(service.ulimits ?? {})),
    sharedMemoryBytes: positive(Number(service.shm_size ?? 0)),
    groups: list(service.group_add),
    domainName: service.domainname,
    annotations: written(service.annotations),
    devices: list(
      service.devices
        ?.filter(({ source }) => source.startsWith('/'))
        .map(({ source, target = source, permissions = 'rwm' }) => ({ source, target, permissions })),
    ),
    cdi: list(cdiRequests(service)),
    deviceRules: list(service.device_cgroup_rules),
    network: service.network_mode === 'host' ? 'host' : undefined,
    ipc: service.ipc === 'host' || service.ipc === 'shareable' ? service.ipc : undefined,
    pid: service.pid === 'host' ? 'host' : undefined,
    uts: service.uts === 'host' ? 'host' : undefined,
    cgroup: service.cgroup,
    cgroupParent: service.cgroup_parent,
    cpu: said(cpuSettings(service)),
    memory: said(memorySettings(service)),
    blockIo: said(blockIoSettings(service.blkio_config)),
    runtime: service.runtime,
    oomScoreAdjust: service.oom_score_adj,
  };
}

function cpuSettings(service: CanonicalService): Optional<CpuSettings> {
  return {
    set: service.cpuset,
    shares: positive(service.cpu_shares),
    quotaUs: service.cpu_quota === 0 ? undefined : service.cpu_quota,
    periodUs: positive(service.cpu_period),
    realtimeRuntimeUs: positive(service.cpu_rt_runtime),
    realtimePeriodUs: positive(service.cpu_rt_period),
  };
}

function memorySettings(service: CanonicalService): Optional<MemorySettings> {
  const swap = Number(service.memswap_limit ?? 0);
  return {
    withSwapBytes: swap === 0 ? undefined : swap,
    swappiness: service.mem_swappiness,
    disableOomKill: flag(service.oom_kill_disable),
  };
}

/** The option with `=` between its name and its value, which may also be a colon. */
export function securityOption(option: string): string {
  return option.replace(/^([a-z-]+)[:=]/u, '$1=');
}

function blockIoSettings(config: CanonicalBlockIo = {}): Optional<BlockIoSettings> {
  const rates = (entries: { path: string; rate: string }[] | undefined) =>
    list(entries?.map(({ path, rate }) => ({ path, rate: Number(rate) })));
  return {
    weight: config.weight,
    weightDevices: list(config.weight_device),
    readBytes: rates(config.device_read_bps),
    writeBytes: rates(config.device_write_bps),
    readOperations: rates(config.device_read_iops),
    writeOperations: rates(config.device_write_iops),
  };
}

function nameSettings(service: CanonicalService): Optional<NameSettings> {
  return {
    dnsServers: list(service.dns),
    dnsSearch: list(service.dns_search),
    dnsOptions: list(service.dns_opt),
    extraHosts: list(
      service.extra_hosts?.map((entry) => {
        const [name = '', address = ''] = entry.split('=');
        return { name, address };
      }),
    ),
  };
}

function logSettings({ logging }: CanonicalService): Optional<LogSettings> {
  const { 'max-size': size, 'max-file': files } = logging?.options ?? {};
  return { fileBytesMax: positive(parseBytes(size ?? '0')), filesMax: positive(Number(files ?? 0)) };
}

function pullPolicy(policy: string | undefined): PullPolicy | undefined {
  if (policy === 'always' || policy === 'never') return { kind: policy };
  if (policy === 'daily') return { kind: 'every', intervalMs: dayMs };
  if (policy === 'weekly') return { kind: 'every', intervalMs: 7 * dayMs };
  const [, interval] = /^every_(.+)$/u.exec(policy ?? '') ?? [];
  return interval === undefined ? undefined : { kind: 'every', intervalMs: durationMs(interval) };
}

/** `linux/arm64` as placement constraints. */
export function platformConstraints(platform: string | undefined): string[] {
  if (platform === undefined) return [];
  const [os = 'linux', architecture] = platform.split('/');
  return [
    `node.platform.os == ${os}`,
    ...(architecture === undefined ? [] : [`node.platform.arch == ${architecture}`]),
  ];
}

function flag(value: boolean | undefined): true | undefined {
  return value === true ? true : undefined;
}

function list<T>(values: readonly T[] | undefined): T[] | undefined {
  return values === undefined || values.length === 0 ? undefined : [...values];
}

function positive(value: number | undefined): number | undefined {
  return value !== undefined && value > 0 ? value : undefined;
}
