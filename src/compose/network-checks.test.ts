import { describe, expect, it } from 'vitest';
import { faultsOf, load, summary } from './fixtures.ts';

/** Services that share the network `back`, or are on `front` alone; `web` has these attributes, from line 5 on. */
function application(attributes: string, more = ''): string {
  return `services:
  db: { image: redis, networks: [back] }
  web:
    image: nginx
    ${attributes}
  far: { image: nginx, networks: [front] }
networks: { back: , front: }
${more}`;
}

describe('names and addresses that cannot be are refused, with what to do:', () => {
  it.each<[string, string]>([
    [
      'links: ["far:away"]\n    networks: [back]',
      '5:13 services.web.links[0]: web and far have no network in common; let both join one of the networks',
    ],
    [
      'links: [nope]\n    networks: [back]',
      '5:13 services.web.links[0]: no service is called nope; name a service of this file whose profile is active',
    ],
    [
      'links: [web]\n    networks: [back]',
      '5:13 services.web.links[0]: a service cannot link to itself; leave it out',
    ],
    [
      'links: ["db:one", "far:One"]\n    networks: [back, front]',
      '5:23 services.web.links[1]: One leads to db already; give each link its own name',
    ],
    [
      'external_links: [other]',
      '5:5 services.web.external_links: not supported yet; join a network of the other service and call it by its full name, APPLICATION_SERVICE',
    ],
    [
      'container_name: one\n    deploy: { replicas: 3 }',
      '5:21 services.web.container_name: it is for one container, and deploy.replicas says 3; leave out one of them',
    ],
    [
      'container_name: one\n    scale: 2',
      '5:21 services.web.container_name: it is for one container, and scale says 2; leave out one of them',
    ],
    [
      'container_name: one\n    deploy: { mode: global }',
      '5:21 services.web.container_name: it is for one container, and a global service has one on every host; leave out one of them',
    ],
  ])('%s', async (attributes, expected) => {
    expect(summary(await faultsOf(application(attributes)))).toEqual([expected]);
  });

  const addressed = 'networks: { n: { ipv4_address: 10.1.0.5 } }';
  const subnet =
    'networks: { n: { ipam: { config: [{ subnet: 10.1.0.0/24, aux_addresses: { router: 10.1.0.7 } }] } } }';
  it.each<[string, string, string]>([
    [
      addressed,
      'networks: { n: }',
      'services.web.networks.n.ipv4_address: the network n has no subnet of its own; give n one under ipam.config',
    ],
    [
      'networks: { n: { ipv4_address: 10.1.0.255 } }',
      subnet,
      'services.web.networks.n.ipv4_address: 10.1.0.255 is no address in 10.1.0.0/24; choose one of its subnet',
    ],
    [
      'networks: { n: { ipv4_address: 10.1.0.7 } }',
      subnet,
      'services.web.networks.n.ipv4_address: 10.1.0.7 is that of router already; give each its own address',
    ],
    [
      `${addressed}\n  two: { image: nginx, ${addressed} }`,
      subnet,
      'services.web.networks.n.ipv4_address: 10.1.0.5 is that of two already; give each its own address',
    ],
    [
      `${addressed}\n    deploy: { replicas: 2 }`,
      subnet,
      'services.web.networks.n.ipv4_address: it is for one container, and deploy.replicas says 2; leave out one of them',
    ],
    [
      `${addressed}\n    deploy: { mode: global }`,
      subnet,
      'services.web.networks.n.ipv4_address: it is for one container, and a global service has one on every host; leave out one of them',
    ],
    [
      `${addressed}\n    deploy: { update_config: { order: start-first } }`,
      subnet,
      'services.web.deploy.update_config.order: the old and the new container would have the same ipv4_address; leave out order, or the address',
    ],
    [
      'command: a',
      'networks: { n: { ipam: { config: [{ gateway: 10.1.0.1 }] } } }',
      'networks.n.ipam.config[0].gateway: the network has no subnet of its own; give it one',
    ],
    [
      'command: a',
      'networks: { n: { ipam: { config: [{ subnet: 10.1.0.0/24, ip_range: 10.1.0.0/29 }] } } }',
      'networks.n.ipam.config[0].ip_range: the range 10.1.0.0/29 is too small; a prefix of at most /28',
    ],
    [
      'networks: [n]',
      'networks: { n: { driver_opts: { encrypted: "" } } }',
      'networks.n.driver_opts.encrypted: not supported yet; traffic between hosts is not encrypted yet; use a network between them that is',
    ],
  ])('%s with %s', async (attributes, networks, expected) => {
    const text = `services:\n  web:\n    image: nginx\n    ${attributes}\n${networks}\n`;
    const lines = summary(await faultsOf(text)).map((line) => line.replace(/^\S+ /u, ''));
    expect(lines).toEqual([expected]);
  });

  it('two containers of one name', async () => {
    const text = 'services: { a: { image: a, container_name: one }, b: { image: b, container_name: one } }';
    expect(summary(await faultsOf(text))).toEqual([
      '1:82 services.b.container_name: the container of a is called one already; give each its own name',
    ]);
  });

  it('a circle that a link closes', async () => {
    const text = 'services: { a: { image: a, links: [b] }, b: { image: b, depends_on: [a] } }';
    const [fault] = summary(await faultsOf(text));
    expect(fault).toContain('the services depend on each other in a circle: a -> b -> a');
  });
});

it('a link waits for its service, and is gone when that has no active profile', async () => {
  const text = application('links: [db]\n    networks: [back]');
  expect((await load(text)).canonical.services['web']!.depends_on).toEqual({
    db: { condition: 'service_started', restart: true, required: true },
  });
  const [fault] = summary(await faultsOf(text.replace('image: redis', 'image: redis, profiles: [debug]')));
  expect(fault).toContain('services.web.links[0]: no service is called db');
});

it('an address on a network that is there already is left to the cluster to check', async () => {
  const text = `services: { web: { image: a, networks: { n: { ipv4_address: 10.1.0.5 } } } }
networks: { n: { external: true, name: shared } }`;
  const [web] = (await load(text)).application.services;
  expect(web!.task.networks).toEqual([{ name: 'shared', aliases: [], address: '10.1.0.5' }]);
});
