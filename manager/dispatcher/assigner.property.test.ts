import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sampleNode, sampleService, sampleTask, sampleTemplate } from '../../test/samples.ts';
import type { Network } from '../../src/spec/network.ts';
import type { Node } from '../../src/spec/node.ts';
import type { Secret } from '../../src/spec/resource.ts';
import type { Service } from '../../src/spec/service.ts';
import { taskStates, type Task } from '../../src/spec/task.ts';
import { unreachable } from '../../src/util/errors.ts';
import type { AssignmentPut, ManagerMessage } from '../../src/wire/session.ts';
import type { ObjectChange } from '../store/objects.ts';
import { MutableView } from '../store/view.ts';
import { Assigner, type Recipient } from './assigner.ts';
import { assignmentsFromScratch } from './from-scratch.ts';
import type { Fragment, Increment } from './fragment.ts';
import { SentState } from './knowledge.ts';
import { Outgoing } from './messages.ts';

const meta = { createdAt: 0, updatedAt: 0, revision: 0 };
const nodeIds = ['a', 'b', 'c'];
const networkNames = ['front', 'back', 'side'];

/** One agent and its session: it takes messages in and lets its kernel follow when it is told to. */
class Agent implements Recipient {
  readonly nodeId: string;
  readonly state = new SentState();
  wantsComplete = true;
  isBusy = false;
  /** All that it was told, by `KIND/ID`. */
  readonly told = new Map<string, AssignmentPut>();
  /** Messages that its kernel does not match yet. */
  inbox: Extract<ManagerMessage, { type: 'assignments' }>[] = [];
  /** Endpoints that its kernel sends connections to. */
  readonly kernel: Set<string>;
  #replaces = true;
  readonly #outgoing = new Outgoing(() => this.state.nextSequence());

  constructor(nodeId: string, kernel: Set<string>) {
    this.nodeId = nodeId;
    this.kernel = kernel;
  }

  complete(fragments: readonly Fragment[]): void {
    const numbered = (sequence: number) => this.state.completed(sequence);
    this.#send({ mode: 'complete', puts: fragments, removals: [], numbered });
  }

  advance({ puts, removals, removedEndpoints }: Increment): void {
    const numbered = (sequence: number) => this.state.removed(removedEndpoints, sequence);
    this.#send({ mode: 'incremental', puts, removals, numbered });
  }

  #send(batch: Parameters<Outgoing['push']>[0]): void {
    this.#outgoing.push(batch);
    for (let text = this.#outgoing.next(); text !== undefined; text = this.#outgoing.next()) {
      const message = JSON.parse(text) as Extract<ManagerMessage, { type: 'assignments' }>;
      this.inbox.push(message);
      if (message.mode === 'complete' && this.#replaces) this.told.clear();
      this.#replaces = !message.more;
      const keys = message.put.map(({ kind, value }) => `${kind}/${value.id}`);
      expect(new Set(keys).size).toBe(keys.length);
      for (const { kind, id } of message.remove) {
        expect([...keys, ...this.told.keys()]).toContain(`${kind}/${id}`);
        this.told.delete(`${kind}/${id}`);
      }
      for (const put of message.put) this.told.set(`${put.kind}/${put.value.id}`, put);
      if (!message.more) this.#checkTemplates();
    }
  }

  /** No message leaves a task without its template. */
  #checkTemplates(): void {
    for (const { kind, value } of this.told.values())
      if (kind === 'task') expect(this.told.has(`template/${value.templateId}`)).toBe(true);
  }

  /** The kernel follows the next message; gives the number to confirm. */
  apply(): number | undefined {
    const message = this.inbox.shift();
    if (message === undefined) return undefined;
    if (message.mode === 'complete') this.kernel.clear();
    for (const { kind, id } of message.remove) if (kind === 'endpoint') this.kernel.delete(id);
    for (const { kind, value } of message.put) if (kind === 'endpoint') this.kernel.add(value.id);
    return message.sequence;
  }
}

const anyOf = <T>(...values: T[]) => fc.constantFrom(...values);
const maybe = fc.boolean();
const slot = fc.integer({ min: 1, max: 4 });
const serviceId = anyOf('web', 'api', 'job');
const networkName = anyOf(...networkNames);
const nodeId = anyOf(...nodeIds);

const anyStep = fc.oneof(
  fc.record({ what: fc.constant('node' as const), nodeId, isDown: maybe, address: fc.nat({ max: 2 }) }),
  fc.record({ what: fc.constant('dropNode' as const), nodeId }),
  fc.record({
    what: fc.constant('network' as const),
    name: networkName,
    generation: fc.nat({ max: 1 }),
    bridges: fc.subarray(nodeIds),
    isPlaced: maybe,
    internal: maybe,
  }),
  fc.record({ what: fc.constant('dropNetwork' as const), name: networkName, generation: fc.nat({ max: 1 }) }),
  fc.record({
    what: fc.constant('service' as const),
    serviceId,
    networks: fc.subarray(networkNames),
    isAllocated: maybe,
    isPublished: maybe,
    version: fc.nat({ max: 3 }),
  }),
  fc.record({ what: fc.constant('dropService' as const), serviceId }),
  {
    weight: 6,
    arbitrary: fc.record({
      what: fc.constant('task' as const),
      serviceId,
      slot,
      nodeId,
      state: anyOf(...taskStates.slice(0, -1)),
      desiredState: anyOf('ready' as const, 'running' as const, 'shutdown' as const, 'remove' as const),
      attached: fc.subarray(networkNames),
      age: fc.nat({ max: 2 }),
      hasFiles: maybe,
      version: fc.nat({ max: 2 }),
      anchor: fc.option(slot, { nil: undefined }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ what: fc.constant('stop' as const), serviceId, slot }) },
  fc.record({ what: fc.constant('dropTask' as const), serviceId, slot }),
  fc.record({ what: fc.constant('secret' as const), isThere: maybe }),
  { weight: 3, arbitrary: fc.record({ what: fc.constant('join' as const), nodeId }) },
  fc.record({ what: fc.constant('leave' as const), nodeId }),
  fc.record({ what: fc.constant('resync' as const), nodeId }),
  { weight: 8, arbitrary: fc.record({ what: fc.constant('apply' as const), nodeId, confirms: maybe }) },
  { weight: 5, arbitrary: fc.record({ what: fc.constant('pass' as const) }) },
);
type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never;

class World {
  readonly view = new MutableView();
  readonly assigner = new Assigner(this.view);
  readonly agents = new Map<string, Agent>();
  readonly kernels = new Map(nodeIds.map((id) => [id, new Set<string>()]));
  drained: ReadonlySet<string> = new Set();

  perform(step: Step): void {
    const change = this.#change(step);
    if (change !== undefined) this.assigner.note({ kinds: new Set(), objects: [change] });
    else if (step.what === 'pass') this.pass();
  }

  pass(): void {
    for (const agent of this.agents.values()) {
      const state = this.view.nodes.get(agent.nodeId)?.status.state;
      if (state === 'down' || state === undefined) this.#leave(agent.nodeId);
    }
    ({ drained: this.drained } = this.assigner.pass(0));
    for (const agent of this.agents.values()) this.#check(agent);
  }

  #check(agent: Agent): void {
    const simple = (put: AssignmentPut) => ({ ...put, value: { ...put.value, status: 0 } });
    const told = new Map([...agent.told].map(([key, put]) => [key, simple(put)]));
    const wanted = [...assignmentsFromScratch(this.view, agent.nodeId, this.drained)].map(
      ([key, put]) => [key, simple(JSON.parse(JSON.stringify(put)) as AssignmentPut)] as const,
    );
    expect(told).toEqual(new Map(wanted));
    for (const { kind, value } of agent.told.values()) {
      if (kind !== 'task' || value.status.state !== 'running' || value.attachments.length === 0) continue;
      if (value.desiredState === 'running' || value.desiredState === 'ready') continue;
      // It is told to stop: no kernel that a session tells of may send connections there.
      for (const other of this.agents.values()) expect([...other.kernel]).not.toContain(value.id);
    }
  }

  #change(step: Step): ObjectChange | undefined {
    const { view } = this;
    switch (step.what) {
      case 'node':
        return view.put('node', nodeOf(step));
      case 'dropNode':
        return view.remove('node', step.nodeId);
      case 'network': {
        const other = view.networkByName(`app_${step.name}`);
        const network = networkOf(step);
        return other === undefined || other.id === network.id ? view.put('network', network) : undefined;
      }
      case 'dropNetwork':
        return view.remove('network', `${step.name}${step.generation}`);
      case 'service':
        return view.put('service', serviceOf(step));
      case 'dropService':
        return view.remove('service', step.serviceId);
      case 'task':
        return view.put('task', taskOf(step));
      case 'stop': {
        const task = view.tasks.get(`${step.serviceId}-${step.slot}`);
        return task && view.put('task', { ...task, desiredState: 'shutdown' });
      }
      case 'dropTask':
        return view.remove('task', `${step.serviceId}-${step.slot}`);
      case 'secret':
        return step.isThere ? view.put('secret', secret) : view.remove('secret', secret.id);
      case 'join':
        this.#join(step.nodeId);
        return undefined;
      case 'leave':
        this.#leave(step.nodeId);
        return undefined;
      case 'resync': {
        const agent = this.agents.get(step.nodeId);
        if (agent !== undefined) agent.wantsComplete = true;
        return undefined;
      }
      case 'apply': {
        const agent = this.agents.get(step.nodeId);
        const sequence = agent?.apply();
        if (agent !== undefined && sequence !== undefined && step.confirms)
          this.assigner.applied(agent, sequence);
        return undefined;
      }
      case 'pass':
        return undefined;
      default:
        return unreachable(step);
    }
  }

  #join(nodeId: string): void {
    if (this.view.nodes.get(nodeId)?.status.state !== 'ready') return;
    this.#leave(nodeId);
    const agent = new Agent(nodeId, this.kernels.get(nodeId)!);
    this.agents.set(nodeId, agent);
    this.assigner.add(agent);
  }

  #leave(nodeId: string): void {
    const agent = this.agents.get(nodeId);
    this.agents.delete(nodeId);
    if (agent !== undefined) this.assigner.remove(agent);
  }
}

type Of<What extends Step['what']> = Extract<Step, { what: What }>;

function nodeOf({ nodeId, isDown, address }: Of<'node'>): Node {
  const description = { ...sampleNode(nodeId).description!, address: `192.0.2.${address}` };
  const status = { state: isDown ? ('down' as const) : ('ready' as const), since: 0, message: '' };
  const node = sampleNode(nodeId, { description, status });
  if (address === 0) delete node.description; // it has not told yet
  return node;
}

function networkOf({ name, generation, bridges, isPlaced, internal }: Of<'network'>): Network {
  return {
    ...meta,
    id: `${name}${generation}`,
    spec: { name: `app_${name}`, application: 'app', labels: {}, internal },
    ...(isPlaced && { vni: 4096, subnet: '10.64.0.0/20' }),
    bridgeAddresses: Object.fromEntries(bridges.map((id) => [id, `10.64.0.${nodeIds.indexOf(id) + 2}`])),
    removing: false,
  };
}

function serviceOf({ serviceId, networks, isAllocated, isPublished, version }: Of<'service'>): Service {
  const task = sampleTemplate({
    networks: networks.map((name) => ({ name: `app_${name}`, aliases: [`v${version}`] })),
  });
  const openPorts = [{ target: 80, published: 8080, protocol: 'tcp' as const }];
  const ports = isPublished ? openPorts : [];
  const virtualAddresses = { front0: '10.64.8.1', back1: '10.64.8.2' };
  // Every other version has one before it that still serves, on both networks.
  const references = ['back', 'front'].map((name) => ({ name: `app_${name}`, aliases: ['before'] }));
  const before = { upTo: 1, ports: openPorts, networks: references };
  const endpoint = { virtualAddresses, ports, ...(version % 2 === 1 && { former: [before] }) };
  return sampleService(serviceId, { task }, isAllocated ? { endpoint } : {});
}

function taskOf(step: Of<'task'>): Task {
  const { serviceId, slot, nodeId, state, desiredState, attached, age, hasFiles, version, anchor } = step;
  const template = sampleTemplate({ forceUpdate: version });
  const file = { name: 'app_key', target: '/key', uid: 0, gid: 0, mode: 0o444 };
  const container = { ...template.container, secrets: hasFiles ? [file] : [] };
  return sampleTask(sampleService(serviceId), slot, {
    createdAt: age,
    template: { ...template, container },
    nodeId,
    desiredState,
    status: { state, at: 0, message: '' },
    // Few addresses, so that some have two holders.
    attachments: attached.map((name) => ({ networkId: `${name}0`, address: `10.64.1.${slot}`, aliases: [] })),
    ...(anchor !== undefined && serviceId === 'job' && { anchors: { app_web: `web-${anchor}` } }),
  });
}

const secret: Secret = {
  ...meta,
  id: 'key',
  spec: { name: 'app_key', application: 'app', labels: {}, data: 'eA==' },
};

test('after any history each node was told just what it would be told from scratch, and nothing stops before its endpoint is gone', () => {
  fc.assert(
    fc.property(fc.array(anyStep, { minLength: 20, maxLength: 120, size: 'max' }), (steps) => {
      const world = new World();
      for (const id of nodeIds)
        world.perform({ what: 'node', nodeId: id, isDown: false, address: 1 + nodeIds.indexOf(id) });
      for (const step of steps) world.perform(step);
      world.pass();
    }),
    { numRuns: Number(process.env['ASSIGNER_RUNS'] ?? 300) },
  );
});
