import { acted } from '../../manager/api/actions.ts';
import { pairingFault } from '../../manager/api/sharing.ts';
import type { Change } from '../../manager/store/objects.ts';
import { defaultRestart, defaultUpdate } from '../../src/spec/defaults.ts';
import type { Network } from '../../src/spec/network.ts';
import type { Node } from '../../src/spec/node.ts';
import type { Mount, Service, ServiceSpec, UpdatePolicy } from '../../src/spec/service.ts';
import { anchorServices } from '../../src/spec/sharing.ts';
import { currentVersion } from '../../src/spec/versions.ts';
import { isTerminal } from '../../src/spec/task.ts';
import { codeOf, messageOf } from '../../src/util/errors.ts';
import { serviceActions, type ServiceAction } from '../../src/wire/api.ts';
import { seededRandom, type Random } from '../../src/util/random.ts';
import { FakeAgent } from './agents.ts';
import { checkAtRest, Safety } from './safety.ts';
import { plainService, World } from './world.ts';

const stepMs = 200;
/** How long faults and changes of mind go on, and how long the cluster then has to become what was asked for. */
const troubledSteps = 300;
const quietSteps = 3_000;
/** The manager calls a silent node down after this many steps. */
const silentSteps = 12;
const nodesMax = 6;
const clockStepMs = 3_600_000;

/** Runs one simulation; throws with the seed in the message when a check fails. The same seed does the same again. */
export async function simulate(seed: number): Promise<{ steps: number }> {
  const random = seededRandom(seed);
  const simulation = new Simulation(await World.open(random), random);
  try {
    await simulation.run();
    return { steps: simulation.steps };
  } catch (cause) {
    const text = `seed ${seed}, step ${simulation.steps}: ${messageOf(cause)} (replay with SIMULATION_SEED=${seed})`;
    throw new Error(text, { cause });
  } finally {
    await simulation.close();
  }
}

class Simulation {
  steps = 0;
  readonly #world: World;
  readonly #random: Random;
  readonly #safety = new Safety();
  readonly #agents = new Map<string, FakeAgent>();
  readonly #silentSince = new Map<string, number>();
  /** Wishes that arrive while the planners plan, from the same view as theirs. */
  #wishes: Change[] = [];
  #images = 0;
  #names = 0;

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
  }

  async close(): Promise<void> {
    await this.#world.database.close();
  }

  async run(): Promise<void> {
    await this.#addNetwork();
    for (let count = 0; count < 3; count++) await this.#addNode();
    for (let count = 0; count < 4; count++) await this.#addService();
    while (this.steps < troubledSteps) {
      if (this.#chance(0.06)) await this.#disturb();
      await this.#step({ crash: 0.002, reject: 0.01 }, 0.8);
    }
    await this.#heal();
    const end = this.steps + quietSteps;
    while (this.steps < end) {
      await this.#step({ crash: 0, reject: 0 }, 1);
      if (this.steps % 10 === 0 && this.#unmet() === undefined) return;
    }
    throw new Error(`does not become what was asked for: ${this.#unmet()}`);
  }

  /** One step of everybody. Planners and agents write at the same time, and each planner is late now and then. */
  async #step(faults: { crash: number; reject: number }, diligence: number): Promise<void> {
    const { clock, view } = this.#world;
    this.steps++;
    clock.advance(stepMs);
    for (const agent of this.#agents.values()) {
      if (agent.connected) agent.receive(view, clock.monotonic());
      agent.step(clock.monotonic(), faults);
    }
    await this.#watchNodes();
    const heard = [...this.#agents.values()].filter(
      (agent) => agent.connected && this.#nodeOf(agent) !== undefined,
    );
    const reports = heard
      .flatMap((agent) => agent.reports(view, this.#world.steady.now()))
      .map((change) => [change]);
    const wishes = this.#wishes.map((change) => [change]);
    this.#wishes = [];
    await this.#world.pass([wishes, reports], () => this.#chance(diligence));
    this.#safety.check(view, this.#agents.values());
    if (this.steps % 10 !== 0) return;
    await this.#world.settle();
    this.#safety.check(view, this.#agents.values());
    checkAtRest(view);
  }

  #nodeOf(agent: FakeAgent): Node | undefined {
    return this.#world.view.nodes.get(agent.nodeId);
  }

  /** What the dispatcher does: a silent node is down, one that is heard again is ready. */
  async #watchNodes(): Promise<void> {
    for (const agent of this.#agents.values()) {
      const node = this.#nodeOf(agent);
      if (node === undefined) continue;
      if (agent.connected) {
        this.#silentSince.delete(agent.nodeId);
        if (node.status.state === 'down') await this.#world.setNodeState(node, 'ready');
        continue;
      }
      const since = this.#silentSince.get(agent.nodeId) ?? this.steps;
      this.#silentSince.set(agent.nodeId, since);
      const silent = this.steps - since >= silentSteps;
      if (silent && node.status.state === 'ready') await this.#world.setNodeState(node, 'down');
    }
  }

  async #disturb(): Promise<void> {
    const agent = this.#pick([...this.#agents.values()])!;
    const node = this.#nodeOf(agent);
    const service = this.#pick([...this.#world.view.services.values()].filter((each) => !each.removing));
    const kind = Math.floor(this.#random.next() * 12);
    if (kind === 10) return this.#disturbTime();
    if (kind === 11) return service && this.#act(service, this.#pick(serviceActions)!);
    if (kind <= 1) agent.connected = !agent.connected;
    else if (kind === 2) {
      agent.connected = false;
      agent.loseEverything(this.#world.clock.monotonic());
    } else if (kind === 3 && node !== undefined) {
      await this.#world.updateNode(node, {
        availability: this.#pick(['active', 'active', 'pause', 'drain'])!,
      });
    } else if (kind === 4 && this.#agents.size < nodesMax) await this.#addNode();
    else if (kind === 5 && node !== undefined && this.#agents.size > 2) await this.#removeNode(node);
    else if (kind === 6 && service !== undefined) await this.#scale(service);
    else if (kind <= 8 && service !== undefined) {
      await this.#newVersion(service, this.#pick(['good', 'good', 'crash', 'missing'])!);
    } else if (service !== undefined && this.#chance(0.3)) {
      for (const object of this.#groupOf(service)) {
        this.#wishes.push({ kind: 'service', action: 'update', object: { ...object, removing: true } });
      }
      await this.#addService();
    }
  }

  /** The manager's clock is set, or the manager starts anew, maybe after its clock was set. */
  #disturbTime(): void {
    if (this.#chance(0.7)) this.#world.clock.step(this.#pick([-clockStepMs, clockStepMs])!);
    if (this.#chance(0.5)) this.#world.restartManager();
  }

  /** A person acts on the service, or is told why that cannot be. */
  async #act(service: Service, action: ServiceAction): Promise<void> {
    const { view, random, steady } = this.#world;
    let object: Service;
    try {
      object = acted(view, service, action, { by: 'somebody', now: steady.now(), random });
    } catch (error) {
      if (codeOf(error) !== 'failed_precondition') throw error;
      return;
    }
    await this.#world.write([{ kind: 'service', action: 'update', object }]);
  }

  /** The trouble ends: everybody is back, and every service is asked for in a version that works. */
  async #heal(): Promise<void> {
    for (const agent of this.#agents.values()) {
      agent.connected = true;
      const node = this.#nodeOf(agent);
      if (node !== undefined) await this.#world.updateNode(node, { availability: 'active' });
    }
    await this.#giveUpLost();
    // A copy: writing moves a service to the end of the view. Those that share were made after those that they share with.
    const services = this.#world.view.services
      .values()
      .toArray()
      .filter(({ removing }) => !removing);
    for (const { id } of services.sort((left, right) => left.createdAt - right.createdAt)) {
      await this.#act(this.#world.view.services.get(id)!, 'start');
      await this.#newVersion(this.#world.view.services.get(id)!, 'good');
      await this.#fitToAnchors(this.#world.view.services.get(id)!);
    }
  }

  /** What was on nodes that have been removed begins anew. */
  async #giveUpLost(): Promise<void> {
    const { view } = this.#world;
    for (const { home, ...volume } of view.volumes.values().toArray()) {
      if (home === undefined || view.nodes.has(home.nodeId)) continue;
      await this.#world.write([{ kind: 'volume', action: 'update', object: volume }]);
    }
  }

  /** A rollback may have brought back more replicas than what the service shares with has by now. */
  async #fitToAnchors({ spec }: Service): Promise<void> {
    const { mode } = spec;
    if (mode.kind === 'global') return;
    const most = Math.min(mode.replicas, ...anchorServices(spec.task).map((name) => this.#replicasOf(name)));
    if (most < mode.replicas)
      await this.#world.apply({ ...spec, mode: { kind: 'replicated', replicas: most } });
  }

  #replicasOf(name: string): number {
    const mode = this.#world.view.serviceByName(name)?.spec.mode;
    return mode?.kind === 'replicated' ? mode.replicas : 0;
  }

  /** The service and all that run beside each other with it. */
  #groupOf(service: Service): Service[] {
    const leader = (one: Service) => one.spec.task.placement.with ?? one.spec.name;
    return [...this.#world.view.services.values()].filter((one) => leader(one) === leader(service));
  }

  /** Why the cluster is not yet what was asked for; undefined when it is. */
  #unmet(): string | undefined {
    const { view } = this.#world;
    for (const service of view.services.values()) {
      const { spec, specVersion, updateStatus, removing } = service;
      if (removing) return `${spec.name} is not removed`;
      const tasks = [...view.tasksOfService(service.id)].filter((task) => !isTerminal(task.status.state));
      const good = tasks.filter(
        (task) => task.status.state === 'running' && task.specVersion === specVersion,
      );
      const wanted = spec.mode.kind === 'replicated' ? spec.mode.replicas : view.nodes.size;
      const states = tasks.map(
        (task) => `${task.slot}:v${task.specVersion} ${task.status.state}→${task.desiredState}`,
      );
      if (good.length !== wanted || tasks.length !== wanted) {
        return `${spec.name} v${specVersion} wants ${wanted}, has ${states.join(', ')}, ${updateStatus?.message}`;
      }
      if (updateStatus !== undefined && !updateStatus.state.endsWith('completed')) {
        return `${spec.name} is ${updateStatus.state}: ${updateStatus.message}`;
      }
      const { state } = currentVersion(service);
      if (wanted > 0 && state !== 'completed') return `${spec.name} v${specVersion} is ${state}`;
    }
    return undefined;
  }

  async #addNode(): Promise<void> {
    this.#names++;
    const node = await this.#world.addNode(`n${this.#names}`);
    this.#agents.set(node.id, new FakeAgent(node.id, this.#random));
  }

  async #removeNode(node: Node): Promise<void> {
    this.#agents.delete(node.id);
    await this.#world.write([{ kind: 'node', action: 'delete', object: node }]);
  }

  async #addNetwork(): Promise<void> {
    const object: Network = {
      ...this.#world.meta(),
      spec: { name: 'sim_default', application: 'sim', labels: {}, internal: false },
      bridgeAddresses: {},
      removing: false,
    };
    await this.#world.write([{ kind: 'network', action: 'create', object }]);
  }

  async #addService(): Promise<void> {
    this.#names++;
    const plain = plainService(`s${this.#names}`);
    const spec: ServiceSpec = {
      ...plain,
      mode: this.#chance(0.2) ? { kind: 'global' } : { kind: 'replicated', replicas: this.#upTo(6) },
      update: this.#policy(['pause', 'continue', 'rollback']),
      rollback: this.#policy(['pause', 'continue']),
      task: {
        ...plain.task,
        networks: [{ name: 'sim_default', aliases: [] }],
        restart: {
          ...defaultRestart,
          delayMs: this.#pick([0, 1_000, 5_000])!,
          maxAttempts: this.#pick([0, 0, 3])!,
        },
      },
    };
    const beside = this.#chance(0.5) ? this.#besideAnother(spec) : spec;
    // What runs beside another goes where that one is, wherever a volume may be.
    const isFree = beside.task.placement.with === undefined;
    await this.#applyOnce(isFree && this.#chance(0.4) ? await this.#withVolume(beside) : beside);
  }

  /** The service with a volume, which others may have as well. */
  async #withVolume(spec: ServiceSpec): Promise<ServiceSpec> {
    const source = this.#pick(['sim_one', 'sim_two', `sim_${spec.key}`])!;
    await this.#world.addVolume(source);
    const mounts: Mount[] = [{ type: 'volume', source, target: '/data', readOnly: false }];
    return { ...spec, task: { ...spec.task, container: { ...spec.task.container, mounts } } };
  }

  async #applyOnce(spec: ServiceSpec): Promise<void> {
    // One order for both directions, so that a stop-first service never runs two of a slot.
    await this.#world.apply({ ...spec, rollback: { ...spec.rollback, order: spec.update.order } });
  }

  /** The service as one that runs beside another, and most often shares with it, and now and then with a third. */
  #besideAnother(spec: ServiceSpec): ServiceSpec {
    const leaving = new Set(this.#wishes.map(({ object }) => object.id));
    const others = [...this.#world.view.services.values()].filter(
      ({ id, removing }) => !removing && !leaving.has(id),
    );
    const other = this.#pick(others);
    if (other === undefined) return spec;
    const { mode } = other.spec;
    const group = this.#groupOf(other).filter(
      (one) =>
        one.spec.mode.kind === 'global' ||
        this.#replicasOf(one.spec.name) >= this.#replicasOf(other.spec.name),
    );
    const third = this.#chance(0.3) ? this.#pick(group) : undefined;
    const leader = other.spec.task.placement.with ?? other.spec.name;
    return {
      ...spec,
      mode:
        mode.kind === 'global' ? mode : { kind: 'replicated', replicas: this.#upTo(mode.replicas + 1) - 1 },
      task: {
        ...spec.task,
        networks: [],
        placement: { ...spec.task.placement, with: leader },
        ...(this.#chance(0.8) && {
          sharing: { network: other.spec.name, ...(third && { pid: third.spec.name }) },
        }),
      },
    };
  }

  #policy(actions: UpdatePolicy['failureAction'][]): UpdatePolicy {
    return {
      ...defaultUpdate,
      parallelism: this.#pick([0, 1, 1, 2])!,
      delayMs: this.#pick([0, 0, 1_000])!,
      monitorMs: this.#pick([1_000, 5_000])!,
      failureAction: this.#pick(actions)!,
      maxFailureRatio: this.#pick([0, 0, 0.5])!,
      order: this.#pick(['stop-first', 'start-first'])!,
    };
  }

  async #scale(service: Service): Promise<void> {
    if (service.spec.mode.kind !== 'replicated') return;
    const spec: ServiceSpec = { ...service.spec, mode: { kind: 'replicated', replicas: this.#upTo(8) - 1 } };
    const others = [...this.#world.view.services.values()].map((one) => one.spec);
    // As the API does.
    if (pairingFault(spec, others) === undefined) await this.#world.apply(spec);
  }

  async #newVersion(service: Service, image: string): Promise<void> {
    const spec = structuredClone(service.spec);
    this.#images++;
    spec.task.container.image = `${image}-${this.#images}`;
    await this.#world.apply(spec);
  }

  #chance(probability: number): boolean {
    return this.#random.next() < probability;
  }

  #upTo(most: number): number {
    return 1 + Math.floor(this.#random.next() * most);
  }

  #pick<T>(from: readonly T[]): T | undefined {
    return from[Math.floor(this.#random.next() * from.length)];
  }
}
