import { receivedStatus } from '../../manager/dispatcher/statuses.ts';
import { planAllocation } from '../../manager/allocator/plan.ts';
import { planReaping } from '../../manager/orchestrator/reaper.ts';
import { planRemoval } from '../../manager/orchestrator/removal.ts';
import { Scope, type Services } from '../../manager/orchestrator/scope.ts';
import { planServices, type TimedPlan } from '../../manager/orchestrator/services.ts';
import { openDatabase } from '../../manager/store/database.ts';
import { planSchedule } from '../../manager/scheduler/plan.ts';
import { createMemoryStore } from '../../manager/store/memory.ts';
import type { Change, Database, Plan } from '../../manager/store/objects.ts';
import { changeService, createService } from '../../src/spec/change.ts';
import { defaultAddressPool } from '../../src/spec/defaults.ts';
import type { Node } from '../../src/spec/node.ts';
import type { Service, ServiceSpec } from '../../src/spec/service.ts';
import type { Task, TaskStatus } from '../../src/spec/task.ts';
import type { Clock } from '../../src/util/clock.ts';
import { assert } from '../../src/util/errors.ts';
import type { Random } from '../../src/util/random.ts';
import { steadyClock } from '../../src/util/steady-clock.ts';
import { sampleContainer, sampleSpec, sampleTemplate } from '../samples.ts';

/** Time that only moves when it is told to. */
export class FakeClock implements Clock {
  #now = 1_000_000;
  /** How far the wall clock has been set away from the time that has passed (ms). */
  #stepMs = 0;
  #timers: { at: number; callback: () => void }[] = [];

  now(): number {
    return this.#now + this.#stepMs;
  }

  monotonic(): number {
    return this.#now;
  }

  /** Sets the wall clock forward or, with a negative number, back; no time passes. */
  step(ms: number): void {
    this.#stepMs += ms;
  }

  /** Moves the time on and fires what became due, in order. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= until).sort((left, right) => left.at - right.at)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.#now = Math.max(this.#now, due.at);
      due.callback();
    }
    this.#now = until;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + ms, callback };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.after(ms, resolve);
      signal?.addEventListener('abort', () => {
        cancel();
        reject(signal.reason as Error);
      });
    });
  }
}

/** A planner that still finds work after this many passes without any change from outside never comes to rest. */
const passesMax = 30;

interface Planned {
  plan: Plan;
  /** What to do when not all of it could be written. */
  again?: () => void;
}

/** A planner that looks at what the scope has collected. */
function scoped(scope: Scope, now: number, plan: (services: Services) => TimedPlan): () => Planned {
  return () => {
    const services = scope.take(now);
    const planned = plan(services);
    for (const { error } of planned.faults ?? []) throw error as Error;
    scope.set(services, planned.due);
    return { plan: planned.plan, again: () => scope.giveBack(services) };
  };
}

/** The manager's real planners over the real view and the in-memory store; everything outside is moved by the test. */
export class World {
  readonly clock: FakeClock;
  /** With the clock that the manager stamps and plans by. */
  readonly #manager: { steady: Clock };
  /** How far the clocks of the hosts are from the manager's (ms). */
  hostClockMs = 0;
  readonly random: Random;
  /** What each of the orchestrator's planners has to look at. */
  #scopes: Scope[] = [];
  readonly database: Database & { close(): Promise<void> };
  /** When the planners asked to be run again (ms). */
  wakeAt: number | undefined;

  private constructor(
    clock: FakeClock,
    manager: { steady: Clock },
    random: Random,
    database: Database & { close(): Promise<void> },
  ) {
    this.clock = clock;
    this.#manager = manager;
    this.random = random;
    this.database = database;
    this.#scopes = [1, 2, 3].map(() => new Scope(database.view));
    database.onChange((change) => {
      for (const scope of this.#scopes) scope.note(change);
    });
  }

  static async open(random: Random): Promise<World> {
    const clock = new FakeClock();
    const manager = { steady: steadyClock(clock) };
    // The database of a manager that has started anew has that one's clock.
    const current = { ...manager.steady, now: () => manager.steady.now() };
    const world = new World(clock, manager, random, await openDatabase(createMemoryStore(), current));
    await world.write([
      {
        kind: 'cluster',
        action: 'create',
        object: {
          ...world.meta('cluster'),
          clusterId: 'simulated',
          certificateAuthority: { certificatePem: '', privateKeyPem: '' },
          joinSecrets: { manager: '', worker: '' },
          addressPool: defaultAddressPool,
          subnetPrefix: 24,
        },
      },
    ]);
    return world;
  }

  get steady(): Clock {
    return this.#manager.steady;
  }

  get view(): Database['view'] {
    return this.database.view;
  }

  /** The manager ends and starts again: what it knows is in the store, and its clock begins with the wall clock. */
  restartManager(): void {
    this.#manager.steady = steadyClock(this.clock);
    this.#scopes = this.#scopes.map(() => new Scope(this.view));
  }

  meta(id = this.random.id()) {
    const now = this.steady.now();
    return { id, createdAt: now, updatedAt: now, revision: 0 };
  }

  /** Writes changes that belong together; they must not conflict. */
  async write(changes: Change[]): Promise<void> {
    const { conflicts } = await this.database.write([changes]);
    assert(conflicts === 0, 'nobody else writes now');
  }

  /**
   * Every planner for which `takesPart` holds looks at the same view and writes its plan, all at once with the `others`:
   * some meet conflicts. Gives whether any wrote. As in a manager, the orchestrator looks at what has changed alone.
   */
  async pass(others: Plan[] = [], takesPart: () => boolean = () => true): Promise<boolean> {
    const { view, random } = this;
    const now = this.steady.now();
    const [services, reaping, removal] = this.#scopes;
    const planners: (() => Planned)[] = [
      scoped(services!, now, (scope) => planServices(view, now, random, scope)),
      scoped(reaping!, now, (scope) => planReaping(view, now, scope)),
      scoped(removal!, now, (scope) => ({ plan: planRemoval(view, scope), due: new Map() })),
      () => ({ plan: planAllocation(view, now) }),
      () => ({ plan: planSchedule(view, now) }),
    ];
    const planned = planners.filter(() => takesPart()).map((plan) => plan());
    const wrote = [...others.map((plan): Planned => ({ plan })), ...planned].filter(
      ({ plan }) => plan.length > 0,
    );
    const times = this.#scopes.map(({ wakeAt }) => wakeAt).filter((time) => time !== undefined);
    this.wakeAt = times.length === 0 ? undefined : Math.min(...times);
    await Promise.all(
      wrote.map(async ({ plan, again }) => {
        const { conflicts } = await this.database.write(plan);
        if (conflicts > 0) again?.();
      }),
    );
    return wrote.length > 0;
  }

  /** Runs the planners until none has anything left to do; then none must find more when it looks at everything. */
  async settle(): Promise<void> {
    for (let passes = 0; passes < passesMax; passes++) {
      if (await this.pass()) continue;
      const { view, random } = this;
      const now = this.steady.now();
      const missed = [
        ...planServices(view, now, random).plan,
        ...planReaping(view, now).plan.filter(([change]) => change?.kind !== 'template'),
        ...planRemoval(view),
      ].flat();
      const unused = view.unusedTemplates();
      await this.database.write(unused.map((object) => [{ kind: 'template', action: 'delete', object }]));
      assert(view.unusedTemplates().length === 0, 'templates go with the last task');
      assert(missed.length === 0, `nothing was overlooked: ${JSON.stringify(missed[0])?.slice(0, 500)}`);
      return;
    }
    throw new Error(`the planners did not come to rest in ${passesMax} passes`);
  }

  async addNode(hostname: string): Promise<Node> {
    const node: Node = {
      ...this.meta(),
      role: 'worker',
      availability: 'active',
      labels: {},
      description: {
        hostname,
        address: `192.0.2.${this.view.nodes.size + 1}`,
        os: 'linux',
        architecture: 'amd64',
        nanoCpus: 4e9,
        memoryBytes: 8 * 2 ** 30,
        engine: { name: 'simulated', version: '1', labels: {} },
        shoalVersion: '0',
      },
      status: { state: 'ready', since: this.steady.now(), message: '' },
    };
    await this.write([{ kind: 'node', action: 'create', object: node }]);
    return this.view.nodes.get(node.id)!;
  }

  /** The volume, made unless it is there. */
  async addVolume(name: string): Promise<void> {
    if (this.view.volumes.values().some(({ spec }) => spec.name === name)) return;
    const object = { ...this.meta(), spec: { name, application: 'sim', labels: {} } };
    await this.write([{ kind: 'volume', action: 'create', object }]);
  }

  nodeByName(hostname: string): Node {
    const found = [...this.view.nodes.values()].find((node) => node.description?.hostname === hostname);
    assert(found !== undefined, `there is a node ${hostname}`);
    return found;
  }

  async setNodeState(node: Node, state: Node['status']['state']): Promise<void> {
    await this.updateNode(node, { status: { state, since: this.steady.now(), message: '' } });
  }

  async updateNode(node: Node, change: Partial<Node>): Promise<void> {
    const object = { ...this.view.nodes.get(node.id)!, ...change };
    await this.write([{ kind: 'node', action: 'update', object }]);
  }

  /** Stores the wish as the API does. */
  async apply(spec: ServiceSpec): Promise<void> {
    const service = this.view.serviceByName(spec.name);
    const origin = { cause: 'up' as const, now: this.steady.now(), random: this.random };
    if (service === undefined) {
      const object: Service = { ...createService(this.meta(), spec, origin), dependenciesMet: true };
      return this.write([{ kind: 'service', action: 'create', object }]);
    }
    return this.write([{ kind: 'service', action: 'update', object: changeService(service, spec, origin) }]);
  }

  async remove(name: string): Promise<void> {
    const service = this.view.serviceByName(name);
    assert(service !== undefined, `there is a service ${name}`);
    await this.write([{ kind: 'service', action: 'update', object: { ...service, removing: true } }]);
  }

  /** What an agent reports. */
  async report(task: Task, status: Partial<TaskStatus> & { state: TaskStatus['state'] }): Promise<void> {
    await this.write([this.reported(task, status)]);
  }

  /** The same as a change, to be written together with others. */
  reported(task: Task, status: Partial<TaskStatus> & { state: TaskStatus['state'] }): Change {
    const at = this.clock.now() + this.hostClockMs;
    const startedAt = status.state === 'running' ? { startedAt: at } : {};
    const told: TaskStatus = { ...task.status, at, message: '', ...startedAt, ...status };
    const next = receivedStatus(task, told, this.steady.now());
    assert(next !== undefined, `the task may move from ${task.status.state} to ${status.state}`);
    return { kind: 'task', action: 'update', object: { ...task, status: next } };
  }
}

/** A service with every default, of one replica. */
export function plainService(name: string, changes: Partial<ServiceSpec> = {}): ServiceSpec {
  const task = sampleTemplate({ container: sampleContainer({ image: 'one' }) });
  return sampleSpec(name, { name, application: 'sim', task, ...changes });
}
