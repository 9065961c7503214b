import { expect, test } from 'vitest';
import type { Node } from '../../src/spec/node.ts';
import type { Service, ServiceSpec } from '../../src/spec/service.ts';
import type { Task, TaskState } from '../../src/spec/task.ts';
import { seededRandom } from '../../src/util/random.ts';
import { sampleNode, sampleService, sampleTemplate } from '../../test/samples.ts';
import { applicationStatus } from '../api/status.ts';
import { isEndpoint } from '../dispatcher/assignments.ts';
import { applyPlan, viewOf, type MutableView } from '../store/view.ts';
import { addressPatienceMs, returnSettleMs } from './returning.ts';
import { planServices } from './services.ts';

const now = 1_000_000;
const random = seededRandom(38);

function node(id: string, state: Node['status']['state'], since = 0, changes: Partial<Node> = {}): Node {
  return { ...sampleNode(id), id, status: { state, since, message: '' }, ...changes };
}

function task(id: string, nodeId: string | undefined, state: TaskState, changes: Partial<Task> = {}): Task {
  return {
    id,
    createdAt: id === 'old' ? 1 : now,
    updatedAt: 1,
    revision: 1,
    application: 'app',
    serviceId: 'web',
    serviceName: 'web',
    slot: 1,
    ...(nodeId === undefined ? {} : { nodeId }),
    specVersion: 1,
    template: sampleTemplate({}),
    desiredState: 'running',
    status: { state, at: 1, message: '' },
    attachments: [{ networkId: 'net', address: '10.0.0.2', aliases: [] }],
    ...changes,
  };
}

function service(changes: Partial<Service> = {}, spec: Partial<ServiceSpec> = {}): Service {
  return { ...sampleService('web', { task: sampleTemplate({}), ...spec }), id: 'web', ...changes };
}

const old = (changes: Partial<Task> = {}) => task('old', 'n1', 'running', { awaited: true, ...changes });

function after(view: MutableView, at = now): MutableView {
  applyPlan(view, planServices(view, at, random).plan);
  return view;
}

/** What is wanted of each task after one pass: `awaited`, or its desired state. */
function wishes(view: MutableView, at = now): Record<string, string> {
  after(view, at);
  return Object.fromEntries(
    [...view.tasks.values()].map((one) => [one.id, one.awaited === true ? 'awaited' : one.desiredState]),
  );
}

function pair(first: Node, replacement: Task, of: Service = service(), away: Task = old()): MutableView {
  return viewOf({ nodes: [first, node('n2', 'ready')], services: [of], tasks: [away, replacement] });
}

test('a task whose node went down is awaited, and another one is made', () => {
  const view = viewOf({
    nodes: [node('n1', 'down'), node('n2', 'ready')],
    services: [service()],
    tasks: [task('old', 'n1', 'running')],
  });
  const { old: wish, ...others } = wishes(view);
  expect(wish).toBe('awaited');
  expect(Object.values(others)).toEqual(['running']);
});

test.each(['new', 'pending', 'assigned', 'accepted', 'preparing', 'ready', 'starting'] as const)(
  'a task whose node is back is kept when its replacement is %s',
  (state) => {
    const view = pair(node('n1', 'ready', now - returnSettleMs), task('next', 'n2', state));
    expect(wishes(view)).toEqual({ old: 'running', next: 'shutdown' });
  },
);

test('a kept task is an endpoint and counts for the service, which an awaited one does not', () => {
  const view = pair(node('n1', 'down'), task('next', 'n2', 'preparing'));
  after(view);
  expect(isEndpoint(view.tasks.get('old')!, view.nodes)).toBe(false);
  expect(applicationStatus(view, 'app', now)?.services[0]?.running).toBe(0);
  const back = after(pair(node('n1', 'ready'), task('next', 'n2', 'preparing')));
  expect(isEndpoint(back.tasks.get('old')!, back.nodes)).toBe(true);
  expect(applicationStatus(back, 'app', now)?.services[0]?.running).toBe(1);
});

test('a node that is just back has a moment to say what has ended', () => {
  const view = pair(node('n1', 'ready', now), task('next', 'n2', 'preparing'));
  expect(planServices(view, now, random).due.get('web')).toBe(now + returnSettleMs);
  expect(wishes(view)).toEqual({ old: 'awaited', next: 'running' });
  const ended = old({ status: { state: 'failed', at: now, message: '' } });
  expect(wishes(pair(node('n1', 'ready'), task('next', 'n2', 'preparing'), service(), ended))).toEqual({
    old: 'shutdown',
    next: 'running',
  });
});

test.each(['down', 'ready'] as const)('a replacement that runs stays, node %s', (state) => {
  expect(wishes(pair(node('n1', state), task('next', 'n2', 'running')))).toEqual({
    old: 'shutdown',
    next: 'running',
  });
});

test('what must leave its node or is out of date is not awaited any more', () => {
  const next = () => task('next', 'n2', 'preparing');
  const drained = pair(node('n1', 'down', 0, { availability: 'drain' }), next());
  expect(wishes(drained)['old']).toBe('shutdown');
  expect(wishes(pair(node('n3', 'ready'), next()))['old']).toBe('shutdown');
  const placement = { ...sampleTemplate({}).placement, constraints: ['node.labels.disk==ssd'] };
  const template = sampleTemplate({ placement });
  const apart = pair(node('n1', 'ready'), next(), service(), old({ template }));
  expect(wishes(apart)['old']).toBe('shutdown');
  const image = { ...sampleTemplate({}).container, image: 'other' };
  const updated = service({ specVersion: 2 }, { task: sampleTemplate({ container: image }) });
  expect(wishes(pair(node('n1', 'ready'), next(), updated))['old']).toBe('shutdown');
  const none = service({}, { mode: { kind: 'replicated', replicas: 0 } });
  expect(wishes(pair(node('n1', 'ready'), next(), none))).toEqual({ old: 'remove', next: 'remove' });
});

test('a replacement that gets no address is not kept waiting by the task that it replaces', () => {
  const view = pair(node('n1', 'down'), task('next', undefined, 'new'));
  expect(wishes(view, now + addressPatienceMs - 1)['old']).toBe('awaited');
  expect(wishes(view, now + addressPatienceMs)['old']).toBe('shutdown');
});

test('a task with a fixed address is not awaited: its replacement gets the address', () => {
  const networks = [{ name: 'net', aliases: [], address: '10.0.0.9' }];
  const template = sampleTemplate({ networks });
  const view = viewOf({
    nodes: [node('n1', 'down'), node('n2', 'ready')],
    services: [service({}, { task: template })],
    tasks: [task('old', 'n1', 'running', { template })],
  });
  expect(wishes(view)['old']).toBe('shutdown');
});
