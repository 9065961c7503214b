import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseAddress, parseSubnet, subnetContains, subnetsOverlap } from '../../src/spec/address.ts';
import { portsClash } from '../../src/spec/port.ts';
import type { PublishedPort } from '../../src/spec/service.ts';
import { isTerminal, type TaskState } from '../../src/spec/task.ts';
import {
  sampleCluster,
  sampleNetwork,
  sampleNode,
  sampleService,
  sampleTask,
  sampleTemplate,
} from '../../test/samples.ts';
import { applyPlan, viewOf, type MutableView } from '../store/view.ts';
import { allocate, planAllocation } from './plan.ts';

/** What may happen to a cluster between two plans. */
type Step =
  | { what: 'node' | 'dropNode' | 'dropNetwork' | 'dropService'; n: number }
  | { what: 'network'; n: number; subnet: string | undefined; reserved: string[] }
  | {
      what: 'service';
      n: number;
      networks: number[];
      /** On each of the networks. */
      address: string | undefined;
      ports: Pick<PublishedPort, 'published' | 'address'>[];
    }
  | { what: 'task'; n: number; slot: number }
  | { what: 'end'; n: number; slot: number; state: TaskState };

const small = fc.nat({ max: 4 });
const arbitraryStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ what: fc.constantFrom('node', 'dropNode', 'dropNetwork', 'dropService'), n: small }),
  fc.record({
    what: fc.constant('network' as const),
    n: small,
    subnet: fc.constantFrom(undefined, '10.64.0.0/28', '10.64.0.32/27', '10.3.0.0/28', '10.3.0.16/28'),
    reserved: fc.subarray(['10.3.0.1', '10.3.0.14', '10.64.0.40']),
  }),
  fc.record({
    what: fc.constant('service' as const),
    n: small,
    networks: fc.uniqueArray(small, { maxLength: 3 }),
    address: fc.constantFrom(undefined, undefined, '10.3.0.3', '10.3.0.12', '10.64.0.39'),
    ports: fc.array(
      fc.record({
        published: fc.constantFrom(80, 81, { first: 80, last: 82 }, undefined),
        address: fc.constantFrom(undefined, '127.0.0.1', '192.0.2.1'),
      }),
      { maxLength: 3 },
    ),
  }),
  fc.record({ what: fc.constant('task' as const), n: small, slot: fc.nat({ max: 12 }) }),
  fc.record({
    what: fc.constant('end' as const),
    n: small,
    slot: fc.nat({ max: 12 }),
    state: fc.constantFrom('failed', 'complete', 'running'),
  }),
);

function perform(view: MutableView, step: Step): unknown {
  switch (step.what) {
    case 'node':
      return view.put('node', view.nodes.get(`n${step.n}`) ?? sampleNode(`n${step.n}`));
    case 'dropNode':
      return view.remove('node', `n${step.n}`);
    case 'dropNetwork': {
      const id = view.networkByName(`app_net${step.n}`)?.id ?? '';
      const isUsed = view.tasks.values().some((task) => task.attachments.some((at) => at.networkId === id));
      if (!isUsed) view.remove('network', id);
      return undefined;
    }
    case 'network': {
      const name = `app_net${step.n}`;
      if (view.networkByName(name) !== undefined) return undefined;
      // An id is never used again, a name may be.
      const network = sampleNetwork(`net${step.n}-${view.revision}`, step.subnet);
      return view.put('network', { ...network, spec: { ...network.spec, name, reserved: step.reserved } });
    }
    case 'service': {
      const { address } = step;
      const networks = step.networks.map((n) => ({
        name: `app_net${n}`,
        aliases: [],
        ...(address && { address }),
      }));
      const ports = step.ports.map(({ published, address: open }) => ({
        target: 80,
        published,
        ...(open && { address: open }),
        protocol: 'tcp' as const,
        mode: 'ingress' as const,
      }));
      const fresh = sampleService(`s${step.n}`, { task: sampleTemplate({ networks }), ports });
      const service = view.services.get(fresh.id) ?? fresh;
      return view.put('service', { ...service, spec: fresh.spec, specVersion: service.specVersion + 1 });
    }
    case 'dropService':
      return view.remove('service', `s${step.n}`);
    case 'task': {
      const service = view.services.get(`s${step.n}`);
      if (service) view.put('task', sampleTask(service, step.slot, { createdAt: view.revision }));
      return undefined;
    }
    case 'end': {
      const task = view.tasks.get(`s${step.n}-${step.slot}`);
      if (task?.status.state === 'pending') {
        view.put('task', { ...task, status: { ...task.status, state: step.state } });
      }
      return undefined;
    }
    default:
      return step satisfies never;
  }
}

/** Seven addresses for tasks and bridges a network, so that they are used again and run out. */
const smallCluster = sampleCluster({ addressPool: '10.64.0.0/25', subnetPrefix: 28 });

/** No two of anything that must be one of a kind. */
function check(view: MutableView): void {
  const unique = (values: unknown[]) => expect(new Set(values).size).toBe(values.length);
  const networks = [...view.networks.values()].filter((network) => network.subnet !== undefined);
  unique(networks.map(({ vni }) => vni));
  const subnets = networks.map(({ subnet }) => parseSubnet(subnet!));
  for (const [index, subnet] of subnets.entries()) {
    expect(subnets.slice(index + 1).some((other) => subnetsOverlap(subnet, other))).toBe(false);
  }
  const used = new Map(networks.map((network) => [network.id, Object.values(network.bridgeAddresses)]));
  for (const task of view.tasks.values()) {
    if (isTerminal(task.status.state)) continue;
    for (const { networkId, address } of task.attachments) used.get(networkId)?.push(address);
  }
  for (const service of view.services.values()) {
    for (const [id, address] of Object.entries(service.endpoint?.virtualAddresses ?? {}))
      used.get(id)?.push(address);
  }
  for (const { id, subnet, spec } of networks) {
    unique([...used.get(id)!, ...(spec.reserved ?? [])]);
    expect(
      used.get(id)!.every((address) => subnetContains(parseSubnet(subnet!), parseAddress(address))),
    ).toBe(true);
  }
  const ports = [...view.services.values()].flatMap(({ endpoint }) => endpoint?.ports ?? []);
  for (const [index, port] of ports.entries()) {
    expect(ports.slice(index + 1).some((other) => portsClash(port, other))).toBe(false);
  }
}

test('whatever happens, addresses, subnets, VNIs and ports stay one of a kind, and a settled view has an empty plan', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(arbitraryStep, fc.constantFrom('no plan', 'plan', 'new leader')), {
        minLength: 20,
        maxLength: 80,
      }),
      (steps) => {
        const view = viewOf({ cluster: smallCluster });
        let cursors = new Map<string, number>();
        for (const [step, then] of steps) {
          perform(view, step);
          view.revision++;
          if (then === 'no plan') continue;
          if (then === 'new leader') cursors = new Map();
          for (let round = 0; round < 3; round++) {
            const next = allocate(view, 1, cursors);
            cursors = next.cursors;
            applyPlan(view, next.plan);
            check(view);
          }
          expect(planAllocation(view, 1)).toEqual([]);
        }
      },
    ),
    { numRuns: 150 },
  );
});
