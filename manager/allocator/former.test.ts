import { expect, test } from 'vitest';
import type { PublishedPort, Service } from '../../src/spec/service.ts';
import { networksReached } from '../../src/spec/former.ts';
import { changeService, rollBack } from '../../src/spec/change.ts';
import { systemRandom } from '../../src/util/random.ts';
import {
  sampleContainer,
  sampleNetwork,
  sampleService,
  sampleTask,
  sampleTemplate,
} from '../../test/samples.ts';
import { applyPlan, viewOf, type MutableView, type ViewObjects } from '../store/view.ts';
import { allocate } from './plan.ts';

const now = 1_000;
const by = { cause: 'up' as const, now, random: systemRandom };
const port = (published: number, target = 80): PublishedPort => ({
  target,
  published,
  protocol: 'tcp',
  mode: 'ingress',
});
const image = (name: string) => sampleTemplate({ container: sampleContainer({ image: name }) });

/** `web` with a running task of its first version, which is completed. */
function serving(ports: PublishedPort[], others: ViewObjects = {}, task = image('one')): MutableView {
  const web = sampleService('web', { ports, task });
  const running = { state: 'running' as const, at: 0, message: '' };
  const view = viewOf({
    ...others,
    services: [web, ...(others.services ?? [])],
    tasks: [sampleTask(web, 1, { status: running })],
  });
  settle(view);
  return view;
}

function settle(view: MutableView): void {
  for (let round = 0; round < 4; round++) {
    const { plan } = allocate(view, now, new Map());
    if (plan.length === 0) return;
    applyPlan(view, plan);
  }
  throw new Error('no fixed point');
}

function put(view: MutableView, object: Service): void {
  applyPlan(view, [[{ kind: 'service', action: 'update', object }]]);
  settle(view);
}

function change(view: MutableView, ports: PublishedPort[], name = 'two'): void {
  const web = view.services.get('web')!;
  put(view, changeService(web, { ...web.spec, ports, task: image(name) }, by));
}

/** `upTo: published→target …` of each former version, and what the current one has. */
function openOn(view: MutableView, id = 'web'): string[] {
  const { ports = [], former = [] } = view.services.get(id)?.endpoint ?? {};
  const words = (some: typeof ports) =>
    some.map(({ published, target }) => `${published}→${target}`).join(' ');
  return [...former.map((each) => `${each.upTo}: ${words(each.ports)}`), words(ports)];
}

test('while a new version rolls, the one before it keeps its ports', () => {
  const view = serving([port(8080)]);
  change(view, [port(9090, 81)]);
  expect(openOn(view)).toEqual(['1: 8080→80', '9090→81']);
  change(view, [port(8080, 82)], 'three');
  expect(openOn(view)).toEqual(['1: 8080→80', '8080→82']);
});

test('they are given up when the new version is completed', () => {
  const view = serving([port(8080)]);
  change(view, [port(9090)]);
  const web = view.services.get('web')!;
  const [first, second] = web.versions;
  put(view, { ...web, versions: [first!, { ...second!, state: 'completed' }] });
  expect(openOn(view)).toEqual(['9090→80']);
});

test('a rollback has them as they were, and what it takes back keeps its own until then', () => {
  const view = serving([port(8080)]);
  change(view, [port(9090, 81)]);
  const web = view.services.get('web')!;
  const task = sampleTask(web, 2, { status: { state: 'running', at: 0, message: '' } });
  applyPlan(view, [[{ kind: 'task', action: 'create', object: task }]]);
  put(view, rollBack(view.services.get('web')!, { ...by, cause: 'failure' }, 'it failed'));
  expect(openOn(view)).toEqual(['1: 8080→80', '2: 9090→81', '8080→80']);
});

test('on networks that the new version is not on, the one before it keeps its address', () => {
  const networks = [sampleNetwork('one'), sampleNetwork('two')];
  const on = (id: string) => sampleTemplate({ networks: [{ name: `app_${id}`, aliases: ['web'] }] });
  const view = serving([port(8080)], { networks }, on('one'));
  const addresses = () => view.services.get('web')!.endpoint!.virtualAddresses;
  const before = addresses();
  const web = view.services.get('web')!;
  put(view, changeService(web, { ...web.spec, task: on('two') }, by));
  expect(addresses()).toEqual({ ...before, two: expect.any(String) as string });
  expect(networksReached(view.services.get('web')!).map(({ name }) => name)).toEqual(['app_two', 'app_one']);
  const next = view.services.get('web')!;
  put(view, { ...next, versions: next.versions.map((each) => ({ ...each, state: 'completed' as const })) });
  expect(Object.keys(addresses())).toEqual(['two']);
});

test('another template with the same ports, and other ports for the same one, have nothing to keep', () => {
  const view = serving([port(8080)]);
  change(view, [port(8080)]);
  expect(openOn(view)).toEqual(['8080→80']);
  const other = serving([port(8080)]);
  change(other, [port(9090)], 'one');
  expect(openOn(other)).toEqual(['9090→80']);
});

test('nobody of another application gets such a port, and a service of the same one gets it at once', () => {
  const view = serving([port(8080)]);
  change(view, [port(9090)]);
  const stranger = sampleService('x', { application: 'other', name: 'other_x', ports: [port(8080)] });
  applyPlan(view, [[{ kind: 'service', action: 'create', object: stranger }]]);
  settle(view);
  expect(view.services.get('x')?.allocationError).toBe(
    'port 8080/tcp is already published by service app_web',
  );
  const proxy = sampleService('proxy', { ports: [port(8080)] });
  applyPlan(view, [[{ kind: 'service', action: 'create', object: proxy }]]);
  settle(view);
  expect([openOn(view), openOn(view, 'proxy')]).toEqual([['1: ', '9090→80'], ['8080→80']]);
});
