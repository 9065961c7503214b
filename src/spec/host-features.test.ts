import { expect, test } from 'vitest';
import { sampleContainer, sampleNode, sampleTemplate } from '../../test/samples.ts';
import { chooseCdiDevices, hostNeeds } from './host-features.ts';

const gpus = [
  'nvidia.com/gpu=all',
  'nvidia.com/gpu=10',
  'nvidia.com/gpu=2',
  'nvidia.com/gpu=GPU-1',
  'a.b/c=x',
];

test('a device is there by its full name, and of a kind those with a number are counted', () => {
  expect(chooseCdiDevices({ device: 'nvidia.com/gpu=all' }, gpus)).toEqual(['nvidia.com/gpu=all']);
  expect(chooseCdiDevices({ device: 'nvidia.com/gpu=3' }, gpus)).toBeUndefined();
  expect(chooseCdiDevices({ kind: 'nvidia.com/gpu', count: 1 }, gpus)).toEqual(['nvidia.com/gpu=2']);
  expect(chooseCdiDevices({ kind: 'nvidia.com/gpu', count: 2 }, gpus)).toEqual([
    'nvidia.com/gpu=2',
    'nvidia.com/gpu=10',
  ]);
  expect(chooseCdiDevices({ kind: 'nvidia.com/gpu', count: 3 }, gpus)).toBeUndefined();
  expect(chooseCdiDevices({ kind: 'a.b/c', count: 1 }, [...gpus, 'a.b/c=all'])).toEqual(['a.b/c=x']);
});

test('a template needs its runtime and devices, and a host that has said nothing has none', () => {
  const settings = { runtime: 'crun', cdi: [{ device: 'a.b/c=x' }, { kind: 'nvidia.com/gpu', count: 2 }] };
  const needs = hostNeeds(sampleTemplate({ container: sampleContainer({ settings }) }));
  const lacking = (more: object) => {
    const description = { ...sampleNode('a').description!, ...more };
    return needs.filter((need) => !need.isMet(description)).map(({ explain }) => explain);
  };
  expect(lacking({})).toEqual([
    'no runtime crun',
    'no device a.b/c=x',
    'fewer than 2 devices nvidia.com/gpu',
  ]);
  expect(lacking({ runtimes: ['crun'], cdiDevices: gpus })).toEqual([]);
  expect(hostNeeds(sampleTemplate())).toEqual([]);
});
