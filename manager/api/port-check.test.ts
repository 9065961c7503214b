import { expect, test } from 'vitest';
import type { ApplicationSpec } from '../../src/spec/application.ts';
import type { PublishedPort, ServiceSpec } from '../../src/spec/service.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { seededRandom } from '../../src/util/random.ts';
import { sampleApplication, sampleTemplate } from '../../test/samples.ts';
import { createAllocator } from '../allocator/allocator.ts';
import { applyPlan, viewOf } from '../store/view.ts';
import { startTestManager, until } from '../testing.ts';
import { planApply, planRemove, type ApplyPlan } from './apply.ts';

const port = (
  published: PublishedPort['published'],
  more: Pick<Partial<PublishedPort>, 'address' | 'protocol' | 'mode'> = {},
): PublishedPort => ({
  published,
  target: 80,
  protocol: 'tcp',
  mode: 'ingress',
  ...more,
});

const services = ({ changes }: ApplyPlan) =>
  changes.filter(({ kind }) => kind === 'service').map(({ name, action }) => `${action} ${name}`);

const onHosts = (published: number) => ({
  task: sampleTemplate({ hostPorts: [port(published, { mode: 'host' })] }),
});

function cluster(...applications: ApplicationSpec[]) {
  const view = viewOf({});
  const random = seededRandom(1);
  const plan = (spec: ApplicationSpec) => planApply(view, spec, { now: 1, random });
  for (const each of applications) applyPlan(view, [plan(each).group]);
  return { view, plan };
}

const meeting: [string, Partial<ServiceSpec>, Partial<ServiceSpec>][] = [
  ['a port of all hosts', { ports: [port(8080)] }, { ports: [port(8080)] }],
  [
    'one of all addresses and one of one',
    { ports: [port(8080)] },
    { ports: [port(8080, { address: '127.0.0.1' })] },
  ],
  ['one of all hosts and one of those of its replicas', onHosts(8080), { ports: [port(8080)] }],
  ['one of the hosts of its replicas and one of all', { ports: [port(8080)] }, onHosts(8080)],
];

test.each(meeting)('a port that another application has is refused: %s', (_, first, second) => {
  const { view, plan } = cluster(sampleApplication('shop', first));
  expect(() => plan(sampleApplication('other', {}, second))).toThrow(
    /^Cannot publish port \S+ of service other_s1: service shop_s0 of application shop publishes it$/,
  );
  expect(view.services.size).toBe(1);
});

const apart: [string, Partial<ServiceSpec>, Partial<ServiceSpec>][] = [
  [
    'other addresses',
    { ports: [port(80, { address: '10.0.0.1' })] },
    { ports: [port(80, { address: '10.0.0.2' })] },
  ],
  ['other protocols', { ports: [port(53)] }, { ports: [port(53, { protocol: 'udp' })] }],
  ['any port', { ports: [port(undefined)] }, { ports: [port(undefined)] }],
  ['ranges', { ports: [port({ first: 8000, last: 8010 })] }, { ports: [port({ first: 8000, last: 8010 })] }],
  ['hosts of their replicas', onHosts(8080), onHosts(8080)],
];

test.each(apart)('what does not meet is taken: %s', (_, first, second) => {
  const { plan } = cluster(sampleApplication('shop', first));
  expect(services(plan(sampleApplication('other', second)))).toEqual(['create other_s0']);
});

test('two services of one application cannot have one port, but one may hand it to the other', () => {
  const published = { ports: [port(8080)] };
  const { plan } = cluster(sampleApplication('shop', published, {}));
  expect(() => plan(sampleApplication('shop', published, published))).toThrow(
    /service shop_s1 publishes it$/,
  );
  expect(services(plan(sampleApplication('shop', {}, published)))).toEqual([
    'update shop_s0',
    'update shop_s1',
  ]);
});

test('a port of an application that is being removed is waited for', () => {
  const published = { ports: [port(8080)] };
  const { view, plan } = cluster(sampleApplication('shop', published));
  applyPlan(view, [planRemove(view, 'shop').group]);
  expect(services(plan(sampleApplication('other', published)))).toEqual(['create other_s0']);
});

test('an application that runs keeps its ports when it asks for one that another has, and nothing of it changes', async () => {
  await using manager = await startTestManager();
  const { client, database } = manager;
  const allocator = createAllocator({ database, clock: systemClock, log: silentLogger });
  allocator.start();
  try {
    const put = (spec: ApplicationSpec) => client.request('PUT', `/applications/${spec.name}`, spec);
    await put(sampleApplication('shop', { ports: [port(8081)] }));
    await put(sampleApplication('other', { ports: [port(8082)] }));
    const shop = () => database.view.serviceByName('shop_s0');
    await until(() => shop()?.endpoint?.ports[0]);
    const before = shop();
    const wanted = sampleApplication('shop', {
      ports: [port(8082)],
      mode: { kind: 'replicated', replicas: 7 },
    });
    for (const dryRun of ['?dryRun=true', '']) {
      await expect(client.request('PUT', `/applications/shop${dryRun}`, wanted)).rejects.toMatchObject({
        code: 'failed_precondition',
        message:
          'Cannot publish port 8082/tcp of service shop_s0: service other_s0 of application other publishes it',
      });
    }
    expect(shop()).toEqual(before);
  } finally {
    await allocator.stop();
  }
});
