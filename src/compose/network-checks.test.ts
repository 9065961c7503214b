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
      '5:21 services.web.container_name: a global service has many containers, and container_name is for one; leave out one of them',
    ],
  ])('%s', async (attributes, expected) => {
    expect(summary(await faultsOf(application(attributes)))).toEqual([expected]);
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
    db: { condition: 'service_started', required: true },
  });
  const [fault] = summary(await faultsOf(text.replace('image: redis', 'image: redis, profiles: [debug]')));
  expect(fault).toContain('services.web.links[0]: no service is called db');
});
