import { expect, test } from 'vitest';
import { sampleNetwork, sampleNode, sampleService, sampleTask } from '../../test/samples.ts';
import type { StoreEvent } from './store.ts';
import { applyPlan, encodeObject, keyOf, MutableView, viewOf } from './view.ts';

const web = sampleService('web');
const put = (
  kind: 'task' | 'service' | 'network',
  object: Parameters<typeof encodeObject>[0],
): StoreEvent => ({
  type: 'put',
  key: keyOf(kind, object.id),
  value: encodeObject(object),
});

test('a view holds what the batches told, with the revision of each', () => {
  const view = new MutableView();
  expect(view.apply({ revision: 3, events: [put('service', web)] }).kinds).toEqual(new Set(['service']));
  view.apply({ revision: 5, events: [put('task', sampleTask(web, 1)), put('task', sampleTask(web, 2))] });
  expect(view.revision).toBe(5);
  expect(view.serviceByName('app_web')).toEqual({ ...web, revision: 3 });
  expect([...view.tasksOfService('web')].map(({ id, revision }) => [id, revision])).toEqual([
    ['web-1', 5],
    ['web-2', 5],
  ]);
});

test('indexes follow when objects change and go', () => {
  const view = viewOf({ services: [web], tasks: [sampleTask(web, 1)] });
  expect([...view.tasksOfNode('a')]).toEqual([]);
  view.apply({ revision: 1, events: [put('task', sampleTask(web, 1, { nodeId: 'a' }))] });
  expect([...view.tasksOfNode('a')].map(({ id }) => id)).toEqual(['web-1']);
  view.apply({
    revision: 2,
    events: [
      { type: 'delete', key: 'task/web-1' },
      { type: 'delete', key: 'service/web' },
    ],
  });
  expect([...view.tasksOfNode('a'), ...view.tasksOfService('web')]).toEqual([]);
  expect(view.serviceByName('app_web')).toBeUndefined();
});

test('a name that passed to another object stays found when the first one goes', () => {
  const view = viewOf({ networks: [sampleNetwork('old', undefined, { spec: sampleNetwork('net').spec })] });
  view.put('network', sampleNetwork('net'));
  view.remove('network', 'old');
  expect(view.networkByName('app_net')?.id).toBe('net');
});

test('keys that are no objects raise the revision and nothing else', () => {
  const view = new MutableView();
  const events: StoreEvent[] = [{ type: 'put', key: 'election/leader', value: 'not json' }];
  expect(view.apply({ revision: 1, events })).toEqual({ kinds: new Set(), objects: [] });
  expect(view.revision).toBe(1);
});

test('batches that repeat or step back change nothing, and are counted', () => {
  const view = new MutableView();
  view.apply({ revision: 2, events: [put('service', web)] });
  const before = view.services.get('web');
  const none = { kinds: new Set(), objects: [] };
  expect(view.apply({ revision: 2, events: [put('service', web)] })).toEqual(none);
  expect(view.apply({ revision: 1, events: [{ type: 'delete', key: 'service/web' }] })).toEqual(none);
  expect([view.services.get('web') === before, view.revision, view.repeated]).toEqual([true, 2, 2]);
});

test('a listing of another store makes every object anew, whatever its revision', () => {
  const view = new MutableView();
  const listing = (lineage: string, by: string) => {
    const value = encodeObject({ ...web, spec: { ...web.spec, labels: { by } } });
    return { lineage, revision: 9, values: [{ key: 'service/web', value, revision: 3 }] };
  };
  view.reset(listing('a', 'first'));
  expect(view.reset(listing('a', 'second')).objects).toEqual([]);
  expect(view.reset(listing('b', 'second')).objects).toMatchObject([{ kind: 'service', id: 'web' }]);
  expect([view.lineage, view.services.get('web')?.spec]).toMatchObject(['b', { labels: { by: 'second' } }]);
});

test('a reset becomes the listing and tells only the kinds that it changed', () => {
  const view = new MutableView();
  view.apply({ revision: 1, events: [put('service', web)] });
  view.apply({ revision: 2, events: [put('task', sampleTask(web, 1))] });
  const before = view.services.get('web');
  const value = encodeObject(web);
  const { objects } = view.reset({
    lineage: '',
    revision: 9,
    values: [{ key: 'service/web', value, revision: 1 }],
  });
  expect(objects).toMatchObject([{ kind: 'task', id: 'web-1', before: { slot: 1 }, after: undefined }]);
  expect(view.services.get('web')).toBe(before);
  expect([view.tasks.size, view.revision]).toEqual([0, 9]);
});

test('applyPlan() changes a view as writing the plan would', () => {
  const view = viewOf({ nodes: [sampleNode('a')] });
  applyPlan(view, [
    [
      { kind: 'service', action: 'create', object: web },
      { kind: 'node', action: 'delete', object: sampleNode('a') },
    ],
  ]);
  expect([view.nodes.size, view.services.get('web')?.revision]).toEqual([0, 1]);
});
