import { describe, expect, it } from 'vitest';
import { faultsOf, load, summary } from './fixtures.ts';
import { renderDiagnostics } from './diagnostic.ts';
import { codeOf } from '../util/errors.ts';

/** A file whose service `web` has this attribute, on line 5. */
function withAttribute(attribute: string): string {
  return `services:\n  db: { image: redis }\n  web:\n    image: nginx\n    ${attribute}\n`;
}

describe('an attribute that is wrong is refused with its place, path and what would be right:', () => {
  it.each<[string, string]>([
    [
      'labels: { a: ${N:-9}, b: c }',
      '5:19 : this is not YAML: unexpected flow-map-start at node end; inside { } and [ ] a value with ${…} has to be quoted',
    ],
    ['imge: x', '5:5 services.web.imge: this key is not known; did you mean image?'],
    ['enviroment: {}', '5:5 services.web.enviroment: this key is not known; did you mean environment?'],
    ['replicas: 2', '5:5 services.web.replicas: this key is not known; did you mean deploy.replicas?'],
    ['zzzzzz: 2', '5:5 services.web.zzzzzz: this key is not known'],
    ['build: { contxt: . }', '5:14 services.web.build.contxt: this key is not known; did you mean context?'],
    [
      'command: 5',
      '5:14 services.web.command: 5 cannot be used here; it must be a string, which is split into words, or a list of words',
    ],
    [
      'command: a && b',
      '5:14 services.web.command: no shell reads it, so "&" outside quotes means nothing; write ["sh", "-c", "…"] for a shell, or quote it',
    ],
    [
      'environment: [A: 1]',
      '5:19 services.web.environment[0]: a map is not NAME=value; write - A=value, or leave out the - to make it a map',
    ],
    [
      'environment: { A: [1] }',
      '5:20 services.web.environment.A: a list cannot be used here; it must be a string, a number, true, false or nothing',
    ],
    [
      'env_file: none.env',
      '5:15 : cannot read /app/none.env: there is no such file; name a file that can be read',
    ],
    [
      'env_file: [{ path: a, format: xml }]',
      '5:35 services.web.env_file[0].format: "xml" cannot be used here; it must be raw',
    ],
    ['ports: "80"', '5:12 services.web.ports: "80" cannot be used here; it must be a list of ports'],
    [
      'ports: ["80:http"]',
      '5:13 services.web.ports[0]: "http" is not a port in the container; write CONTAINER, HOST:CONTAINER or HOST:CONTAINER/udp, such as "8080:80"',
    ],
    [
      'ports: ["http:80"]',
      '5:13 services.web.ports[0]: "http" is not a port on the hosts; write CONTAINER, HOST:CONTAINER or HOST:CONTAINER/udp, such as "8080:80"',
    ],
    ['ports: ["80/icmp"]', '5:13 services.web.ports[0]: "icmp" is not a protocol; write tcp, udp or sctp'],
    [
      'ports: ["[::1]:80:80"]',
      '5:13 services.web.ports[0].host_ip: "::1" cannot be used here; it must be an IPv4 address of hosts; 0.0.0.0 and :: stand for all (no port is open on IPv6)',
    ],
    [
      'ports: ["127.0.0.1:80:80", "80:80"]',
      '5:32 services.web.ports[1]: port 80/tcp is published already, by web; publish each port once',
    ],
    [
      'ports: ["127.0.1:80:80"]',
      '5:13 services.web.ports[0]: "127.0.1" is not an IP address; write CONTAINER, HOST:CONTAINER or HOST:CONTAINER/udp, such as "8080:80"',
    ],
    [
      'ports: ["80-82:80-81"]',
      '5:13 services.web.ports[0]: the ranges differ in length: 3 on the hosts, 2 in the container; make them equal, such as 9090-9091:80-81',
    ],
    [
      'ports: ["1-9999:1-9999"]',
      '5:13 services.web.ports[0]: the range has 9999 ports; a range has at most 1024',
    ],
    ['ports: [{ published: 80 }]', '5:13 services.web.ports[0].target: this key is missing; add target'],
    [
      'ports: [{ target: 70000 }]',
      '5:23 services.web.ports[0].target: 70000 cannot be used here; it must be a whole number from 1 to 65535',
    ],
    [
      'ports: ["80:80", "80:81"]',
      '5:22 services.web.ports[1]: port 80/tcp is published already, by web; publish each port once',
    ],
    [
      'networks: [nope]',
      '5:16 services.web.networks.nope: no network is called nope; define nope under networks',
    ],
    [
      'networks: { default: { ipv4_address: 1.2.3.4 } }',
      '5:42 services.web.networks.default.ipv4_address: the network default has no subnet of its own; give default one under ipam.config',
    ],
    [
      'volumes: ["data:/d"]',
      '5:15 services.web.volumes[0].source: no volume is called data; define data under volumes; a folder of the host begins with /',
    ],
    [
      'volumes: ["./d:/d"]',
      '5:15 services.web.volumes[0].source: "./d" is relative, and the service may run on any host of the cluster; write an absolute path that exists on the hosts, or use a named volume, a config or a secret',
    ],
    [
      'volumes: [":/d"]',
      '5:15 services.web.volumes[0]: ":/d" has an empty part; write NAME:/path, /host/path:/path or either with :ro',
    ],
    [
      'volumes: ["/a:/b:ro:x"]',
      '5:15 services.web.volumes[0]: "/a:/b:ro:x" has too many colons; write NAME:/path, /host/path:/path or either with :ro',
    ],
    [
      'volumes: ["/a:/b:rx"]',
      '5:15 services.web.volumes[0]: "rx" is not an option of a bind mount; write ro or rw',
    ],
    [
      'volumes: ["v:/b"]',
      '5:15 services.web.volumes[0]: "v" is read as a Windows drive; give the volume a name of two letters or more',
    ],
    [
      'volumes: ["/a:b"]',
      '5:15 services.web.volumes[0].target: "b" cannot be used here; it must be an absolute path in the container',
    ],
    [
      'volumes: ["/a:/b", "/c:/b/"]',
      '5:24 services.web.volumes[1].target: /b is taken already, by a bind; give each its own path',
    ],
    [
      'volumes: [{ type: tmpfs, target: /t, bind: { create_host_path: true } }]',
      '5:42 services.web.volumes[0].bind: the mount is of type tmpfs; options under bind are for type: bind',
    ],
    [
      'secrets: [nope]',
      '5:15 services.web.secrets[0].source: no secret is called nope; define nope under secrets',
    ],
    [
      'depends_on: [nope]',
      '5:18 services.web.depends_on.nope: no service is called nope; name a service of this file',
    ],
    ['depends_on: [web]', '5:18 services.web.depends_on.web: a service cannot depend on itself'],
    [
      'depends_on: { db: { condition: ready } }',
      '5:36 services.web.depends_on.db.condition: "ready" cannot be used here; it must be service_started, service_healthy or service_completed_successfully',
    ],
    [
      'depends_on: { db: {} }',
      '5:19 services.web.depends_on.db.condition: this key is missing; add condition',
    ],
    [
      'healthcheck: { interval: 10 }',
      '5:30 services.web.healthcheck.interval: 10 cannot be used here; a duration needs its unit, such as 10s',
    ],
    [
      'healthcheck: { test: [curl, x] }',
      '5:20 services.web.healthcheck.test: a list cannot be used here; it must be a command line, or a list that begins with CMD, CMD-SHELL or NONE',
    ],
    ['labels: [=x]', '5:14 services.web.labels[0]: "=x" is not NAME=value; write NAME=value'],
    [
      'user: 1000',
      '5:11 services.web.user: 1000 cannot be used here; write it in quotes, "1000", to make it a string',
    ],
    [
      'working_dir: app',
      '5:18 services.web.working_dir: "app" cannot be used here; it must be an absolute path in the container',
    ],
    [
      'hostname: a_b',
      '5:15 services.web.hostname: "a_b" cannot be used here; it must be a host name (RFC 1123) of at most 63 characters',
    ],
    [
      'stop_signal: SIGWHAT',
      '5:18 services.web.stop_signal: "SIGWHAT" cannot be used here; it must be a signal, such as SIGTERM or SIGQUIT',
    ],
    [
      'stop_grace_period: soon',
      '5:24 services.web.stop_grace_period: "soon" cannot be used here; it must be a duration with its unit, such as 10s or 1m30s',
    ],
    [
      'restart: sometimes',
      '5:14 services.web.restart: "sometimes" cannot be used here; it must be no, always, on-failure, on-failure:N or unless-stopped',
    ],
    [
      'deploy: { replicas: many }',
      '5:25 services.web.deploy.replicas: "many" cannot be used here; it must be a whole number from 0 to 10000',
    ],
    [
      'scale: 2\n    deploy: { replicas: 3 }',
      '5:12 services.web.scale: it says 2, and deploy.replicas says 3 (compose.yaml:6:25); keep deploy.replicas',
    ],
    [
      'mem_limit: 1m\n    deploy: { resources: { limits: { memory: 2m } } }',
      '5:16 services.web.mem_limit: it says 1048576, and deploy.resources.limits.memory says 2097152 (compose.yaml:6:46); keep deploy.resources.limits.memory',
    ],
    [
      'tmpfs: /run:bind',
      '5:12 services.web.tmpfs[0]: "/run:bind" cannot be used here; it must be a path in the container, with options of mount, such as /run:size=64m,mode=1777,exec',
    ],
    [
      'expose: [http]',
      '5:14 services.web.expose[0]: "http" cannot be used here; it must be a port or a range, such as 8000 or 8000-8010/udp',
    ],
    [
      'profiles: [""]',
      '5:16 services.web.profiles[0]: "" cannot be used here; it must be a name of letters, digits, ".", "_" and "-"',
    ],
    ['extends: { file: x }', '5:5 services.web.extends.service: this key is missing; add service'],
    [
      'extends: nope',
      '5:14 services.web.extends: this file has no service called nope; name one that it has',
    ],
    [
      'extends: web',
      '5:14 services.web.extends: the services extend each other: compose.yaml:web -> compose.yaml:web; take one of them out',
    ],
    ['label_file: none', '5:17 : cannot read /app/none: there is no such file; name a file that can be read'],
    [
      'deploy: { endpoint_mode: dnsrr }\n    ports: [80]',
      '6:13 services.web.ports[0]: a port in ingress mode needs a virtual IP, and endpoint_mode is dnsrr; publish with mode: host, or leave out endpoint_mode',
    ],
    [
      'deploy: { mode: global, replicas: 2 }',
      '5:39 services.web.deploy.replicas: a global service runs once on every node and has no number of replicas; leave out replicas or mode: global',
    ],
    [
      'deploy: { mode: global-job, update_config: { parallelism: 1 } }',
      '5:33 services.web.deploy.update_config: a job that changes is not rolled: all of it runs anew; leave it out',
    ],
    [
      'deploy: { resources: { limits: { memory: lots } } }',
      '5:46 services.web.deploy.resources.limits.memory: "lots" cannot be used here; it must be a size, such as 64m or 1g',
    ],
    [
      'deploy: { resources: { limits: { memory: 1m }, reservations: { memory: 2m } } }',
      '5:76 services.web.deploy.resources.reservations.memory: more is reserved than the limit allows; reserve at most the limit',
    ],
    [
      'deploy: { placement: { constraints: [disk == ssd] } }',
      '5:42 services.web.deploy.placement.constraints[0]: cannot read the placement constraint "disk == ssd": it asks about "disk"; It may ask about node.id, node.hostname, node.ip, node.role, node.platform.os, node.platform.arch, node.labels.KEY or engine.labels.KEY.',
    ],
    [
      'deploy: { placement: { preferences: [{ spread: zone }] } }',
      '5:52 services.web.deploy.placement.preferences[0].spread: cannot read the placement preference "zone": it is not the label of a node; Write node.labels.KEY or engine.labels.KEY.',
    ],
    [
      'deploy: { update_config: { order: any } }',
      '5:39 services.web.deploy.update_config.order: "any" cannot be used here; it must be stop-first or start-first',
    ],
    [
      'deploy: { rollback_config: { failure_action: rollback } }',
      '5:50 services.web.deploy.rollback_config.failure_action: "rollback" cannot be used here; it must be continue or pause',
    ],
  ])('%s', async (attribute, expected) => {
    expect(summary(await faultsOf(withAttribute(attribute)))).toEqual([expected]);
  });
});

describe('a file that is wrong is refused:', () => {
  it.each<[string, string[]]>([
    ['', ['1:1 services: the application has no services; add one under services']],
    ['- a', ['1:1 : this is not a Compose file; it must be a map with services in it']],
    ['services: {}', ['1:1 services: the application has no services; add one under services']],
    [
      'services:\n  web: { image: a, profiles: [core] }\n  db: { image: b, profiles: [db] }',
      [
        '1:1 services: no service is selected: each has a profile of core, db, none of which is active; activate one, such as --profile core or COMPOSE_PROFILES=core',
      ],
    ],
    [
      'services:\n  web: { image: a, profiles: [core] }',
      [
        '1:1 services: no service is selected: each has the profile core, which is not active; activate one, such as --profile core or COMPOSE_PROFILES=core',
      ],
    ],
    ['services:\n  web: {}', ['2:3 services.web: the service has no image; add image: NAME']],
    ['services:\n  web: nginx', ['2:8 services.web: "nginx" cannot be used here; it must be a map']],
    [
      'services:\n  "-x": { image: a }',
      [
        '2:3 services.-x: "-x" cannot be used as a name here; it must be a name of at most 63 letters, digits, ".", "_" and "-" that begins and ends with a letter or digit',
      ],
    ],
    ['service:\n  web: { image: a }', ['1:1 service: this key is not known; did you mean services?']],
    [
      'services: { a: { image: A } }',
      [
        '1:25 services.a.image: "A" cannot be used here; it must be the name of an image, such as redis:8 or docker.io/library/redis:8',
      ],
    ],
    [
      'services: { a: { image: a, depends_on: [b] }, b: { image: b, depends_on: [a] } }',
      [
        '1:75 services.b.depends_on.a: the services depend on each other in a circle: a -> b -> a; take one of them out',
      ],
    ],
    [
      'services: { a: { image: a, ports: ["80:1"] }, b: { image: b, ports: ["80:1"] } }',
      ['1:70 services.b.ports[0]: port 80/tcp is published already, by a; publish each port once'],
    ],
    [
      'services: { a: { image: a } }\nsecrets: { s: {} }',
      ['2:12 secrets.s: it has no content; give it exactly one of file or environment'],
    ],
    [
      'services: { a: { image: a } }\nconfigs: { c: { content: a, file: b } }',
      ['2:12 configs.c: it has both file and content; give it exactly one of file, environment or content'],
    ],
    [
      'services: { a: { image: a, secrets: [s] } }\nsecrets: { s: { file: none } }',
      ['2:23 secrets.s.file: cannot read /app/none: there is no such file; name a file that can be read'],
    ],
    [
      'services: { a: { image: a, secrets: [s] } }\nsecrets: { s: { environment: NONE } }',
      ['2:30 secrets.s.environment: the variable NONE is not set; set NONE in the environment or in .env'],
    ],
    [
      'services: { a: { image: a } }\nvolumes: { v: { external: true, driver: local } }',
      ['2:41 volumes.v.driver: conflicting parameters: the volume is external; leave out one of them'],
    ],
    [
      'services: { a: { image: a } }\nvolumes: { v: { driver_opts: { o: bind, device: ./data } } }',
      [
        '2:49 volumes.v.driver_opts.device: "./data" is relative, and the volume may be used on any host of the cluster; write an absolute path that exists on the hosts',
      ],
    ],
    [
      'services: { a: { image: a, networks: [n, m] } }\nnetworks: { n: { external: true, name: x }, m: { external: true, name: x } }',
      ['1:39 services.a.networks.n: it is the network of m, called x; join it once'],
    ],
    [
      'services: { a: { image: a } }\nnetworks: { n: { name: a, external: { name: b } } }',
      ['2:39 networks.n.external.name: name says another name; keep name'],
    ],
    [
      'services: { a: { image: a, networks: [n] } }\nnetworks: { n: { driver: macvlan } }',
      [
        '2:26 networks.n.driver: "macvlan" cannot be used here; it must be overlay (or bridge, which means the same on a cluster)',
      ],
    ],
    [
      'services: { a: { image: a } }\nnetworks: { n: { ipam: { config: [{ subnet: 10.0.0.0/29 }] } } }',
      ['2:45 networks.n.ipam.config[0].subnet: the subnet 10.0.0.0/29 is too small; a prefix of at most /28'],
    ],
    [
      'services: { a: { image: a, volumes: ["nas:/d"] } }\nvolumes: { nas: { driver: nfs } }',
      ['2:27 volumes.nas.driver: "nfs" cannot be used here; it must be local'],
    ],
    [
      'services: { a: { image: a } }\nvolumes: { va: { name: x }, vb: { name: x } }',
      ['2:41 volumes.vb.name: va is called x already; give each its own name'],
    ],
    [
      'include: [a.yaml]\nservices: { a: { image: a } }',
      ['1:11 : cannot read /app/a.yaml: there is no such file; name a file that can be read'],
    ],
    [
      'include: ["https://example.org/a.git"]\nservices: { a: { image: b } }',
      [
        '1:11 : cannot read /app/https:/example.org/a.git: there is no such file; nothing is fetched: fetch it first, and name the file',
      ],
    ],
    [
      'services: { a: { image: "${X:?say it}" } }',
      [
        '1:25 services.a.image: the required variable X is not set: say it; set X in the environment or in .env',
      ],
    ],
    [
      'services: { a: { image: "${X!}" } }',
      [
        '1:25 services.a.image: "${X!}" is not a variable; write ${NAME}, ${NAME:-default} or ${NAME:?error}, or $$ for a dollar sign',
      ],
    ],
    [
      'name: "--"\nservices: { a: { image: a } }',
      [
        '1:7 name: the project name is empty; it must be at most 63 lower-case letters, digits, "_" and "-", beginning with a letter or digit',
      ],
    ],
  ])('%j', async (text, expected) => {
    expect(summary(await faultsOf(text))).toEqual(expected);
  });

  it('with all of its errors at once, in the order of the file', async () => {
    const faults = await faultsOf(`services:
  web:
    imge: nginx
    user: 1
    deploy: { replicas: x, placement: { constraints: [nonsense] } }
    ports: ["a:b", { target: 0 }]
    networks: [gone]
  db:
    image: \${
    depends_on: [nobody]
`);
    expect(summary(faults).map((line) => line.split(': ')[0])).toEqual([
      '3:5 services.web.imge',
      '4:11 services.web.user',
      '5:25 services.web.deploy.replicas',
      '5:55 services.web.deploy.placement.constraints[0]',
      '6:13 services.web.ports[0]',
      '6:30 services.web.ports[1].target',
      '7:16 services.web.networks.gone',
      '9:12 services.db.image',
      '10:18 services.db.depends_on.nobody',
    ]);
  });

  it('with a code, and a message that says where to look', async () => {
    const error: unknown = await load('services: 5').catch((fault: unknown) => fault);
    expect(codeOf(error)).toBe('invalid_file');
    expect((error as Error).message).toBe('Cannot read compose.yaml: one error');
  });
});

describe('renderDiagnostics()', () => {
  it('shows the line with a caret, keeps tabs, and lets no control character through', async () => {
    const faults = await faultsOf('services:\n  web: { image: nginx, "bel\u001b[2Jl": 1,\timge: x }\n');
    const text = renderDiagnostics(faults);
    expect(text).not.toContain('\u001b');
    expect(text).toMatchInlineSnapshot(`
      "compose.yaml:2:24: services.web: the key has the character U+001B, which cannot be seen; take it out
        2 |   web: { image: nginx, "bel\\u001b[2Jl": 1,	imge: x }
          |                        ^
      compose.yaml:2:39: services.web.imge: this key is not known; did you mean image?
        2 |   web: { image: nginx, "bel\\u001b[2Jl": 1,	imge: x }
          |                                           	^"
    `);
  });

  it('marks warnings as such, and cuts very long lines', async () => {
    const { warnings } = await load(`version: "3"\nservices: { a: { image: nginx } }`);
    expect(renderDiagnostics(warnings)).toMatchInlineSnapshot(`
      "compose.yaml:1:10: warning: version: version is obsolete and means nothing; leave it out
        1 | version: "3"
          |          ^"
    `);
    const faults = await faultsOf(`services: { a: { image: nginx, x-a: "${'y'.repeat(500)}", imge: x } }`);
    for (const line of renderDiagnostics(faults).split('\n').slice(1)) expect(line.length).toBeLessThan(200);
  });
});
