import { newTable, type Plain } from './tree.ts';

/** How a map is printed: its keys in this order, then the others by name, and how what is below it is printed. */
interface Shape {
  order?: readonly string[];
  /** What is printed below a key. */
  below?: Readonly<Record<string, Shape>>;
  /** What is printed as an entry of a map of names, or as an item of a list. */
  each?: Shape;
  /** Keys that JSON has even where nothing is said. */
  always?: Readonly<Record<string, Plain>>;
  /** How a value is written that has another form. */
  written?: (value: Plain) => Plain;
}

const words = (text: string) => text.split(' ');

const device: Shape = { each: { order: words('capabilities driver count device_ids options') } };
const fileReference: Shape = { each: { order: words('source target uid gid mode') } };
const throttle: Shape = { each: { order: words('path rate') } };
const update: Shape = {
  order: words('parallelism delay failure_action monitor max_failure_ratio order'),
};
const hook: Shape = { order: words('command user privileged working_dir environment') };
const limits: Shape = {
  order: words('cpus memory pids devices generic_resources'),
  below: { devices: device },
};

const ulimits: Shape = { each: { order: words('soft hard') } };

const build: Shape = {
  order: words(
    'context dockerfile dockerfile_inline entitlements args provenance sbom ssh labels cache_from cache_to no_cache additional_contexts pull extra_hosts isolation network target secrets shm_size tags ulimits platforms privileged',
  ),
  below: {
    secrets: fileReference,
    ulimits,
    ssh: {
      written: (value) =>
        Object.entries(value as Record<string, Plain>).map(([id, path]) =>
          typeof path === 'string' ? `${id}=${path}` : id,
        ),
    },
  },
};

const deploy: Shape = {
  order: words(
    'mode replicas labels update_config rollback_config resources restart_policy placement endpoint_mode',
  ),
  always: { resources: {}, placement: {} },
  below: {
    update_config: update,
    rollback_config: update,
    resources: { order: words('limits reservations'), below: { limits, reservations: limits } },
    restart_policy: { order: words('condition delay max_attempts window') },
    placement: { order: words('constraints preferences max_replicas_per_node') },
  },
};

const mount: Shape = {
  order: words('type source target read_only consistency bind volume tmpfs image'),
  below: {
    bind: { order: words('selinux propagation create_host_path recursive') },
    volume: { order: words('labels nocopy subpath') },
    tmpfs: {
      order: words('size mode'),
      below: { mode: { written: (mode) => (typeof mode === 'string' ? Number.parseInt(mode, 8) : mode) } },
    },
  },
};

const service: Shape = {
  order: words(
    'profiles annotations attach build develop blkio_config cap_add cap_drop cgroup_parent cgroup cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpus cpuset cpu_shares command configs container_name credential_spec depends_on deploy device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint provider environment env_file expose extends external_links extra_hosts group_add gpus hostname healthcheck image init ipc isolation labels label_file links logging mem_limit mem_reservation memswap_limit mem_swappiness mac_address models network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports privileged pull_policy pull_refresh_after read_only restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes volumes_from working_dir pre_start post_start pre_stop',
  ),
  always: { command: null, entrypoint: null },
  written: (value) => {
    const { networks, ...rest } = value as Record<string, Plain>;
    return Object.keys(networks ?? {}).length === 0 ? rest : value;
  },
  below: {
    build,
    deploy,
    ulimits,
    gpus: device,
    secrets: fileReference,
    configs: fileReference,
    volumes: { each: mount },
    develop: {
      below: {
        watch: {
          each: {
            order: words('path action target exec include ignore initial_sync'),
            below: { exec: hook },
          },
        },
      },
    },
    blkio_config: {
      order: words(
        'weight weight_device device_read_bps device_read_iops device_write_bps device_write_iops',
      ),
      below: {
        weight_device: { each: { order: words('path weight') } },
        device_read_bps: throttle,
        device_read_iops: throttle,
        device_write_bps: throttle,
        device_write_iops: throttle,
      },
    },
    depends_on: { each: { order: words('condition restart required') } },
    devices: { each: { order: words('source target permissions') } },
    mem_swappiness: { written: String },
    env_file: { each: { order: words('path required format') } },
    healthcheck: {
      order: words('test timeout interval retries start_period start_interval disable'),
    },
    networks: {
      each: {
        order: words(
          'aliases driver_opts gw_priority interface_name ipv4_address ipv6_address link_local_ips mac_address priority',
        ),
      },
    },
    ports: { each: { order: words('name mode host_ip target published protocol app_protocol') } },
    provider: { order: words('type options') },
    pre_start: { each: hook },
    post_start: { each: hook },
    pre_stop: { each: hook },
  },
};

const file: Shape = {
  each: {
    order: words('name file environment content external labels driver driver_opts template_driver'),
  },
};

const model: Shape = {
  order: words('name services networks volumes secrets configs models'),
  below: {
    services: { each: service },
    networks: {
      each: {
        order: words(
          'name driver driver_opts ipam external internal attachable labels enable_ipv4 enable_ipv6',
        ),
        always: { ipam: {} },
        below: {
          ipam: {
            order: words('driver config'),
            below: { config: { each: { order: words('subnet gateway ip_range aux_addresses') } } },
          },
        },
      },
    },
    volumes: { each: { order: words('name driver driver_opts external labels') } },
    secrets: file,
    configs: file,
    models: { each: { order: words('name model context_size runtime_flags') } },
  },
};

/**
 * A model as `docker compose config` prints it: the keys of a map in the order of compose-go's types, with the shorter form
 * of a value that has one, and in JSON what is there even where nothing is said. It reads back as the same model.
 */
export function printed(plain: Plain, format: 'yaml' | 'json'): Plain {
  return format === 'json' ? arranged(plain, { below: model.below! }, true) : arranged(plain, model, false);
}

function arranged(value: Plain, shape: Shape, isJson: boolean): Plain {
  if (shape.written !== undefined)
    return arranged(shape.written(value), { ...shape, written: undefined }, isJson);
  if (value === null || typeof value !== 'object') return value;
  const { each = {}, below = {} } = shape;
  if (Array.isArray(value)) return value.map((item) => arranged(item, each, isJson));
  const table = isJson ? { ...shape.always, ...value } : value;
  const { order = [] } = shape;
  const known = new Set(order);
  const keys = [
    ...order.filter((key) => Object.hasOwn(table, key)),
    ...Object.keys(table)
      .filter((key) => !known.has(key))
      .sort(),
  ];
  const arrangedTable = newTable<Plain>();
  for (const key of keys) arrangedTable[key] = arranged(table[key]!, below[key] ?? each, isJson);
  return arrangedTable;
}
