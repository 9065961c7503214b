import { expect, test } from 'vitest';
import type { ApplicationSpec } from '../../src/spec/application.ts';
import type { ServiceSpec } from '../../src/spec/service.ts';
import { seededRandom } from '../../src/util/random.ts';
import { sampleApplication, sampleNode, sampleTemplate } from '../../test/samples.ts';
import { planAllocation } from '../allocator/plan.ts';
import { applyPlan, viewOf } from '../store/view.ts';
import { planApply, planRemove } from './apply.ts';

const gibibyte = 2 ** 30;

/** A cluster of these nodes, and what it says to an application; those that it takes it has, with their addresses. */
function cluster(nodes = [sampleNode('a'), sampleNode('b')]) {
  const view = viewOf({ nodes });
  const random = seededRandom(1);
  const apply = (spec: ApplicationSpec) => {
    applyPlan(view, [planApply(view, spec, { now: 1, random }).group]);
    for (let stage = 0; stage < 3; stage++) applyPlan(view, planAllocation(view, 1));
  };
  return { view, apply };
}

const onSubnet = (name: string, subnet: string, ...services: Partial<ServiceSpec>[]): ApplicationSpec => {
  const spec = sampleApplication(name, ...services);
  return { ...spec, networks: [{ ...spec.networks[0]!, subnet }] };
};

const at = (address: string, network = 'shop_net') => ({
  task: sampleTemplate({ networks: [{ name: network, aliases: [], address }] }),
});

const reserving = (reservations: { nanoCpus?: number; memoryBytes?: number }) => ({
  task: sampleTemplate({ reservations }),
});

const constrained = (constraint: string, more: Partial<ServiceSpec> = {}): Partial<ServiceSpec> => ({
  task: sampleTemplate({ placement: { constraints: [constraint], maxReplicasPerNode: 0 } }),
  ...more,
});

const allOf = (first: number, last: number) => ({
  ports: Array.from({ length: last - first + 1 }, (_, index) => ({
    published: first + index,
    target: 80 + index,
    protocol: 'tcp' as const,
    mode: 'ingress' as const,
  })),
});

const fromRange = (first: number, last: number) => ({
  ports: [{ published: { first, last }, target: 80, protocol: 'tcp' as const, mode: 'ingress' as const }],
});

const refused: [string, ApplicationSpec, ApplicationSpec, string][] = [
  [
    'a subnet that another network has',
    onSubnet('shop', '10.9.0.0/24', {}),
    onSubnet('other', '10.9.0.128/25', {}),
    'network other_net: subnet 10.9.0.128/25 overlaps 10.9.0.0/24 of network shop_net',
  ],
  [
    'an address that another service asks for',
    onSubnet('shop', '10.9.0.0/24', at('10.9.0.7')),
    onSubnet('shop', '10.9.0.0/24', at('10.9.0.7'), at('10.9.1.7')),
    'service shop_s1: network shop_net has no address 10.9.1.7: its subnet is 10.9.0.0/24',
  ],
  [
    'a range whose ports are all taken',
    sampleApplication('shop', allOf(8000, 8002)),
    sampleApplication('other', fromRange(8000, 8002)),
    'service other_s0: no port of 8000-8002/tcp is free',
  ],
  [
    'a constraint that no node meets',
    sampleApplication('shop', {}),
    sampleApplication('shop', {}, constrained('node.labels.disk==ssd')),
    'service shop_s1: no suitable node: constraint node.labels.disk == ssd on 2 nodes',
  ],
  [
    'more memory than any node has',
    sampleApplication('shop', {}),
    sampleApplication('shop', reserving({ memoryBytes: 64 * gibibyte })),
    'service shop_s0: no suitable node: insufficient memory on 2 nodes (64 GiB wanted, 4 GiB free on each)',
  ],
];

test.each(refused)('%s is refused, and nothing changes', (_, there, wanted, why) => {
  const { view, apply } = cluster();
  apply(there);
  const before = { services: [...view.services.values()], networks: [...view.networks.values()] };
  expect(() => apply(wanted)).toThrow(`Cannot apply ${wanted.name}: ${why}`);
  expect({ services: [...view.services.values()], networks: [...view.networks.values()] }).toEqual(before);
});

test('a global service may have no node yet, and without nodes nobody can tell', () => {
  const nowhere = constrained('node.labels.disk==ssd', { mode: { kind: 'global' } });
  expect(() => cluster().apply(sampleApplication('shop', nowhere))).not.toThrow();
  expect(() => cluster([]).apply(sampleApplication('shop', constrained('node.role==worker')))).not.toThrow();
});

test('what was taken once is no reason against another change', () => {
  const { view, apply } = cluster([sampleNode('a', { labels: { disk: 'ssd' } })]);
  const limited = constrained('node.labels.disk==ssd');
  apply(sampleApplication('shop', limited));
  applyPlan(view, [[{ kind: 'node', action: 'update', object: sampleNode('a') }]]);
  const scaled: Partial<ServiceSpec> = { ...limited, mode: { kind: 'replicated', replicas: 5 } };
  expect(() => apply(sampleApplication('shop', scaled, {}))).not.toThrow();
});

test('what is being removed is in nobody’s way', () => {
  const { view, apply } = cluster();
  apply(onSubnet('shop', '10.9.0.0/24', allOf(8000, 8002)));
  applyPlan(view, [planRemove(view, 'shop').group]);
  expect(() => apply(onSubnet('other', '10.9.0.0/24', fromRange(8000, 8002)))).not.toThrow();
});
