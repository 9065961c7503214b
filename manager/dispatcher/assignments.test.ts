import { expect, test } from 'vitest';
import type { Network } from '../../src/spec/network.ts';
import type { Secret } from '../../src/spec/resource.ts';
import type { Task, TaskState } from '../../src/spec/task.ts';
import { sampleNode, sampleService, sampleTask, sampleTemplate } from '../../test/samples.ts';
import { Faults } from '../store/isolate.ts';
import { viewOf, type ViewObjects } from '../store/view.ts';
import { AssignmentIndex, type Changed } from './assignment-index.ts';
import { assignmentsFromScratch } from './from-scratch.ts';

const meta = { createdAt: 0, updatedAt: 0, revision: 0 };
const network = (id: string, bridges: string[]): Network => ({
  ...meta,
  id,
  spec: { name: `app_${id}`, application: 'app', labels: {}, internal: false },
  vni: 4096,
  subnet: '10.64.0.0/20',
  bridgeAddresses: Object.fromEntries(bridges.map((node, index) => [node, `10.64.0.${index + 2}`])),
  removing: false,
});
const onNetwork = (id: string) => sampleTemplate({ networks: [{ name: `app_${id}`, aliases: ['alias'] }] });
const endpoint = { virtualAddresses: { front: '10.64.8.1' }, ports: [] };
const web = sampleService('web', { task: onNetwork('front') }, { endpoint });
const placed = (slot: number, nodeId: string, state: TaskState, changes: Partial<Task> = {}) =>
  sampleTask(web, slot, {
    nodeId,
    status: { state, at: 0, message: '' },
    attachments: [{ networkId: 'front', address: `10.64.1.${slot}`, aliases: [] }],
    ...changes,
  });
const nodes = ['a', 'b', 'c'].map((id, index) =>
  sampleNode(id, { description: { ...sampleNode(id).description!, address: `192.0.2.${index + 1}` } }),
);

const setOf = (objects: ViewObjects, nodeId: string, drained: string[] = []) =>
  assignmentsFromScratch(viewOf({ nodes, ...objects }), nodeId, new Set(drained));
const keys = (objects: ViewObjects, nodeId: string) =>
  [...setOf(objects, nodeId).keys()].map((key) => key.replace(/^template\/.*/, 'template')).sort();

test('a node learns of the tasks of others only on networks that it is part of', () => {
  const objects: ViewObjects = {
    networks: [network('front', ['a', 'b', 'c'])],
    services: [web],
    tasks: [placed(1, 'a', 'running'), placed(2, 'b', 'running')],
  };
  expect(keys(objects, 'a')).toEqual([
    'endpoint/web-1',
    'endpoint/web-2',
    'network/front',
    'peer/front/web-2',
    'service/web',
    'task/web-1',
    'template',
  ]);
  expect(keys(objects, 'c')).toEqual([]);
});

test('every node is part of the first network of a service with ingress ports', () => {
  const ports = [{ target: 80, published: 8080, protocol: 'tcp' as const }];
  const objects: ViewObjects = {
    networks: [network('front', ['a', 'b', 'c'])],
    services: [{ ...web, endpoint: { ...endpoint, ports } }],
    tasks: [placed(1, 'a', 'running')],
  };
  expect(keys(objects, 'c')).toEqual(['endpoint/web-1', 'network/front', 'peer/front/web-1', 'service/web']);
  expect(setOf(objects, 'c').get('service/web')?.value).toMatchObject({ ports, ingressNetworkId: 'front' });
  expect(setOf(objects, 'c').get('network/front')?.value).toMatchObject({
    bridgeAddress: '10.64.0.4',
    peers: [
      { nodeId: 'a', bridgeAddress: '10.64.0.2', hostAddress: '192.0.2.1' },
      { nodeId: 'b', bridgeAddress: '10.64.0.3', hostAddress: '192.0.2.2' },
    ],
  });
});

test('a task waits until its network has an address for the node, and one that runs is never left out', () => {
  const networks = [network('front', ['b'])];
  expect(keys({ networks, services: [web], tasks: [placed(1, 'a', 'assigned')] }, 'a')).toEqual([]);
  expect(keys({ networks, services: [web], tasks: [placed(1, 'a', 'running')] }, 'a')).toEqual([
    'task/web-1',
    'template',
  ]);
});

test('only tasks that run, shall run, and are on nodes that are not down are endpoints', () => {
  const downNode = sampleNode('c', { status: { state: 'down', since: 0, message: '' } });
  const objects: ViewObjects = {
    nodes: [...nodes.slice(0, 2), downNode],
    networks: [network('front', ['a', 'b', 'c'])],
    services: [web],
    tasks: [
      placed(1, 'a', 'running'),
      placed(2, 'b', 'starting'),
      placed(3, 'b', 'running', { desiredState: 'shutdown' }),
      placed(4, 'c', 'running'),
    ],
  };
  const endpoints = [...setOf(objects, 'a').values()].filter(({ kind }) => kind === 'endpoint');
  expect(endpoints.map(({ value }) => value.id)).toEqual(['web-1']);
});

test('a running task is told to stop only once it is drained', () => {
  const objects: ViewObjects = {
    networks: [network('front', ['a'])],
    services: [web],
    tasks: [placed(1, 'a', 'running', { desiredState: 'shutdown' })],
  };
  expect(setOf(objects, 'a').get('task/web-1')?.value).toMatchObject({ desiredState: 'running' });
  expect(setOf(objects, 'a', ['web-1']).get('task/web-1')?.value).toMatchObject({ desiredState: 'shutdown' });
});

test('what runs beside a task that connections may still go to is told to stop with it, and not before', () => {
  const proxy = sampleService('proxy');
  const beside = (state: TaskState) =>
    sampleTask(proxy, 1, {
      nodeId: 'a',
      desiredState: 'shutdown',
      status: { state, at: 0, message: '' },
      anchors: { app_web: 'web-1' },
    });
  const told = (state: TaskState, drained: string[]) => {
    const tasks = [placed(1, 'a', 'running', { desiredState: 'shutdown' }), beside(state)];
    const set = setOf({ services: [web, proxy], tasks }, 'a', drained);
    return ['task/web-1', 'task/proxy-1'].map((key) => set.get(key)?.value);
  };
  expect(told('running', [])).toMatchObject([{ desiredState: 'running' }, { desiredState: 'running' }]);
  expect(told('running', ['web-1'])).toMatchObject([
    { desiredState: 'shutdown' },
    { desiredState: 'shutdown', anchors: { app_web: 'web-1' } },
  ]);
  // One that has not started is not started for that.
  expect(told('ready', [])).toMatchObject([{ desiredState: 'running' }, { desiredState: 'shutdown' }]);
});

test('a finished task stays with its agent until nobody wants to remember it', () => {
  const base = { networks: [network('front', ['a'])], services: [web] };
  const finished = (desiredState: Task['desiredState']) =>
    keys({ ...base, tasks: [placed(1, 'a', 'failed', { desiredState })] }, 'a');
  expect(finished('shutdown')).toEqual(['task/web-1', 'template']);
  expect(finished('remove')).toEqual([]);
});

test('a secret goes only to the node whose task uses it', () => {
  const reference = { name: 'app_key-1', target: '/run/secrets/key', uid: 0, gid: 0, mode: 0o444 };
  const { container } = sampleTemplate();
  const service = sampleService('api', {
    task: sampleTemplate({ container: { ...container, secrets: [reference] } }),
  });
  const secret: Secret = {
    ...meta,
    id: 'secret',
    spec: { name: 'app_key-1', application: 'app', labels: {}, data: 'eA==' },
  };
  const task = sampleTask(service, 1, { nodeId: 'a', status: { state: 'assigned', at: 0, message: '' } });
  const objects: ViewObjects = { secrets: [secret], services: [service], tasks: [task] };
  expect(keys(objects, 'a')).toEqual(['secret/secret', 'task/api-1', 'template']);
  expect(keys(objects, 'b')).toEqual([]);
});

test('a service that wants a virtual IP is not named before it has one', () => {
  const { endpoint: _, ...unallocated } = web;
  const objects: ViewObjects = {
    networks: [network('front', ['a'])],
    services: [unallocated],
    tasks: [placed(1, 'a', 'running')],
  };
  expect(keys(objects, 'a')).toEqual(['network/front', 'task/web-1', 'template']);
});

test('a service is told with its links, for the tasks that it has there', () => {
  const links = [{ alias: 'store', service: 'app_db' }];
  const linking = { ...web, spec: { ...web.spec, links } };
  const objects: ViewObjects = {
    networks: [network('front', ['a'])],
    services: [linking],
    tasks: [placed(1, 'a', 'running')],
  };
  expect(setOf(objects, 'a').get('service/web')?.value).toMatchObject({ links });
});

test('of two tasks with one fixed address, the older of which was lost, others know the newer', () => {
  const objects: ViewObjects = {
    networks: [network('front', ['a', 'b', 'c'])],
    services: [web],
    tasks: [
      placed(1, 'b', 'running', { createdAt: 2 }),
      placed(1, 'c', 'running', { id: 'old', createdAt: 1, desiredState: 'shutdown' }),
      placed(3, 'a', 'running'),
    ],
  };
  expect(keys(objects, 'a').filter((key) => key.startsWith('peer/'))).toEqual(['peer/front/web-1']);
});

test('published ports lead to the network that has the default route of the service’s tasks', () => {
  const ports = [{ target: 80, published: 8080, protocol: 'tcp' as const }];
  const reference = (id: string, gatewayPriority: number) => ({
    name: `app_${id}`,
    aliases: [],
    gatewayPriority,
  });
  const task = sampleTemplate({ networks: [reference('front', 0), reference('back', 1)] });
  const service = sampleService('web', { task }, { endpoint: { ...endpoint, ports } });
  const objects: ViewObjects = {
    networks: [network('front', ['a']), network('back', ['a'])],
    services: [service],
  };
  expect(setOf(objects, 'a').get('service/web')?.value).toMatchObject({ ingressNetworkId: 'back', ports });
});

test('what tasks of an earlier version serve on is told with the service, and which version each endpoint is of', () => {
  const ports = [{ target: 80, published: 8080, protocol: 'tcp' as const }];
  const former = [{ upTo: 1, ports, networks: onNetwork('back').networks }];
  const service = { ...web, specVersion: 2, endpoint: { ...endpoint, ports: [], former } };
  const status = { state: 'running' as const, at: 0, message: '' };
  const attachments = [{ networkId: 'back', address: '10.64.0.9', aliases: [] }];
  const task = sampleTask(web, 1, { nodeId: 'a', status, attachments });
  const objects: ViewObjects = {
    nodes: [sampleNode('a'), sampleNode('b')],
    networks: [network('front', ['a']), network('back', ['a', 'b'])],
    services: [service],
    tasks: [task],
  };
  const told = setOf(objects, 'a');
  expect(told.get('service/web')?.value).toMatchObject({
    ports: [],
    former: [{ upTo: 1, ports, ingressNetworkId: 'back' }],
    networks: [{ networkId: 'back' }],
  });
  expect(told.get('endpoint/web-1')?.value).toMatchObject({
    specVersion: 1,
    addresses: { back: '10.64.0.9' },
  });
  expect(keys(objects, 'b')).toEqual(['endpoint/web-1', 'network/back', 'peer/back/web-1', 'service/web']);
});

test('every host is on the networks that published ports lead to, of the version and of the one before it', () => {
  const ports = [{ target: 80, published: 8080, protocol: 'tcp' as const }];
  const former = [{ upTo: 1, ports, networks: onNetwork('back').networks }];
  const networks = [network('front', ['a']), network('back', ['a'])];
  const service = { ...web, endpoint: { ...endpoint, ports, former } };
  const view = viewOf({ nodes, networks, services: [service] });
  const all = new Set([...view.nodes.keys(), ...view.networks.keys(), ...view.services.keys()]);
  const changed: Changed = new Map([
    ['node', all],
    ['network', all],
    ['service', all],
  ]);
  const told = new AssignmentIndex(view).update(changed, () => true, new Faults()).get('a');
  expect(told?.puts.map(({ key }) => key)).toEqual(['network/front', 'network/back', 'service/web']);
});

test('a task that begins to run is told to others as an endpoint, and not to its own agent again', () => {
  const view = viewOf({ nodes, networks: [network('front', ['a', 'b'])], services: [web] });
  const index = new AssignmentIndex(view);
  const faults = new Faults();
  const told = (...tasks: Task[]) => {
    for (const task of tasks) view.put('task', task);
    const all = new Set([...view.nodes.keys(), ...view.networks.keys(), ...view.services.keys()]);
    const ids = new Set(tasks.map(({ id }) => id));
    const changed: Changed = new Map([
      ['task', ids],
      ['node', all],
      ['network', all],
      ['service', all],
    ]);
    const increments = index.update(changed, () => true, faults);
    index.tellTasks(new Set(), [], increments, () => true, faults);
    expect([...faults]).toEqual([]);
    return increments.get('a');
  };
  told(placed(1, 'a', 'starting'));
  const forth = told(placed(1, 'a', 'running'), placed(2, 'b', 'running'));
  expect(forth?.puts.map(({ key }) => key)).toEqual(['peer/front/web-2', 'endpoint/web-1', 'endpoint/web-2']);
  expect(forth?.removals).toEqual([]);
  const back = told(placed(1, 'a', 'starting'), placed(2, 'b', 'failed'));
  expect(back?.puts).toEqual([]);
  expect(back?.removals).toHaveLength(3);
});
