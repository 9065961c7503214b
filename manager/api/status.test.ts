import { expect, test } from 'vitest';
import type { Task, TaskState, TaskStatus } from '../../src/spec/task.ts';
import { defaultUpdate } from '../../src/spec/defaults.ts';
import { missingHostPath } from '../../src/spec/host-path.ts';
import type { Service, ServiceSpec } from '../../src/spec/service.ts';
import { sampleNode, sampleService, sampleTask, sampleTemplate } from '../../test/samples.ts';
import { viewOf, type ViewObjects } from '../store/view.ts';
import { Failures } from './failure.ts';
import { applicationStatus, serviceStatus } from './status.ts';

const nodes = [sampleNode('a'), sampleNode('b')];
const web = sampleService('web', { mode: { kind: 'replicated', replicas: 1 } });

function task(
  service: Service,
  state: TaskState,
  changes: Partial<Task> = {},
  status: Partial<TaskStatus> = {},
): Task {
  const desiredState = ['failed', 'rejected', 'complete'].includes(state) ? 'shutdown' : 'running';
  return sampleTask(service, 1, {
    id: `${service.id}-${changes.createdAt ?? 0}`,
    nodeId: 'a',
    desiredState,
    ...changes,
    status: { state, at: changes.createdAt ?? 0, message: '', ...status },
  });
}

const statusOf = (service: Service, tasks: Task[], now = 0, more: ViewObjects = {}) => {
  const view = viewOf({ nodes, services: [service], tasks, ...more });
  return serviceStatus(view, service, new Failures(view, now));
};

test('a service has converged when as many tasks of its version run as there should be, and no other is left', () => {
  expect(statusOf(web, [task(web, 'running')])).toMatchObject({ desired: 1, running: 1, converged: true });
  expect(statusOf(web, [task(web, 'starting')])).toMatchObject({ running: 0, converged: false });
  const stopping = task(web, 'running', { createdAt: 1, desiredState: 'shutdown', slot: 2 });
  expect(statusOf(web, [task(web, 'running'), stopping])).toMatchObject({ running: 1, converged: false });
  const outdated = task({ ...web, specVersion: 0 }, 'running');
  expect(statusOf(web, [outdated])).toMatchObject({ running: 0, converged: false });
});

test('what serves is counted whatever its version, and so is what is given up and has not ended', () => {
  const outdated = task({ ...web, specVersion: 0 }, 'running');
  const leaving = task(web, 'running', { createdAt: 1, desiredState: 'remove', slot: 2 });
  expect(statusOf(web, [outdated, leaving])).toMatchObject({ running: 0, serving: 1, leaving: 1 });
  expect(statusOf(web, [{ ...outdated, desiredState: 'shutdown' }])).toMatchObject({
    serving: 0,
    leaving: 1,
  });
});

test('what is left on a node that is down does not hold convergence up', () => {
  const down = sampleNode('b', { status: { state: 'down', since: 0, message: '' } });
  const lost = task(web, 'running', { createdAt: 1, nodeId: 'b', desiredState: 'shutdown' });
  const status = statusOf(web, [task(web, 'running', { createdAt: 2 }), lost], 0, {
    nodes: [nodes[0]!, down],
  });
  expect(status.converged).toBe(true);
});

test('a service is not converged while it is updated', () => {
  const updateStatus = { id: 'u', state: 'updating' as const, specVersion: 1, startedAt: 0, message: '' };
  expect(statusOf({ ...web, updateStatus }, [task(web, 'running')]).converged).toBe(false);
});

test('a global service wants one task on every ready node that its constraints allow', () => {
  const placement = { constraints: ['node.hostname != b'], maxReplicasPerNode: 0 };
  const service = sampleService('agent', { mode: { kind: 'global' }, task: sampleTemplate({ placement }) });
  expect(statusOf(service, []).desired).toBe(1);
});

test('a one-shot task that ended well counts as done', () => {
  const restart = { condition: 'on-failure' as const, delayMs: 0, maxAttempts: 0, windowMs: 0 };
  const service = sampleService('job', { task: sampleTemplate({ restart }) });
  expect(statusOf(service, [task(service, 'complete')], 60_000)).toMatchObject({
    running: 1,
    converged: true,
  });
});

test.each(['image_not_found', 'image_invalid', 'command_not_found'])(
  '%s fails the service at once',
  (code) => {
    const error = { code, message: 'Cannot pull image nowhere' };
    const rejected = task(web, 'rejected', {}, { error });
    const retried = task(web, 'preparing', { createdAt: 1 });
    expect(statusOf(web, [rejected, retried]).failure).toBe('app_web.1: Cannot pull image nowhere');
  },
);

test('three tasks in a row that ended wrongly in one slot are a crash loop', () => {
  const failed = (createdAt: number, slot = 1) =>
    task(
      web,
      'failed',
      { createdAt, slot, id: `t${createdAt}` },
      { message: 'ended with exit code 3: oh no' },
    );
  const waiting = task(web, 'ready', { createdAt: 9 });
  expect(statusOf(web, [failed(1), failed(2), waiting]).failure).toBeUndefined();
  expect(statusOf(web, [failed(1), failed(2), failed(3), waiting]).failure).toBe(
    'app_web.1 ended with exit code 3: oh no, 3 times in a row',
  );
  // One failure in each of three slots is bad luck, not a loop.
  const spread = [failed(1, 1), failed(2, 2), failed(3, 3)];
  const replaced = [1, 2, 3].map((slot) =>
    task(web, 'ready', { createdAt: 10 + slot, slot, id: `r${slot}` }),
  );
  expect(statusOf(web, [...spread, ...replaced]).failure).toBeUndefined();
});

test('hosts that lack a path of its binds are no crash loop: one that has it may come', () => {
  const mount = {
    type: 'bind',
    source: '/srv/x',
    target: '/x',
    readOnly: true,
    createHostPath: false,
  } as const;
  const { container } = sampleTemplate();
  const template = sampleTemplate({ container: { ...container, mounts: [mount] } });
  const error = { code: 'failed_precondition', message: missingHostPath('/srv/x') };
  const refused = [1, 2, 3].map((createdAt) =>
    task(web, 'rejected', { createdAt, id: `t${createdAt}`, template }, { error }),
  );
  const tried = task(web, 'preparing', { createdAt: 4, template });
  expect(statusOf(web, [...refused, tried], 60_000).failure).toBeUndefined();
  const message = 'no suitable node: no /srv/x on 3 nodes (a, b, c)';
  const pending = task(web, 'pending', { createdAt: 4, template }, { message });
  expect(statusOf(web, [...refused, pending], 60_000).failure).toBe(`app_web.1 cannot be placed: ${message}`);
});

test('a service that runs has not failed, whatever happened before', () => {
  const failed = [1, 2, 3].map((createdAt) => task(web, 'failed', { createdAt }, { exitCode: 1 }));
  expect(statusOf(web, [...failed, task(web, 'running', { createdAt: 4 })])).toMatchObject({
    converged: true,
  });
});

test('a failed task that nobody replaces has failed for good', () => {
  const failed = task(web, 'failed', {}, { exitCode: 1 });
  expect(statusOf(web, [failed], 1_000).failure).toBeUndefined();
  expect(statusOf(web, [failed], 5_000).failure).toMatch(/is not restarted$/);
});

test('a task that no node suits is a failure only after a while', () => {
  const pending = task(web, 'pending', {}, { message: 'no suitable node: insufficient memory on 2 nodes' });
  expect(statusOf(web, [pending], 5_000).failure).toBeUndefined();
  expect(statusOf(web, [pending], 20_000).failure).toContain('insufficient memory on 2 nodes');
});

test('tasks that get no address fail with how many they are, why, and what to do', () => {
  const three = sampleService('web', { mode: { kind: 'replicated', replicas: 3 } });
  const message = 'network app_net has no free address: …; give it a larger subnet';
  const held = [1, 2, 3].map((slot) => task(three, 'new', { createdAt: slot, slot }, { message }));
  expect(statusOf(three, held, 5_000).failure).toBeUndefined();
  expect(statusOf(three, held, 20_000).failure).toBe(`app_web.3 and 2 more cannot be placed: ${message}`);
  const created = task(three, 'new', {}, { message: 'created' });
  expect(statusOf(three, [created], 20_000).failure).toBeUndefined();
});

test('a task that could not be placed is judged anew after a change of the service, and while others still stop', () => {
  const message = 'no suitable node: port 80/tcp in use on 2 nodes';
  const pending = task(web, 'pending', { createdAt: 1 }, { message });
  expect(statusOf({ ...web, updatedAt: 50_000 }, [pending], 55_000).failure).toBeUndefined();
  expect(statusOf({ ...web, updatedAt: 50_000 }, [pending], 60_000).failure).toContain(message);
  const stopping = task(web, 'running', { createdAt: 0, desiredState: 'shutdown' });
  expect(statusOf(web, [pending, stopping], 60_000).failure).toBeUndefined();
});

test('a new task that has no place beside the old one is told with what to change', () => {
  const update = { ...defaultUpdate, order: 'start-first' as const };
  const message = 'no suitable node: port 80/tcp in use on 2 nodes';
  const template = sampleTemplate({ placement: { constraints: [], maxReplicasPerNode: 1 } });
  const pending = task(web, 'pending', { createdAt: 1, template }, { message });
  const old = task(web, 'running', { createdAt: 0, specVersion: 0 });
  const failureBy = (spec: Partial<ServiceSpec>) =>
    statusOf({ ...web, spec: { ...web.spec, ...spec } }, [pending, old], 20_000).failure;
  expect(failureBy({})).toBe(`app_web.1 cannot be placed: ${message}`);
  expect(failureBy({ update })).toBe(
    `app_web.1 cannot be placed: ${message}; the old app_web.1 keeps its place until the new one runs, as update_config says: write order: stop-first there, or add a node`,
  );
});

test('conditions that keep tasks away are told with what the hosts say of them', () => {
  const pending = task(web, 'pending', {}, { message: 'no suitable node: DiskFull on 1 node, drained on 1' });
  const condition = { type: 'DiskFull' as const, since: 0, message: '/var/lib/shoal has 3 MiB left' };
  const full = [sampleNode('c', { conditions: [condition] }), sampleNode('d', { availability: 'drain' })];
  expect(statusOf(web, [pending], 20_000, { nodes: full }).failure).toBe(
    'app_web.1 cannot be placed: no suitable node: DiskFull on 1 node, drained on 1 (c: /var/lib/shoal has 3 MiB left)',
  );
});

test('allocation errors and paused updates are failures in words; what was rolled back is as it is wished', () => {
  expect(statusOf({ ...web, allocationError: 'port 80 is taken by other_web' }, []).failure).toBe(
    'port 80 is taken by other_web',
  );
  const withUpdate = (state: 'paused' | 'rollback_completed') => ({
    ...web,
    updateStatus: { id: 'u', state, specVersion: 1, startedAt: 0, message: 'app_web.1 failed: exit code 1' },
  });
  expect(statusOf(withUpdate('paused'), []).failure).toContain('exit code 1');
  expect(statusOf(withUpdate('rollback_completed'), [task(web, 'running')])).toMatchObject({
    converged: true,
    failure: undefined,
  });
});

test('a failure for which an update is about to be rolled back or paused is left to that; where neither comes it is told', () => {
  const updateStatus = { id: 'u', state: 'updating' as const, specVersion: 1, startedAt: 0, message: '' };
  const error = { code: 'image_not_found', message: 'Cannot pull image web: not found' };
  const failureOf = (update: Partial<ServiceSpec['update']>, changes: Partial<Service> = {}, now = 0) => {
    const spec = { ...web.spec, update: { ...web.spec.update, ...update } };
    const service = { ...web, spec, updateStatus, ...changes };
    return statusOf(service, [task(service, 'rejected', { updateId: 'u' }, { error })], now).failure;
  };
  const told = 'app_web.1: Cannot pull image web: not found';
  expect(failureOf({ failureAction: 'rollback' })).toBeUndefined();
  expect(failureOf({ failureAction: 'pause' })).toBeUndefined();
  expect(failureOf({ failureAction: 'continue' })).toBe(told);
  expect(failureOf({ failureAction: 'rollback', maxFailureRatio: 0.5 })).toBe(told);
  expect(failureOf({ failureAction: 'rollback' }, { updateStatus: { ...updateStatus, id: 'v' } })).toBe(told);
  expect(failureOf({ failureAction: 'rollback' }, {}, 3_000)).toBe(told);
});

test('a service that waits for another fails only with it', () => {
  const dependsOn = [{ service: 'app_store', condition: 'healthy' as const }];
  const waiting = sampleService('web', { dependsOn }, { dependenciesMet: false });
  const held = task(waiting, 'pending', {}, { message: 'waiting for app_store to be healthy' });
  const store = sampleService('store');
  const failed = { ...store, allocationError: 'the address pool is exhausted' };
  expect(statusOf(waiting, [held], 60_000, { services: [waiting, store] }).failure).toBeUndefined();
  expect(statusOf(waiting, [held], 60_000, { services: [waiting, failed] }).failure).toBe(
    'waiting for app_store, which failed: the address pool is exhausted',
  );
});

/** `layers` of two services each, of which each waits for both of the layer before: 2^layers ways through. */
function diamonds(layers: number): Service[] {
  const names = (layer: number) => [`left${layer}`, `right${layer}`];
  return Array.from({ length: layers }, (_, layer) =>
    names(layer).map((name) => {
      const before = layer === 0 ? [] : names(layer - 1);
      const dependsOn = before.map((key) => ({ service: `app_${key}`, condition: 'started' as const }));
      return sampleService(name, { dependsOn }, { dependenciesMet: layer === 0 });
    }),
  ).flat();
}

test('a thousand services that wait for each other, layer upon layer, are judged once each', () => {
  const [first, ...others] = diamonds(500);
  const broken = { ...first!, allocationError: 'the address pool is exhausted' };
  let looks = 0;
  const view = viewOf({ services: [broken, ...others] });
  const find = view.serviceByName.bind(view);
  view.serviceByName = (name) => {
    looks++;
    return find(name);
  };
  const status = applicationStatus(view, 'app', 0)!;
  expect(status.services.find(({ service }) => service.id === 'right499')?.failure).toBe(
    'waiting for app_left498, which waits for app_left0, which failed: the address pool is exhausted',
  );
  expect(looks).toBeLessThan(20_000);
});

test('a chain of a thousand services is judged to its end', () => {
  const chain = Array.from({ length: 1000 }, (_, index) => {
    const dependsOn = index === 0 ? [] : [{ service: `app_s${index - 1}`, condition: 'healthy' as const }];
    const more = index === 0 ? { allocationError: 'port 80 is taken' } : { dependenciesMet: false };
    return sampleService(`s${index}`, { dependsOn }, more);
  });
  const failures = new Failures(viewOf({ services: chain.toReversed() }), 0);
  expect(chain.map((service) => failures.of(service)).slice(1, 3)).toEqual([
    'waiting for app_s0, which failed: port 80 is taken',
    'waiting for app_s1, which waits for app_s0, which failed: port 80 is taken',
  ]);
  expect(failures.of(chain[999]!)).toContain('which waits for app_s0');
});

test('services that wait for each other in a circle do not fail for it', () => {
  const on = (service: string) => [{ service, condition: 'started' as const }];
  const one = sampleService('one', { dependsOn: on('app_two') }, { dependenciesMet: false });
  const two = sampleService('two', { dependsOn: on('app_one') }, { dependenciesMet: false });
  expect(statusOf(one, [], 0, { services: [one, two] }).failure).toBeUndefined();
});

test('an application that does not exist has no status', () => {
  expect(applicationStatus(viewOf({ services: [web] }), 'other', 0)).toBeUndefined();
  expect(applicationStatus(viewOf({ services: [web] }), 'app', 0)?.services).toHaveLength(1);
});
