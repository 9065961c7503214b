import type { SeccompProfile } from './seccomp.ts';

/** A device of the host that the container sees. */
export interface Device {
  /** Absolute path on the host: a device, or a folder of devices. */
  source: string;
  /** Absolute path in the container. */
  target: string;
  /** Some of `r`, `w` and `m` (make the node). */
  permissions: string;
}

/** A device by its full name, `vendor.com/class=name`, or so many of a kind, `vendor.com/class`. */
export type CdiRequest = { device: string } | { kind: string; count: number };

/** How one container is shut off from its host, where that is not the engine's default; everything may be absent. */
export interface ContainerSettings {
  /** A small first process that reaps children and passes signals on. */
  init?: boolean;
  /** Everything the host may, with all of its devices. */
  privileged?: boolean;
  /** The container's own files cannot be written. */
  readOnly?: boolean;
  tty?: boolean;
  /** Standard input stays open, though nobody writes. */
  openStdin?: boolean;
  /** `NET_ADMIN`, or `ALL`; with or without `CAP_`. */
  capabilitiesAdd?: string[];
  capabilitiesDrop?: string[];
  noNewPrivileges?: boolean;
  /** Absent: the engine's own profile. */
  seccomp?: 'unconfined' | SeccompProfile;
  /** The name of an AppArmor profile that the host has loaded. */
  apparmor?: string;
  /** `unconfined`: no part of /proc and /sys is hidden or read-only. */
  systemPaths?: 'unconfined';
  sysctls?: Record<string, string>;
  /** By the name of the limit in lower case, `nofile`; -1 is no limit. */
  ulimits?: Record<string, { soft: number; hard: number }>;
  sharedMemoryBytes?: number;
  /** Other groups of the process, names of the image or numbers. */
  groups?: string[];
  domainName?: string;
  annotations?: Record<string, string>;
  devices?: Device[];
  /** Devices that the host's own specifications describe (Container Device Interface). */
  cdi?: CdiRequest[];
  /** `c 1:3 rwm`, as the kernel's device controller writes them. */
  deviceRules?: string[];
  /** The container has no network namespace of its own, and belongs to no network. */
  network?: 'host';
  /** `shareable`: other tasks may join it, and its shared memory. */
  ipc?: 'host' | 'shareable';
  pid?: 'host';
  uts?: 'host';
  cgroup?: 'host' | 'private';
  /** Absolute: where the control group is made. Otherwise below the engine's own. */
  cgroupParent?: string;
  cpu?: CpuSettings;
  memory?: MemorySettings;
  blockIo?: BlockIoSettings;
  /** What runs the container: `crun`, or a containerd runtime by its full name. Absent: containerd's own. */
  runtime?: string;
  /** -1000 to 1000: which process goes first when the host has no memory left. */
  oomScoreAdjust?: number;
}

export interface CpuSettings {
  /** CPUs by number, `0-2,5`. */
  set?: string;
  shares?: number;
  /** Microseconds of CPU time in each period. */
  quotaUs?: number;
  periodUs?: number;
  realtimeRuntimeUs?: number;
  realtimePeriodUs?: number;
}

export interface MemorySettings {
  /** Memory and swap together; -1 is no limit. */
  withSwapBytes?: number;
  /** 0 to 100; only control groups of version 1 have it. */
  swappiness?: number;
  /** Only control groups of version 1 have it. */
  disableOomKill?: boolean;
}

/** A limit of one block device of the host. */
export interface BlockDeviceRate {
  /** Absolute path of the device. */
  path: string;
  /** Bytes or operations a second. */
  rate: number;
}

export interface BlockIoSettings {
  /** 10 to 1000: the share when others want the device as well. */
  weight?: number;
  weightDevices?: { path: string; weight: number }[];
  readBytes?: BlockDeviceRate[];
  writeBytes?: BlockDeviceRate[];
  readOperations?: BlockDeviceRate[];
  writeOperations?: BlockDeviceRate[];
}

/** How names are looked up in the container, beside the cluster's own. */
export interface NameSettings {
  /** Asked for names of the outside world instead of the host's own servers. */
  dnsServers?: string[];
  dnsSearch?: string[];
  dnsOptions?: string[];
  /** Lines of /etc/hosts; the address may be `host-gateway`, which is the host that the container is on. */
  extraHosts?: { name: string; address: string }[];
}

/** How much of a container's output is kept. */
export interface LogSettings {
  fileBytesMax?: number;
  filesMax?: number;
}

/** A command that is run in the container beside its own program. */
export interface Hook {
  command: string[];
  environment: Record<string, string>;
  user?: string;
  workingDirectory?: string;
  /** With everything the host may, whatever the container has. */
  privileged?: true;
}

/** A container that is run to its end before the service's own starts, with all that the service's own has. */
export interface InitContainer {
  /** Absent: the service's image. */
  image?: string;
  /** Absent: the service's command, or that of `image`. */
  command?: string[];
  /** Laid over the service's. */
  environment: Record<string, string>;
  user?: string;
  workingDirectory?: string;
  privileged?: true;
  /** Before each replica; otherwise once for a version of the service, before any replica of it starts. */
  perReplica: boolean;
}

/** When an image is pulled although it is on the host: `every` when the last pull is that long ago. Absent: never. */
export type PullPolicy = { kind: 'always' | 'never' } | { kind: 'every'; intervalMs: number };
