import { expect, test } from 'vitest';
import { faultsOf, load, memoryFiles, summary } from './fixtures.ts';
import { readWritten } from './load.ts';

const services =
  'services: { a: { image: a, networks: [n], secrets: [s], configs: [c], volumes: ["vv:/v"] } }\n';

test('what a service uses and is external must be there, by its key or by its name', async () => {
  const { application, canonical } = await load(
    `${services}networks: { n: { external: true } }
secrets: { s: { external: true, name: other_key } }
configs: { c: { external: true }, unused: { external: true } }
volumes: { vv: { external: true, name: kept } }
`,
  );
  expect(application).toMatchObject({ networks: [], volumes: [], secrets: [], configs: [] });
  expect(application.external).toEqual({
    networks: ['n'],
    volumes: ['kept'],
    secrets: ['other_key'],
    configs: ['c'],
  });
  const { networks, container } = application.services[0]!.task;
  expect(networks).toEqual([{ name: 'n', aliases: [] }]);
  expect(container).toMatchObject({
    mounts: [{ source: 'kept' }],
    secrets: [{ name: 'other_key', target: '/run/secrets/s' }],
    configs: [{ name: 'c', target: '/c' }],
  });
  expect(canonical.networks).toEqual({ n: { external: true, name: 'n' } });
});

test('the old way to name it is warned of, and means the same', async () => {
  const text = 'services: { a: { image: a, networks: [n] } }\nnetworks: { n: { external: { name: x } } }';
  const { canonical, warnings } = await load(text);
  expect(canonical.networks).toEqual({ n: { external: true, name: 'x' } });
  expect(summary(warnings)).toEqual([
    '2:30 networks.n.external.name: external.name is deprecated; write name and external: true beside each other',
  ]);
});

test('what else is said of an external network, secret or config is warned of, and not done', async () => {
  const { application, warnings } = await load(
    `services: { a: { image: a, networks: [n], secrets: [s] } }
networks: { n: { external: true, ipam: { config: [{ subnet: 10.1.0.0/30 }] }, x-mine: 1 } }
secrets: { s: { external: true, file: ./none } }
`,
  );
  expect(application.secrets).toEqual([]);
  expect(summary(warnings)).toEqual([
    '2:34 networks.n.ipam: it means nothing: the network is external; leave out one of them',
    '3:39 secrets.s.file: it means nothing: the secret is external; leave out one of them',
  ]);
});

test('the old way to name it is understood with variables left in place', async () => {
  const text =
    'services: { a: { image: a } }\nnetworks: { n: { external: { name: "${X}" }, labels: [a=b] } }';
  const { written } = await readWritten({
    files: [{ path: 'compose.yaml' }],
    environment: {},
    workingDirectory: '/app',
    fileSystem: memoryFiles({ '/app/compose.yaml': text }),
  });
  expect(written).toMatchObject({
    networks: { n: { external: true, name: '${X}', labels: { a: 'b' } } },
  });
});

test('an option without a value is told, and what else is wrong with them as well', async () => {
  const text = `services: { a: { image: a } }
volumes: { v: { driver_opts: { device: ./data, 99999999999999999999 } } }`;
  expect(summary(await faultsOf(text))).toEqual([
    '2:17 volumes.v.driver_opts: the file system is missing; add type: nfs, type: tmpfs or the like',
    '2:48 volumes.v.driver_opts.99999999999999999999: nothing cannot be used here; it must be a string',
  ]);
});
