import type { Protocol } from '../spec/port.ts';

/** The canonical Compose model as plain data: what `shoal config` prints and the specs are made from. */
export interface CanonicalModel {
  name: string;
  services: Record<string, CanonicalService>;
  networks?: Record<string, CanonicalNetwork>;
  volumes?: Record<string, CanonicalVolume>;
  secrets?: Record<string, CanonicalFile>;
  configs?: Record<string, CanonicalFile>;
  models?: Record<string, unknown>;
  [extension: `x-${string}`]: unknown;
}

export interface CanonicalService {
  image?: string;
  command?: string[] | null;
  entrypoint?: string[] | null;
  /** null: not set. */
  environment?: Record<string, string | null>;
  env_file?: { path: string; required: boolean; format?: 'raw' }[];
  ports?: CanonicalPort[];
  networks: Record<string, CanonicalServiceNetwork | null>;
  volumes?: CanonicalMount[];
  secrets?: CanonicalFileReference[];
  configs?: CanonicalFileReference[];
  depends_on?: Record<string, { condition: string; required: boolean; restart?: boolean }>;
  healthcheck?: CanonicalHealthcheck;
  labels?: Record<string, string>;
  user?: string;
  working_dir?: string;
  hostname?: string;
  stop_signal?: string;
  'x-shoal-keep-scale'?: boolean;
  stop_grace_period?: string;
  restart?: string;
  deploy?: CanonicalDeploy;
  build?: CanonicalBuild;
  develop?: { watch?: { path: string; action: string; target?: string }[] };
  extends?: { service: string; file?: string };
  profiles?: string[];
  scale?: number;
  cpus?: number;
  mem_limit?: string;
  mem_reservation?: string;
  pids_limit?: number;
  expose?: string[];
  /** `SERVICE` or `SERVICE:ALIAS` */
  links?: string[];
  container_name?: string;
  tmpfs?: string[];
  label_file?: string[];
  annotations?: Record<string, string>;
  blkio_config?: CanonicalBlockIo;
  cap_add?: string[];
  cap_drop?: string[];
  cgroup?: 'host' | 'private';
  cgroup_parent?: string;
  cpu_period?: number;
  cpu_quota?: number;
  cpu_rt_period?: number;
  cpu_rt_runtime?: number;
  cpu_shares?: number;
  cpuset?: string;
  device_cgroup_rules?: string[];
  devices?: { source: string; target?: string; permissions?: string }[];
  dns?: string[];
  dns_opt?: string[];
  dns_search?: string[];
  domainname?: string;
  /** `NAME=ADDRESS` */
  extra_hosts?: string[];
  gpus?: CanonicalDeviceRequest[];
  group_add?: string[];
  init?: boolean;
  /** `host`, `private`, `shareable`, `none`, `service:NAME` or `container:NAME` */
  ipc?: string;
  logging?: { driver?: string; options?: Record<string, string> };
  mem_swappiness?: number;
  memswap_limit?: string;
  /** `none`, `host`, `bridge`, `service:NAME` or `container:NAME` */
  network_mode?: string;
  oom_kill_disable?: boolean;
  oom_score_adj?: number;
  /** `host`, `service:NAME` or `container:NAME` */
  pid?: string | null;
  platform?: string;
  pre_start?: CanonicalInitContainer[];
  post_start?: CanonicalHook[];
  pre_stop?: CanonicalHook[];
  privileged?: boolean;
  pull_policy?: string;
  read_only?: boolean;
  runtime?: string;
  security_opt?: string[];
  shm_size?: string;
  stdin_open?: boolean;
  sysctls?: Record<string, string>;
  tty?: boolean;
  /** One number is both limits. */
  ulimits?: Record<string, number | { soft: number; hard: number }>;
  userns_mode?: string;
  uts?: string;
  credential_spec?: { config?: string; file?: string; registry?: string };
  models?: Record<string, unknown>;
  provider?: { type: string; options?: Record<string, string[]> };
  /** `SERVICE` or `container:NAME`, either with `:ro` or `:rw` */
  volumes_from?: string[];
}

export interface CanonicalBuild {
  context?: string;
  dockerfile?: string;
  dockerfile_inline?: string;
  /** null: not set. */
  args?: Record<string, string | null>;
  additional_contexts?: Record<string, string>;
  secrets?: CanonicalFileReference[];
  platforms?: string[];
}

export interface CanonicalServiceNetwork {
  aliases?: string[];
  ipv4_address?: string;
  interface_name?: string;
  priority?: number;
  gw_priority?: number;
}

export interface CanonicalBlockIo {
  weight?: number;
  weight_device?: { path: string; weight: number }[];
  device_read_bps?: { path: string; rate: string }[];
  device_write_bps?: { path: string; rate: string }[];
  device_read_iops?: { path: string; rate: string }[];
  device_write_iops?: { path: string; rate: string }[];
}

export interface CanonicalHook {
  command: string[];
  user?: string;
  privileged?: boolean;
  working_dir?: string;
  /** null: not set. */
  environment?: Record<string, string | null>;
}

export interface CanonicalInitContainer extends Omit<CanonicalHook, 'command'> {
  command?: string[] | null;
  image?: string;
  per_replica?: boolean;
}

export interface CanonicalHealthcheck {
  test?: string[] | null;
  interval?: string;
  timeout?: string;
  start_period?: string;
  start_interval?: string;
  retries?: number;
  disable?: boolean;
}

export interface CanonicalPort {
  target: number;
  published?: string;
  host_ip?: string;
  protocol: Protocol;
  mode: 'ingress' | 'host';
}

export interface CanonicalMount {
  type: 'volume' | 'bind' | 'tmpfs' | 'image' | 'npipe' | 'cluster';
  source?: string;
  target: string;
  read_only?: boolean;
  bind?: { create_host_path?: boolean; propagation?: string; recursive?: string };
  volume?: { nocopy?: boolean; subpath?: string };
  tmpfs?: { size?: string; mode?: string };
  image?: { subpath?: string };
}

export interface CanonicalFileReference {
  source: string;
  /** As it is written; `fileTarget` says where that is. */
  target?: string;
  uid?: string;
  gid?: string;
  mode?: string;
}

export interface CanonicalPolicy {
  parallelism?: number;
  delay?: string;
  failure_action?: 'pause' | 'continue' | 'rollback';
  monitor?: string;
  max_failure_ratio?: number;
  order?: 'stop-first' | 'start-first';
}

export interface CanonicalResources {
  cpus?: number;
  memory?: string;
  pids?: number;
}

/** At most one of `count` and `device_ids`; neither is all. */
export interface CanonicalDeviceRequest {
  capabilities?: string[];
  driver?: string;
  /** -1: all. */
  count?: number;
  device_ids?: string[];
}

export interface CanonicalReservations extends CanonicalResources {
  devices?: CanonicalDeviceRequest[];
}

export interface CanonicalDeploy {
  mode?: 'replicated' | 'global' | 'replicated-job' | 'global-job';
  replicas?: number;
  endpoint_mode?: 'vip' | 'dnsrr';
  labels?: Record<string, string>;
  placement?: {
    constraints?: string[];
    max_replicas_per_node?: number;
    preferences?: { spread?: string }[];
  };
  resources?: {
    limits?: CanonicalResources;
    reservations?: CanonicalReservations;
  };
  restart_policy?: {
    condition?: 'none' | 'on-failure' | 'any';
    delay?: string;
    max_attempts?: number;
    window?: string;
  };
  update_config?: CanonicalPolicy;
  rollback_config?: CanonicalPolicy;
}

export interface CanonicalNetwork {
  name: string;
  external?: boolean;
  internal?: boolean;
  labels?: Record<string, string>;
  ipam?: { config?: CanonicalSubnet[] };
  driver_opts?: { 'com.docker.network.driver.mtu'?: string };
}

export interface CanonicalSubnet {
  subnet?: string;
  ip_range?: string;
  gateway?: string;
  aux_addresses?: Record<string, string>;
}

export interface CanonicalVolume {
  name: string;
  external?: boolean;
  labels?: Record<string, string>;
  driver?: string;
  driver_opts?: { type?: string; o?: string; device?: string };
  'x-shoal-volume'?: 'per-node';
}

/** A secret or config: exactly one of `file`, `environment` and `content`, unless it is external or has a driver. */
export interface CanonicalFile {
  name: string;
  external?: boolean;
  driver?: string;
  file?: string;
  environment?: string;
  content?: string;
  labels?: Record<string, string>;
}
