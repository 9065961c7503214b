/** What can be written in a Compose file, and what it comes to. The tests check each row; the fuzzer begins with them. */

type Row = readonly [written: string, expected: object];

/** Defines whatever the rows name. */
export const surroundings = `
networks: { front: , back: , fixed: { ipam: { config: [{ subnet: 10.3.0.0/16 }] } } }
volumes: { data: }
secrets: { pw: { file: pw.txt } }
configs: { page: { content: hello } }
`;

/** The files that the rows name. */
export const disk = {
  '/app/l.env': 'FROM_FILE=1\nboth=file',
  '/app/pw.txt': 's3cret',
  '/app/a.env': 'A=1\nB=file',
  '/app/raw.env': 'C="q"',
  '/app/seccomp.json':
    '{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "name": "mkdir", "action": "SCMP_ACT_ERRNO" }] }',
};

/** An attribute of the service `web` and what it is in canonical form. */
export const canonicalRows: readonly Row[] = [
  ['command: run --port "80 80"', { command: ['run', '--port', '80 80'] }],
  ['command: [a, b]', { command: ['a', 'b'] }],
  ['command:', { command: undefined }],
  ["command: ''", { command: [] }],
  ['entrypoint: [/bin/sh, -c]', { entrypoint: ['/bin/sh', '-c'] }],
  [
    'environment: { A: 1.10, B: 0440, C: true, D: , FROM: , E: "" }',
    { environment: { A: '1.1', B: '288', C: 'true', D: null, FROM: 'outside', E: '' } },
  ],
  [
    'environment: [A=1, B=x=y, FROM, NONE, C=]',
    { environment: { A: '1', B: 'x=y', FROM: 'outside', NONE: null, C: '' } },
  ],
  ['env_file: a.env', { environment: { A: '1', B: 'file' } }],
  [
    'env_file: [a.env, { path: raw.env, format: raw }, { path: none.env, required: false }]',
    { environment: { A: '1', B: 'file', C: '"q"' } },
  ],
  ['ports: ["8080:80"]', { ports: [{ target: 80, published: '8080', protocol: 'tcp', mode: 'ingress' }] }],
  ['ports: [80]', { ports: [{ target: 80, protocol: 'tcp', mode: 'ingress' }] }],
  ['ports: ["8000-9000:80/UDP"]', { ports: [{ target: 80, published: '8000-9000', protocol: 'udp' }] }],
  [
    'ports: ["90-91:80-81"]',
    {
      ports: [
        { target: 80, published: '90' },
        { target: 81, published: '91' },
      ],
    },
  ],
  [
    'ports: [{ target: "80", published: 81, mode: host }]',
    { ports: [{ target: 80, published: '81', protocol: 'tcp', mode: 'host' }] },
  ],
  [
    'ports: ["127.0.0.1:80:80/SCTP"]',
    { ports: [{ target: 80, published: '80', protocol: 'sctp', host_ip: '127.0.0.1' }] },
  ],
  ['networks: [back, front]', { networks: { back: null, front: null } }],
  [
    'networks: { back: { aliases: [store, other] } }',
    { networks: { back: { aliases: ['store', 'other'] } } },
  ],
  ['networks: {}', { networks: { default: null } }],
  [
    'volumes: ["data:/data/:ro"]',
    { volumes: [{ type: 'volume', source: 'data', target: '/data', read_only: true }] },
  ],
  ['volumes: ["/srv:/srv"]', { volumes: [{ type: 'bind', source: '/srv', target: '/srv', bind: {} }] }],
  ['volumes: [/cache]', { volumes: [{ type: 'volume', target: '/cache' }] }],
  ['volumes: ["data:/d:nocopy"]', { volumes: [{ type: 'volume', volume: { nocopy: true } }] }],
  [
    'volumes: [{ type: tmpfs, target: /t, tmpfs: { size: 1m, mode: 01777 } }]',
    { volumes: [{ type: 'tmpfs', target: '/t', tmpfs: { size: '1048576', mode: '01777' } }] },
  ],
  ['secrets: [pw]', { secrets: [{ source: 'pw', target: '/run/secrets/pw' }] }],
  [
    'secrets: [{ source: pw, target: other, uid: 103, mode: 0400 }]',
    { secrets: [{ source: 'pw', target: 'other', uid: '103', mode: '0400' }] },
  ],
  ['configs: [page]', { configs: [{ source: 'page' }] }],
  [
    'configs: [{ source: page, target: /etc/page, mode: "0440" }]',
    { configs: [{ target: '/etc/page', mode: '0440' }] },
  ],
  ['depends_on: [db]', { depends_on: { db: { condition: 'service_started', required: true } } }],
  [
    'depends_on: { db: { condition: service_healthy } }',
    { depends_on: { db: { condition: 'service_healthy', required: true } } },
  ],
  [
    'healthcheck: { test: curl x, interval: 90s, retries: "4" }',
    { healthcheck: { test: ['CMD-SHELL', 'curl x'], interval: '1m30s', retries: 4 } },
  ],
  [
    'healthcheck: { test: [CMD, a], start_interval: 1s, start_period: 2s, timeout: 3s }',
    { healthcheck: { test: ['CMD', 'a'], start_interval: '1s', start_period: '2s', timeout: '3s' } },
  ],
  ['labels: [a=b, c]', { labels: { a: 'b', c: '' } }],
  ['labels: { a: 1, c: }', { labels: { a: '1', c: '' } }],
  ['user: "1000:1000"', { user: '1000:1000' }],
  ['working_dir: /app', { working_dir: '/app' }],
  ['hostname: web-1', { hostname: 'web-1' }],
  ['stop_signal: SIGQUIT', { stop_signal: 'SIGQUIT' }],
  ['stop_signal: 3', { stop_signal: '3' }],
  ['stop_grace_period: 1m', { stop_grace_period: '1m0s' }],
  ['restart: no', { restart: 'no' }],
  ['deploy: { replicas: "3" }', { deploy: { replicas: 3 } }],
  ['deploy: { labels: [a=1] }', { deploy: { labels: { a: '1' } } }],
  ['label_file: l.env\n    labels: { both: own }', { labels: { FROM_FILE: '1', both: 'own' } }],
  ['expose: [80, 90-91/udp]', { expose: ['80', '90-91/udp'] }],
  ['extends: db', { image: 'nginx' }],
  [
    'links: ["db:store"]',
    { links: ['db:store'], depends_on: { db: { condition: 'service_started', required: true } } },
  ],
  [
    'links: [db]\n    depends_on: { db: { condition: service_healthy, required: false } }',
    { depends_on: { db: { condition: 'service_healthy', required: false } } },
  ],
  ['container_name: web-1', { container_name: 'web-1' }],
  ['x-note: { any: [thing] }', { 'x-note': { any: ['thing'] } }],
];

/** An attribute of the service `web` and what it is in its spec. */
export const specRows: readonly Row[] = [
  ['command: [a]', { task: { container: { command: ['a'] } } }],
  ["entrypoint: ''", { task: { container: { entrypoint: [] } } }],
  ['environment: { A: 1, NONE: }', { task: { container: { environment: { A: '1' } } } }],
  [
    'ports: ["8080:80", { target: 1, published: 2, mode: host }, "8000-8005:7"]',
    {
      ports: [
        { target: 80, published: 8080 },
        { target: 7, published: { first: 8000, last: 8005 } },
      ],
      task: { hostPorts: [{ target: 1, published: 2, mode: 'host' }] },
    },
  ],
  ['ports: [80]', { ports: [{ target: 80, protocol: 'tcp', mode: 'ingress' }] }],
  [
    'ports: ["127.0.0.1:80:80", "0.0.0.0:81:81/sctp"]',
    {
      ports: [
        { target: 80, published: 80, address: '127.0.0.1' },
        { target: 81, protocol: 'sctp' },
      ],
    },
  ],
  [
    'networks: [front, back]',
    {
      task: {
        networks: [
          { name: 'app_back', aliases: [] },
          { name: 'app_front', aliases: [] },
        ],
      },
    },
  ],
  [
    'networks: { front: { gw_priority: 1 }, fixed: { priority: 5, ipv4_address: 10.3.0.9, interface_name: lan0 } }',
    {
      task: {
        networks: [
          { name: 'app_fixed', address: '10.3.0.9', interfaceName: 'lan0' },
          { name: 'app_front', gatewayPriority: 1 },
        ],
      },
    },
  ],
  ['networks: { back: { aliases: [a, a] } }', { task: { networks: [{ name: 'app_back', aliases: ['a'] }] } }],
  [
    'volumes: ["data:/d"]',
    {
      task: {
        container: { mounts: [{ type: 'volume', source: 'app_data', target: '/d', readOnly: false }] },
      },
    },
  ],
  ['volumes: ["data:/d:nocopy"]', { task: { container: { mounts: [{ noCopy: true }] } } }],
  ['volumes: ["/a:/b"]', { task: { container: { mounts: [{ source: '/a', createHostPath: false }] } } }],
  [
    'volumes: [{ type: bind, source: /a, target: /b }]',
    { task: { container: { mounts: [{ source: '/a', createHostPath: false }] } } },
  ],
  [
    'volumes: [{ type: bind, source: /a, target: /b, bind: { create_host_path: true } }]',
    { task: { container: { mounts: [{ source: '/a', createHostPath: true }] } } },
  ],
  [
    'volumes: [{ type: bind, source: /a, target: /b, bind: { create_host_path: false } }]',
    { task: { container: { mounts: [{ type: 'bind', source: '/a', createHostPath: false }] } } },
  ],
  [
    'volumes: [{ type: tmpfs, target: /t, tmpfs: { size: 1k, mode: 0700 } }]',
    { task: { container: { mounts: [{ type: 'tmpfs', sizeBytes: 1024, mode: 0o700 }] } } },
  ],
  [
    'secrets: [pw]',
    {
      task: {
        container: {
          secrets: [{ name: 'app_pw-1ec1c26b50d5', target: '/run/secrets/pw', uid: 0, gid: 0, mode: 0o444 }],
        },
      },
    },
  ],
  [
    'configs: [{ source: page, uid: "7", gid: "8" }]',
    { task: { container: { configs: [{ target: '/page', uid: 7, gid: 8 }] } } },
  ],
  [
    'depends_on: { db: { condition: service_completed_successfully } }',
    { dependsOn: [{ service: 'app_db', condition: 'completed' }] },
  ],
  ['healthcheck: { disable: true }', { task: { container: { healthcheck: { test: ['NONE'] } } } }],
  ['healthcheck: { test: [NONE] }', { task: { container: { healthcheck: { test: ['NONE'] } } } }],
  ['healthcheck: { timeout: 1s }', { task: { container: { healthcheck: { timeoutMs: 1000 } } } }],
  ['stop_grace_period: 1m', { task: { container: { stopGracePeriodMs: 60_000 } } }],
  ['labels: { a: b }', { labels: {}, task: { container: { labels: { a: 'b' } } } }],
  ['deploy: { labels: { a: b } }', { labels: { a: 'b' }, task: { container: { labels: {} } } }],
  ['restart: no', { task: { restart: { condition: 'none', delayMs: 5000 } } }],
  ['restart: always', { task: { restart: { condition: 'any', maxAttempts: 0 } } }],
  ['restart: unless-stopped', { task: { restart: { condition: 'any' } } }],
  ['restart: on-failure', { task: { restart: { condition: 'on-failure', maxAttempts: 0 } } }],
  ['restart: on-failure:3', { task: { restart: { condition: 'on-failure', maxAttempts: 3 } } }],
  [
    'user: root',
    {
      task: {
        container: { user: 'root' },
        restart: { condition: 'any', delayMs: 5000, maxAttempts: 0, windowMs: 0 },
      },
    },
  ],
  [
    'deploy: { restart_policy: { condition: none, delay: 1s, max_attempts: 2, window: 3s } }',
    { task: { restart: { condition: 'none', delayMs: 1000, maxAttempts: 2, windowMs: 3000 } } },
  ],
  ['scale: 2', { mode: { kind: 'replicated', replicas: 2 } }],
  [
    'links: [db, "db:Store"]',
    {
      links: [
        { alias: 'db', service: 'app_db' },
        { alias: 'store', service: 'app_db' },
      ],
      dependsOn: [{ service: 'app_db', condition: 'started' }],
    },
  ],
  [
    'container_name: web-1\n    networks: { default: { aliases: [a] } }',
    { containerName: 'web-1', task: { networks: [{ name: 'app_default', aliases: ['a', 'web-1'] }] } },
  ],
  [
    'cpus: 0.5\n    mem_limit: 1m\n    mem_reservation: 1k\n    pids_limit: 5',
    {
      task: {
        limits: { nanoCpus: 500_000_000, memoryBytes: 1_048_576, pids: 5 },
        reservations: { memoryBytes: 1024 },
      },
    },
  ],
  [
    'tmpfs: "/run:size=1k,mode=700"',
    { task: { container: { mounts: [{ type: 'tmpfs', target: '/run', sizeBytes: 1024, mode: 0o700 }] } } },
  ],
  ['deploy: { mode: global }', { mode: { kind: 'global' } }],
  ['deploy: { replicas: 0 }', { mode: { kind: 'replicated', replicas: 0 } }],
  ['deploy: { endpoint_mode: dnsrr }', { endpointMode: 'dnsrr' }],
  [
    'deploy: { resources: { limits: { cpus: "0.25", memory: 64M, pids: 9 }, reservations: { cpus: 0.1, memory: 32M } } }',
    {
      task: {
        limits: { nanoCpus: 250_000_000, memoryBytes: 67_108_864, pids: 9 },
        reservations: { nanoCpus: 100_000_000, memoryBytes: 33_554_432 },
      },
    },
  ],
  ['deploy: { resources: { limits: { cpus: 0, memory: 0, pids: 0 } } }', { task: { limits: {} } }],
  [
    'deploy: { update_config: { parallelism: 0, delay: 2s, failure_action: rollback, monitor: 1s, max_failure_ratio: 0.5, order: start-first } }',
    {
      update: {
        parallelism: 0,
        delayMs: 2000,
        failureAction: 'rollback',
        monitorMs: 1000,
        maxFailureRatio: 0.5,
        order: 'start-first',
      },
    },
  ],
  [
    'deploy: { rollback_config: { order: start-first } }',
    { rollback: { parallelism: 1, failureAction: 'pause', monitorMs: 5000, order: 'start-first' } },
  ],
  [
    'deploy: { placement: { constraints: [node.role == worker], max_replicas_per_node: 2 } }',
    { task: { placement: { constraints: ['node.role == worker'], maxReplicasPerNode: 2 } } },
  ],
  [
    'deploy: { placement: { preferences: [{ spread: node.labels.zone }, {}, { spread: engine.labels.a }] } }',
    { task: { placement: { spread: ['node.labels.zone', 'engine.labels.a'] } } },
  ],
];

/** A top-level attribute and what it is in the specs. */
export const topLevelRows: readonly Row[] = [
  ['name: Shop App', { name: 'shopapp' }],
  [
    'networks: { default: { internal: true, name: shared, labels: [a=b] } }',
    { networks: [{ name: 'shared', internal: true, labels: { a: 'b' } }] },
  ],
  [
    'networks: { default: { driver: bridge, ipam: { config: [{ subnet: 10.9.0.0/16 }] } } }',
    { networks: [{ name: 'app_default', subnet: '10.9.0.0/16' }] },
  ],
  [
    'networks: { default: { driver_opts: { com.docker.network.driver.mtu: 1400 }, ipam: { config: [{ subnet: 10.9.0.0/16, ip_range: 10.9.5.0/24, gateway: 10.9.0.1, aux_addresses: { b: 10.9.0.9, a: 10.9.0.3 } }] } } }',
    {
      networks: [{ range: '10.9.5.0/24', reserved: ['10.9.0.1', '10.9.0.3', '10.9.0.9'], mtuBytes: 1400 }],
    },
  ],
  [
    'volumes: { v: { name: kept, driver: local, labels: { a: b } } }',
    { volumes: [{ name: 'kept', labels: { a: 'b' } }] },
  ],
  [
    'secrets: { s: { environment: FROM } }',
    { secrets: [{ data: Buffer.from('outside').toString('base64') }] },
  ],
  [
    'secrets: { s: { file: ./pw.txt, labels: { a: b } } }',
    { secrets: [{ name: 'app_s-1ec1c26b50d5', labels: { a: 'b' } }] },
  ],
  [
    'configs: { c: { content: "hi ${FROM}" } }',
    { configs: [{ data: Buffer.from('hi outside').toString('base64') }] },
  ],
  [
    'volumes: { v: { driver_opts: { type: nfs, o: "addr=nas,rw", device: ":/v" } } }',
    { volumes: [{ name: 'app_v', driverOptions: { type: 'nfs', o: 'addr=nas,rw', device: ':/v' } }] },
  ],
  [
    'volumes: { v: { driver_opts: { o: bind, device: /srv } } }',
    { volumes: [{ driverOptions: { o: 'bind', device: '/srv' } }] },
  ],
  ['volumes: { v: { external: true } }', { volumes: [] }],
  [
    'networks: { default: { external: true, name: shared } }',
    { networks: [], external: { networks: ['shared'], volumes: [], secrets: [], configs: [] } },
  ],
  ['networks: { default: { external: { name: shared } } }', { external: { networks: ['shared'] } }],
  ['networks: { default: { external: true } }', { external: { networks: ['default'] } }],
  ['secrets: { s: { external: true, file: ./none.txt } }', { secrets: [] }],
  ['configs: { c: { external: true } }', { configs: [] }],
  ['x-any: [1, { a: b }]', {}],
];
