import { describe, expect, it } from 'vitest';
import { loadPrinted, summary } from './fixtures.ts';
import type { Diagnostic } from './diagnostic.ts';
import type { CanonicalModel } from './model.ts';
import { using } from './table-text.ts';

/** What of the language is not run, or not only run: its canonical form, how it merges, and what is wrong in it. */

const environment = { FROM: 'outside', HOME: '/home/me' };

async function printed(...files: string[]): Promise<CanonicalModel> {
  const given = files.map((text, index) => ({ content: text, name: `${index}.yaml` }));
  return (await loadPrinted('', { files: given, projectDirectory: '/app', environment })).canonical;
}

const rest =
  'networks: { n: , m: }\nmodels: { llm: { model: a }, other: { model: b } }\nsecrets: { s: { environment: FROM } }';
function web(attribute: string): string {
  return `services: { db: { image: redis }, built: { image: b, build: . }, web: { image: nginx, ${attribute} } }\n${rest}`;
}

describe('the canonical form of an attribute:', () => {
  it.each<[string, object]>([
    ['build: dir', { build: { context: '/app/dir', dockerfile: 'Dockerfile' } }],
    ['build: { target: a }', { build: { context: '/app', dockerfile: 'Dockerfile', target: 'a' } }],
    ['build: { dockerfile_inline: FROM a }', { build: { context: '/app', dockerfile_inline: 'FROM a' } }],
    [
      'build: https://example.org/a.git#main:sub',
      { build: { context: 'https://example.org/a.git#main:sub' } },
    ],
    ['build: git@example.org:a.git', { build: { context: 'git@example.org:a.git' } }],
    ['build: ~/dir', { build: { context: '/home/me/dir' } }],
    ['build: { args: [A=1, FROM, NONE] }', { build: { args: { A: '1', FROM: 'outside' } } }],
    ['build: { args: { A: 1.10, B: true, C: "" } }', { build: { args: { A: '1.1', B: 'true', C: '' } } }],
    ['build: { labels: [a=b, c] }', { build: { labels: { a: 'b', c: '' } } }],
    [
      'build: { additional_contexts: [a=../a, "b=docker-image://c", "d=service:built"] }',
      { build: { additional_contexts: { a: '/a', b: 'docker-image://c', d: 'service:built' } } },
    ],
    ['build: { ssh: [default, id=key] }', { build: { ssh: { default: null, id: '/app/key' } } }],
    [
      'build: { shm_size: 1k, pull: yes, no_cache: "on" }',
      { build: { shm_size: '1024', pull: true, no_cache: true } },
    ],
    ['build: { secrets: [s] }', { build: { secrets: [{ source: 's' }] } }],
    ['build: { ulimits: { nproc: 5 } }', { build: { ulimits: { nproc: 5 } } }],
    ['build: { extra_hosts: { a: 1.2.3.4 } }', { build: { extra_hosts: ['a=1.2.3.4'] } }],
    [
      'build: { provenance: true, sbom: generator=a }',
      { build: { provenance: 'true', sbom: 'generator=a' } },
    ],
    ['build: { no_cache_filter: a }', { build: { no_cache_filter: ['a'] } }],
    [
      'develop: { watch: [{ path: src, action: sync, target: /a, ignore: x }] }',
      { develop: { watch: [{ path: '/app/src', action: 'sync', target: '/a', ignore: ['x'] }] } },
    ],
    [
      'develop: { watch: [{ path: ., action: sync+exec, target: /a, exec: { command: a b } }] }',
      { develop: { watch: [{ exec: { command: ['a', 'b'] } }] } },
    ],
    ['gpus: all', { gpus: [{ count: -1 }] }],
    [
      'gpus: [{ driver: nvidia, options: [a=b] }]',
      { gpus: [{ count: -1, driver: 'nvidia', options: { a: 'b' } }] },
    ],
    ['gpus: [{ device_ids: [0, GPU-1] }]', { gpus: [{ device_ids: ['0', 'GPU-1'] }] }],
    [
      'deploy: { resources: { reservations: { devices: [{ capabilities: [gpu], count: all }] } } }',
      { deploy: { resources: { reservations: { devices: [{ count: -1 }] } } } },
    ],
    ['models: [llm]', { models: { llm: null } }],
    ['volumes: ["./a:/b", "~/c:/d"]', { volumes: [{ source: '/app/a' }, { source: '/home/me/c' }] }],
    ['volumes: [{ type: bind, source: a, target: /b }]', { volumes: [{ source: '/app/a' }] }],
    [
      'provider: { type: a, options: { b: 1, c: [x, true] } }',
      { provider: { options: { b: ['1'], c: ['x', 'true'] } } },
    ],
    [
      'blkio_config: { device_read_bps: [{ path: /dev/sda, rate: 1mb }] }',
      { blkio_config: { device_read_bps: [{ rate: '1048576' }] } },
    ],
    ['storage_opt: { size: 1 }', { storage_opt: { size: '1' } }],
    [
      'networks: { n: { driver_opts: { a: 1 }, gw_priority: "1" } }',
      { networks: { n: { driver_opts: { a: '1' }, gw_priority: 1 } } },
    ],
    [
      'logging: { driver: syslog, options: { tag: 5 } }',
      { logging: { driver: 'syslog', options: { tag: '5' } } },
    ],
    [
      'devices: [vendor.com/class=name]',
      { devices: [{ source: 'vendor.com/class=name', target: 'vendor.com/class=name', permissions: 'rwm' }] },
    ],
    ['deploy: ', { image: 'nginx' }],
    ['pull_policy: if_not_present', { pull_policy: 'missing' }],
  ])('%s', async (attribute, expected) => {
    const { web: service } = (await printed(web(attribute))).services;
    expect(service).toMatchObject(expected);
  });

  it.each<[string, object]>([
    [
      'networks: { default: { external: true } }',
      { networks: { default: { external: true, name: 'default' } } },
    ],
    [
      'networks: { default: { external: { name: a } } }',
      { networks: { default: { external: true, name: 'a' } } },
    ],
    [
      'networks: { default: { external: { name: a }, name: a } }',
      { networks: { default: { external: true, name: 'a' } } },
    ],
    ['volumes: { v: { external: true } }', { volumes: { v: { external: true, name: 'v' } } }],
    ['secrets: { v: { external: true, name: a } }', { secrets: { v: { external: true, name: 'a' } } }],
    ['volumes: { v: { driver: a, driver_opts: { b: 1 } } }', { volumes: { v: { driver_opts: { b: '1' } } } }],
    ['models: { m: { model: a, context_size: "5" } }', { models: { m: { model: 'a', context_size: 5 } } }],
  ])('%s', async (top, expected) => {
    expect(await printed(using(top))).toMatchObject(expected);
  });
});

describe('a later file over an earlier one:', () => {
  it.each<[string, string, object]>([
    ['build: dir', 'build: { target: t }', { build: { context: '/app/dir', target: 't' } }],
    ['build: { context: a, dockerfile: D }', 'build: b', { build: { context: '/app/b', dockerfile: 'D' } }],
    ['build: { args: [A=1, B=1] }', 'build: { args: { B: 2 } }', { build: { args: { A: '1', B: '2' } } }],
    ['build: { labels: [a=1] }', 'build: { labels: { b: 1 } }', { build: { labels: { a: '1', b: '1' } } }],
    ['build: { tags: [a, b] }', 'build: { tags: [b, c] }', { build: { tags: ['a', 'b', 'c'] } }],
    ['build: { cache_from: [a] }', 'build: { cache_from: [b] }', { build: { cache_from: ['a', 'b'] } }],
    [
      'build: { additional_contexts: { a: /a } }',
      'build: { additional_contexts: [a=/b] }',
      { build: { additional_contexts: { a: '/b' } } },
    ],
    [
      'build: { secrets: [s] }',
      'build: { secrets: [{ source: s, uid: "1" }] }',
      { build: { secrets: [{ source: 's', uid: '1' }] } },
    ],
    [
      'models: [llm]',
      'models: { llm: { model_var: A }, other: }',
      { models: { llm: { model_var: 'A' }, other: null } },
    ],
    ['gpus: [{ count: 1 }]', 'gpus: [{ count: 2 }]', { gpus: [{ count: 1 }, { count: 2 }] }],
    ['links: [db]', 'links: [db, "db:store"]', { links: ['db', 'db:store'] }],
    ['external_links: [a]', 'external_links: [b, a]', { external_links: ['a', 'b'] }],
    ['volumes_from: [db]', 'volumes_from: ["db:ro"]', { volumes_from: ['db', 'db:ro'] }],
    ['logging: { driver: a, options: { x: 1 } }', 'logging: { driver: b }', { logging: { driver: 'b' } }],
    ['storage_opt: { a: 1, b: 1 }', 'storage_opt: { b: 2 }', { storage_opt: { a: '1', b: '2' } }],
    [
      'pre_start: [{ command: a }]',
      'pre_start: [{ command: b }]',
      { pre_start: [{ command: ['a'] }, { command: ['b'] }] },
    ],
    [
      'deploy: { placement: { preferences: [{ spread: node.labels.a }] } }',
      'deploy: { placement: { preferences: [{ spread: node.labels.b }] } }',
      { deploy: { placement: { preferences: [{ spread: 'node.labels.a' }, { spread: 'node.labels.b' }] } } },
    ],
    [
      'develop: { watch: [{ path: a, action: rebuild }] }',
      'develop: { watch: [{ path: b, action: restart }] }',
      { develop: { watch: [{ path: '/app/a' }, { path: '/app/b' }] } },
    ],
    [
      'networks: { n: { ipv4_address: 1.2.3.4, aliases: [a] } }',
      'networks: { n: { aliases: [b], priority: 5 } }',
      { networks: { n: { ipv4_address: '1.2.3.4', aliases: ['a', 'b'], priority: 5 } } },
    ],
  ])('%s + %s', async (below, above, expected) => {
    const { web: service } = (await printed(web(below), `services: { web: { ${above} } }`)).services;
    expect(service).toMatchObject(expected);
    expect(service!.logging?.options).toBeUndefined();
  });
});

describe('what is wrong between attributes is an error, also when it is only printed:', () => {
  it.each<[string, string]>([
    [
      'build: { dockerfile: a, dockerfile_inline: b }',
      'build.dockerfile: it has dockerfile_inline as well; keep one of them',
    ],
    [
      'platform: linux/amd64, build: { platforms: [linux/arm64] }',
      'build.platforms: they lack linux/amd64, which is the platform of the service; add linux/amd64',
    ],
    [
      'build: { secrets: [none] }',
      'build.secrets[0].source: no secret is called none; define none under secrets',
    ],
    [
      'build: { additional_contexts: { a: "service:none" } }',
      'build.additional_contexts.a: no service is called none; name a service of this file',
    ],
    [
      'build: { additional_contexts: { a: "service:db" } }',
      'build.additional_contexts.a: db is not built; name a service that has build',
    ],
    [
      'develop: { watch: [{ path: ., action: sync }] }',
      'develop.watch[0]: sync needs a target; add target: /path',
    ],
    ['gpus: [{ count: 1, device_ids: [a] }]', 'gpus[0].count: it has device_ids as well; keep one of them'],
    [
      'deploy: { resources: { reservations: { devices: [{ capabilities: [gpu], count: 1, device_ids: [a] }] } } }',
      'deploy.resources.reservations.devices[0].count: it has device_ids as well; keep one of them',
    ],
    [
      'credential_spec: { file: a, config: b }',
      'credential_spec: it has both config and file; give it exactly one of config, file or registry',
    ],
    [
      'network_mode: bridge, networks: [n]',
      'network_mode: the service joins networks as well; leave out one of them',
    ],
    ['network_mode: "service:none"', 'network_mode: no service is called none; name a service of this file'],
    ['ipc: "service:none"', 'ipc: no service is called none; name a service of this file'],
    ['links: ["none:a"]', 'links[0]: no service is called none; name a service of this file'],
    ['volumes_from: ["none:ro"]', 'volumes_from[0]: no service is called none; name a service of this file'],
    ['models: [none]', 'models.none: no model is called none; define none under models'],
    [
      'container_name: one, deploy: { replicas: 2 }',
      'container_name: it is for one container, and deploy.replicas says 2; leave out one of them',
    ],
    [
      'container_name: one, scale: 3',
      'container_name: it is for one container, and scale says 3; leave out one of them',
    ],
    [
      'pids_limit: 5, deploy: { resources: { limits: { pids: 6 } } }',
      'pids_limit: it says 5, and deploy.resources.limits.pids says 6 (compose.yaml:1:141); keep deploy.resources.limits.pids',
    ],
    ['tmpfs: /a, volumes: ["/a"]', 'tmpfs[0]: /a is taken already, by a volume; give each its own path'],
    [
      'healthcheck: { start_interval: 5 }',
      'healthcheck.start_interval: 5 cannot be used here; a duration needs its unit, such as 10s',
    ],
  ])('%s', async (attribute, expected) => {
    expect(await errorsOf(web(attribute))).toEqual([expect.stringContaining(` services.web.${expected}`)]);
  });

  it('two containers of one name', async () => {
    const text = 'services: { a: { image: a, container_name: cc }, b: { image: b, container_name: cc } }';
    expect(await errorsOf(text)).toEqual([
      '1:81 services.b.container_name: the container of a is called cc already; give each its own name',
    ]);
  });
});

async function errorsOf(text: string): Promise<string[]> {
  const error: unknown = await loadPrinted(text, { environment }).catch((fault: unknown) => fault);
  const { details } = error as { details: Diagnostic[] };
  return summary(details.filter(({ severity }) => severity === 'error'));
}
