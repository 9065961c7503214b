import { expect, it } from 'vitest';
import { validateApplication } from '../../manager/api/validate.ts';
import { faultsOf, load, summary } from './fixtures.ts';
import { selectServices } from './select.ts';

const file = (services: string) => `name: app\nservices:\n${services}`;

const group = file(`  web: { image: x, network_mode: "service:proxy", pid: service:proxy }
  proxy: { image: x, network_mode: "service:base", volumes_from: [data], deploy: { replicas: 1 } }
  base: { image: x, ipc: shareable, deploy: { replicas: 2 } }
  data: { image: x, volumes_from: ["old:ro"] }
  old: { image: x }
  peer: { image: x, ipc: "service:base", volumes_from: [old, data] }
  other: { image: x }
`);

it('what is shared goes to those whose it is in the end, and a group runs beside one of its services', async () => {
  const { application } = await load(group);
  const seen = application.services.map(({ key, task }) => [key, task.sharing, task.placement.with]);
  expect(Object.fromEntries(seen.map(([key, ...rest]) => [key, rest]))).toEqual({
    web: [{ network: 'app_base', pid: 'app_proxy' }, 'app_base'],
    proxy: [
      {
        network: 'app_base',
        mounts: [
          { service: 'app_old', readOnly: true },
          { service: 'app_data', readOnly: false },
        ],
      },
      'app_base',
    ],
    base: [undefined, undefined],
    data: [{ mounts: [{ service: 'app_old', readOnly: true }] }, 'app_base'],
    old: [undefined, 'app_base'],
    peer: [
      {
        ipc: 'app_base',
        mounts: [
          { service: 'app_old', readOnly: true },
          { service: 'app_data', readOnly: false },
        ],
      },
      'app_base',
    ],
    other: [undefined, undefined],
  });
  expect(validateApplication(JSON.parse(JSON.stringify(application)))).toEqual(application);
});

it('a service starts after those that it shares with, and is selected with them', async () => {
  const { application, canonical } = await load(group);
  const peer = application.services.find(({ key }) => key === 'peer')!;
  expect(peer.dependsOn.toSorted((left, right) => (left.service < right.service ? -1 : 1))).toEqual([
    { service: 'app_base', condition: 'started' },
    { service: 'app_data', condition: 'started' },
    { service: 'app_old', condition: 'started' },
  ]);
  expect(Object.keys(selectServices(canonical, ['web']).services)).toEqual(
    expect.arrayContaining(['web', 'proxy', 'base', 'data', 'old']),
  );
  expect((await load(JSON.stringify(canonical))).canonical).toEqual(canonical);
});

it('a condition that the file asks for stays', async () => {
  const { canonical } = await load(
    file(`  web: { image: x, pid: "service:db", depends_on: { db: { condition: service_healthy } } }
  db: { image: x }
`),
  );
  expect(canonical.services['web']!.depends_on!['db']!.condition).toBe('service_healthy');
});

const wrongRows: [what: string, web: string, fault: string][] = [
  [
    'a service that is not there',
    'pid: "service:none"',
    '4:10 services.web.pid: no service is called none; name a service of this file',
  ],
  ['itself', 'pid: "service:web"', '4:10 services.web.pid: a service cannot share with itself'],
  [
    'a container',
    'network_mode: "container:db"',
    '4:19 services.web.network_mode: "container:db" cannot be used here; it must be none, host or service:NAME (for container:NAME write service: and the name of its service; for a network of its own leave it out)',
  ],
  [
    'the mounts of a container',
    'volumes_from: ["container:db"]',
    '4:20 services.web.volumes_from[0]: "container:db" cannot be used here; it must be SERVICE, SERVICE:ro or SERVICE:rw (for container:NAME write the name of its service)',
  ],
  [
    'a namespace that is private',
    'ipc: "service:db"',
    '4:10 services.web.ipc: db keeps its IPC namespace to itself; write ipc: shareable at db',
  ],
  [
    'more replicas',
    'pid: "service:db"\n    scale: 2',
    '4:10 services.web.pid: db has one replica, and this one 2; give both the same mode, and this one at most as many replicas: each runs beside the one of its number',
  ],
  [
    'another mode',
    'volumes_from: [db]\n    deploy: { mode: global }',
    '4:20 services.web.volumes_from[0]: db does not run on every node, as this one does; give both the same mode, and this one at most as many replicas: each runs beside the one of its number',
  ],
  [
    'ports',
    'network_mode: "service:db"\n    ports: ["80"]',
    '5:5 services.web.ports: with network_mode: service:db no port can be published; publish them on db',
  ],
  [
    'networks',
    'network_mode: "service:db"\n    networks: [default]',
    '4:19 services.web.network_mode: the service joins networks as well; leave out one of them',
  ],
  [
    'names',
    'network_mode: "service:db"\n    hostname: me',
    '5:15 services.web.hostname: names and their lookup are those of db; say it at db',
  ],
  [
    'shared memory',
    'ipc: "service:big"\n    shm_size: 1m',
    '5:15 services.web.shm_size: the shared memory is that of big; say it at big',
  ],
  [
    'each other',
    'pid: "service:loop"',
    '4:10 services.web.pid: the services depend on each other in a circle: loop -> web -> loop; take one of them out',
  ],
];

it.each(wrongRows)('sharing that cannot be is refused: %s', async (_, web, fault) => {
  const text = `services:
  web:
    image: x
    ${web}
`;
  const others = `  db: { image: x }
  big: { image: x, ipc: shareable }
  loop: { image: x${web.includes('loop') ? ', volumes_from: [web]' : ''} }
`;
  expect(summary(await faultsOf(text + others))).toEqual([fault]);
});

it('sharing with a service whose profile is not active is refused', async () => {
  const text = file(`  web: { image: x, pid: "service:db" }
  db: { image: x, profiles: [data] }
`);
  expect(summary(await faultsOf(text))).toEqual([
    '3:25 services.web.pid: db is only there with the profile data, which is not active; activate it with --profile data',
  ]);
});

it('images that another service mounts become mounts of the one that takes them over, under its own', async () => {
  const { application } = await load(
    file(`  web: { image: x, volumes_from: [data], volumes: ["/own:/b"] }
  data:
    image: x
    volumes: [{ type: image, source: y, target: /a }, { type: image, source: z, target: /b }]
`),
  );
  const web = application.services.find(({ key }) => key === 'web')!;
  expect(web.task.container.mounts.map(({ type, target }) => `${type} ${target}`)).toEqual([
    'bind /b',
    'image /a',
  ]);
});
