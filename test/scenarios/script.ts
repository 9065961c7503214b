import type { RestartPolicy, ServiceSpec, UpdatePolicy, UpdateStatus } from '../../src/spec/service.ts';
import { missingHostPath, neededHostPaths } from '../../src/spec/host-path.ts';
import { currentVersion } from '../../src/spec/versions.ts';
import { isTerminal, taskStates, type Task, type TaskState, type TaskStatus } from '../../src/spec/task.ts';
import type { View } from '../../manager/store/objects.ts';
import { assert, codeOf, messageOf } from '../../src/util/errors.ts';
import { seededRandom } from '../../src/util/random.ts';
import { acted } from '../../manager/api/actions.ts';
import { planApply } from '../../manager/api/apply.ts';
import { asked, cancelled } from '../../manager/api/volume-moves.ts';
import { arrived, stopping } from '../../manager/mover/state.ts';
import { applicationStatus } from '../../manager/api/status.ts';
import { scaled } from '../../manager/api/scaling.ts';
import { assess, endOf, wishOf, type Wish } from '../../src/cli/verdict.ts';
import { serviceActions } from '../../src/wire/api.ts';
import { sampleNetwork } from '../samples.ts';
import { shoal } from './shoal.ts';
import { plainService, World } from '../simulation/world.ts';

/**
 * One scenario: commands, one a line, each with what the cluster did after it. The planners run until they rest after
 * every command, and each takes a millisecond. A task is called SERVICE.SLOT/NUMBER, the number counting the tasks ever made in the slot.
 *
 *     nodes N                          N ready nodes n1, n2, …
 *     node NAME down|ready|active|pause|drain|remove|KEY=VALUE
 *     network SUBNET                   the network `app_net`
 *     service NAME [replicas=N|global] [image=X] [constraint=…] [memory=MIB] [address=IP on app_net] [volume=NAME] [bind=/only/NODE] [restart.KEY=V] [update.KEY=V] [rollback.KEY=V]
 *             [shares=OTHER] [beside=OTHER] [follows=OTHER]
 *                                      makes the service or changes what is named; `shares` joins the other's network, `beside`
 *                                      names the one that leads the group, and `follows` one with which it restarts
 *     up APP FOLDER NAME[:PORT],… [--yes] [--remove-orphans] [image=X] [constraint=…] [memory=MIB]
 *                                      `shoal up` in the folder, with what it refuses, and of services APP_NAME what it changes
 *     verdicts                         what each `up` so far, the first one first, would end with now, and what it would say
 *     scale NAME N                     `shoal scale`
 *     act NAME rollback|restart|pause|resume|stop|start [VERSION]    as the commands of these names, with what they refuse
 *     move VOLUME NODE|--cancel        `shoal volume move`, with what it refuses
 *     moved VOLUME stopping|done       how far the move has come
 *     remove NAME                      `down` of the service
 *     task NAME STATE                  its agent reports the state
 *     fail NAME [exit=N] [message]     its agent reports that it failed
 *     run                              agents do what they are told, at once (images called `missing` are rejected, and binds by hosts of other names)
 *     stop NAME                        the agent reports that a task it was told to stop has stopped
 *     clock DURATION                   the manager's wall clock is set forward, or back by a negative one; no time passes
 *     hostclock DURATION               the clocks of all hosts are that far from the manager's
 *     restart                          the manager ends and starts again
 *     tick DURATION                    time passes, in steps of the planners' own wake-ups
 *     shoal WORDS                      what a command prints that only looks: `shoal ls`, `shoal ps -p APP`, …
 *     show                             everything
 */
export class Script {
  readonly #world: World;
  readonly #numbers = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  /** What each `up` so far has asked for. */
  readonly #wishes: { application: string; wish: Wish }[] = [];

  private constructor(world: World) {
    this.#world = world;
  }

  static async open(): Promise<Script> {
    return new Script(await World.open(seededRandom(1)));
  }

  async close(): Promise<void> {
    await this.#world.database.close();
  }

  /** Runs one command; gives what it showed or changed, in lines. */
  async run(line: string): Promise<string[]> {
    const [command = '', ...words] = line.split(/\s+/);
    if (command === 'show') return this.#show();
    if (command === 'verdicts') return this.#verdicts();
    if (command === 'shoal') return await shoal(this.#world, words);
    const before = this.#snapshot();
    this.#world.clock.advance(1);
    const said = command === 'up' ? await this.#up(words) : await this.#refusalOf(command, words);
    if (command !== 'tick') await this.#world.settle();
    const changes = difference(before, this.#snapshot());
    return changes.length === 0 ? [...said, 'nothing changes'] : [...said, ...changes];
  }

  /** What people ask for may be refused; anything else that goes wrong is the script's fault. */
  async #refusalOf(command: string, words: string[]): Promise<string[]> {
    try {
      await this.#execute(command, words);
      return [];
    } catch (error) {
      if (codeOf(error) !== 'failed_precondition') throw error;
      return [`refused: ${messageOf(error)}`];
    }
  }

  async #execute(command: string, words: string[]): Promise<void> {
    const [name = '', ...rest] = words;
    const world = this.#world;
    switch (command) {
      case 'nodes':
        for (let number = 1; number <= Number(name); number++) await world.addNode(`n${number}`);
        return;
      case 'node':
        return this.#node(name, rest[0] ?? '');
      case 'network':
        return world.write([{ kind: 'network', action: 'create', object: sampleNetwork('net', name) }]);
      case 'service':
        for (const word of rest) if (word.startsWith('volume=')) await world.addVolume(word.slice(7));
        return world.apply(readService(world.view.serviceByName(name)?.spec ?? plainService(name), rest));
      case 'scale':
        return this.#scale(name, Number(rest[0]));
      case 'act':
        return this.#act(name, rest);
      case 'move':
      case 'moved':
        return this.#move(name, command, rest[0] ?? '');
      case 'remove':
        return world.remove(name);
      case 'task':
        return world.report(this.#task(name), { state: readState(rest[0]) });
      case 'stop':
        return world.report(this.#task(name), { state: 'shutdown' });
      case 'fail':
        return this.#fail(this.#task(name), rest);
      case 'run':
        return this.#obey();
      case 'clock':
        return world.clock.step(readDuration(name));
      case 'hostclock':
        world.hostClockMs = readDuration(name);
        return;
      case 'restart':
        return world.restartManager();
      case 'tick':
        return this.#tick(readDuration(name));
      default:
        throw new Error(`no such command: ${command}`);
    }
  }

  async #move(name: string, command: 'move' | 'moved', word: string): Promise<void> {
    const { view, random, steady } = this.#world;
    const now = steady.now();
    const volume = [...view.volumes.values()].find(({ spec }) => spec.name === name);
    assert(volume !== undefined, `there is a volume ${name}`);
    const moveId = volume.move?.id ?? '';
    const changed = () => {
      if (command === 'moved')
        return word === 'done' ? arrived(volume, moveId, now) : stopping(volume, moveId, now);
      if (word === '--cancel') return cancelled(volume, 'cancelled by alice', now);
      const node = this.#world.nodeByName(word);
      return asked(view, volume, node, { what: 'move', node: word }, { id: random.id(), by: 'alice', now });
    };
    await this.#world.write([{ kind: 'volume', action: 'update', object: changed() }]);
  }

  async #act(name: string, [word, version]: string[]): Promise<void> {
    const { view, random, steady } = this.#world;
    const action = serviceActions.find((known) => known === word);
    const service = view.serviceByName(name);
    assert(action !== undefined && service !== undefined, `${word} is an action, and ${name} a service`);
    const object = acted(view, service, action, {
      by: 'alice',
      now: steady.now(),
      random,
      version: version === undefined ? undefined : Number(version),
    });
    await this.#world.write([{ kind: 'service', action: 'update', object }]);
  }

  /** What the person is told; a refusal writes nothing. */
  async #up([application = '', folder = '', names = '', ...words]: string[]): Promise<string[]> {
    const { view, random, steady } = this.#world;
    const settings = words.filter((word) => !word.startsWith('--'));
    const services = names.split(',').map((name) => {
      const [key = '', port] = name.split(':');
      const plain = plainService(`${application}_${key}`, { application, key });
      const ports =
        port === undefined
          ? []
          : [{ published: Number(port), target: 80, protocol: 'tcp' as const, mode: 'ingress' as const }];
      return readService({ ...plain, ports }, settings);
    });
    const nothing = { networks: [], volumes: [], secrets: [], configs: [] };
    const spec = { name: application, services, ...nothing, origin: { machine: 'desk', folder } };
    try {
      const plan = planApply(view, spec, {
        now: steady.now(),
        by: 'alice',
        random,
        takesOver: words.includes('--yes'),
        removeOrphans: words.includes('--remove-orphans'),
      });
      await this.#world.write(plan.group);
      this.#wishes.push({ application, wish: wishOf({ ...plan, application, revision: view.revision }) });
      return plan.changes.map(({ name, action, differences = [] }) =>
        [`${action} ${name}`, differences.join('; ')].filter(Boolean).join(': '),
      );
    } catch (error) {
      return [`refused: ${messageOf(error)}`];
    }
  }

  #verdicts(): string[] {
    const { view, steady } = this.#world;
    const now = steady.now();
    return this.#wishes.map(({ application, wish }, index) => {
      const status = applicationStatus(view, application, now);
      assert(status !== undefined, `there is an application ${application}`);
      const assessment = assess(status, now, wish);
      const end = assessment.done ? endOf(assessment) : 'waits';
      const reasons = [...assessment.failures, ...assessment.overtaken];
      const words = reasons.map(({ service, reason }) => `${service}: ${reason}`).join('; ');
      return `up ${index + 1}: ${end}${words === '' ? '' : `: ${words}`}`;
    });
  }

  async #scale(name: string, replicas: number): Promise<void> {
    const { view } = this.#world;
    const object = scaled(view, view.serviceByName(name)!, { replicas, by: 'alice' });
    await this.#world.write([{ kind: 'service', action: 'update', object }]);
  }

  async #node(name: string, what: string): Promise<void> {
    const world = this.#world;
    const known = [...world.view.nodes.values()].find((node) => node.description?.hostname === name);
    const node = known ?? (await world.addNode(name));
    if (what === 'down' || what === 'ready') return world.setNodeState(node, what);
    if (what === 'active' || what === 'pause' || what === 'drain') {
      return world.updateNode(node, { availability: what });
    }
    if (what === 'remove') return world.write([{ kind: 'node', action: 'delete', object: node }]);
    if (!what.includes('=')) return;
    const [key = '', value = ''] = what.split('=');
    return world.updateNode(node, { labels: { ...node.labels, [key]: value } });
  }

  async #fail(task: Task, words: string[]): Promise<void> {
    const exit = words.find((word) => word.startsWith('exit='))?.slice(5);
    const message = words.filter((word) => !word.startsWith('exit=')).join(' ') || `exit code ${exit ?? 1}`;
    await this.#world.report(task, {
      state: 'failed',
      exitCode: Number(exit ?? 1),
      error: { code: 'engine_failed', message },
    });
  }

  /** Every agent takes every task one step at a time until all rest. */
  async #obey(): Promise<void> {
    const world = this.#world;
    for (;;) {
      await world.settle();
      const changes = [...world.view.tasks.values()].flatMap((task) => {
        const node = world.view.nodes.get(task.nodeId ?? '');
        if (node?.status.state !== 'ready') return [];
        const error = refusalOf(task, node.description?.hostname);
        if (error !== undefined) return [world.reported(task, { state: 'rejected', error })];
        const state = nextState(task, world.view);
        return state === undefined ? [] : [world.reported(task, { state })];
      });
      if (changes.length === 0) return;
      await world.write(changes);
    }
  }

  async #tick(ms: number): Promise<void> {
    const { clock } = this.#world;
    const end = clock.monotonic() + ms;
    await this.#world.settle();
    while (clock.monotonic() < end) {
      const { wakeAt, steady } = this.#world;
      const left = end - clock.monotonic();
      clock.advance(Math.max(1, wakeAt === undefined ? left : Math.min(left, wakeAt - steady.now())));
      await this.#world.settle();
    }
  }

  /** The named task; without a number the newest of its slot. */
  #task(reference: string): Task {
    this.#count();
    const [slotName = ''] = reference.split('/');
    const tasks = [...this.#world.view.tasks.values()].filter((task) =>
      this.#nameOf(task).startsWith(`${slotName}/`),
    );
    tasks.sort((left, right) => right.createdAt - left.createdAt);
    const found = reference.includes('/') ? tasks.find((task) => this.#nameOf(task) === reference) : tasks[0];
    assert(found !== undefined, `there is a task ${reference}`);
    return found;
  }

  #nameOf(task: Task): string {
    return this.#numbers.get(task.id) ?? '?';
  }

  #count(): void {
    const tasks = [...this.#world.view.tasks.values()].filter((task) => !this.#numbers.has(task.id));
    tasks.sort((left, right) => left.createdAt - right.createdAt || left.slot - right.slot);
    for (const task of tasks) {
      const place = task.slot > 0 ? String(task.slot) : this.#hostname(task.nodeId);
      const slotName = `${task.serviceName}.${place}`;
      const count = (this.#counts.get(slotName) ?? 0) + 1;
      this.#counts.set(slotName, count);
      this.#numbers.set(task.id, `${slotName}/${count}`);
    }
  }

  #hostname(nodeId: string | undefined): string {
    return this.#world.view.nodes.get(nodeId ?? '')?.description?.hostname ?? 'gone';
  }

  /** One line for each object that matters, by its name. */
  #snapshot(): Map<string, string> {
    this.#count();
    const { view } = this.#world;
    const lines = new Map<string, string>();
    for (const service of view.services.values()) {
      const { spec, specVersion, updateStatus, removing, stopped } = service;
      const update =
        updateStatus === undefined
          ? ''
          : ` ${updateStatus.state}: ${updateStatus.message}${why(updateStatus)}`;
      lines.set(
        spec.name,
        `v${specVersion} ${spec.task.container.image} (${currentVersion(service).state})${removing ? ' removing' : ''}${stopped === true ? ' stopped' : ''}${update}`,
      );
    }
    const tasks = [...view.tasks.values()].map((task) => [this.#nameOf(task), this.#describe(task)] as const);
    tasks.sort(([left], [right]) => left.localeCompare(right, 'en', { numeric: true }));
    for (const [name, text] of tasks) lines.set(name, text);
    return lines;
  }

  #describe(task: Task): string {
    const { state, message, error } = task.status;
    const node = task.nodeId === undefined ? '' : ` on ${this.#hostname(task.nodeId)}`;
    const said = error?.message ?? (state === 'pending' ? message : '');
    const held = task.desiredState === 'ready' && task.startAfter !== undefined;
    const isAwaited = task.awaited === true ? ', awaited' : '';
    const delay = held ? ` (in ${task.startAfter! - this.#world.steady.now()} ms)` : '';
    return `v${task.specVersion} ${state}${node}${said === '' ? '' : ` "${said}"`}, to be ${wish[task.desiredState]}${delay}${isAwaited}`;
  }

  #show(): string[] {
    return [...this.#snapshot()].map(([name, text]) => `${name} ${text}`);
  }
}

const wish: Record<Task['desiredState'], string> = {
  ready: 'ready',
  running: 'running',
  shutdown: 'stopped',
  remove: 'removed',
};

function why({ state, failure }: UpdateStatus): string {
  return failure === undefined || state.endsWith('paused') ? '' : ` (${failure})`;
}

function difference(before: Map<string, string>, after: Map<string, string>): string[] {
  const changed = [...after].filter(([name, text]) => before.get(name) !== text);
  const gone = [...before.keys()].filter((name) => !after.has(name));
  return [...changed.map(([name, text]) => `${name} ${text}`), ...gone.map((name) => `${name} is gone`)];
}

/** Why the host cannot prepare the task; undefined when it can, or does something else with it. */
function refusalOf({ status, desiredState, template }: Task, hostname = ''): TaskStatus['error'] {
  if (status.state !== 'preparing' || desiredState === 'shutdown' || desiredState === 'remove')
    return undefined;
  const { image } = template.container;
  if (image === 'missing')
    return { code: 'image_not_found', message: 'the registry does not have the image' };
  const lacking = neededHostPaths(template).find((path) => !path.endsWith(`/${hostname}`));
  return lacking === undefined ? undefined : { code: 'not_found', message: missingHostPath(lacking) };
}

/** What an obedient agent reports next; nothing when the task is as it should be. */
export function nextState(task: Task, view?: View): TaskState | undefined {
  const { state } = task.status;
  if (isTerminal(state) || state === 'new' || state === 'pending') return undefined;
  const anchors = Object.values(task.anchors ?? {}).map(
    (id) => view?.tasks.get(id)?.status.state ?? 'orphaned',
  );
  if (anchors.some(isTerminal)) return 'shutdown';
  if (task.desiredState === 'shutdown' || task.desiredState === 'remove') return 'shutdown';
  if (state === task.desiredState) return undefined;
  return taskStates[taskStates.indexOf(state) + 1];
}

function readService(spec: ServiceSpec, words: string[]): ServiceSpec {
  const next = structuredClone(spec);
  for (const word of words) {
    const at = word.indexOf('=');
    const key = at === -1 ? word : word.slice(0, at);
    const value = at === -1 ? '' : word.slice(at + 1);
    const [group, field = ''] = key.split('.');
    if (key === 'global') next.mode = { kind: 'global' };
    else if (key === 'replicas') next.mode = { kind: 'replicated', replicas: Number(value) };
    else if (key === 'image') next.task.container.image = value;
    else if (key === 'constraint') next.task.placement.constraints = [value];
    else if (key === 'shares') next.task.sharing = { network: value };
    else if (key === 'follows') next.dependsOn = [{ service: value, condition: 'started', restart: true }];
    else if (key === 'beside') next.task.placement.with = value;
    else if (key === 'volume')
      next.task.container.mounts = [{ type: 'volume', source: value, target: '/data', readOnly: false }];
    else if (key === 'bind')
      next.task.container.mounts = [
        { type: 'bind', source: value, target: '/data', readOnly: false, createHostPath: false },
      ];
    else if (key === 'memory') next.task.reservations.memoryBytes = Number(value) * 2 ** 20;
    else if (key === 'address') next.task.networks = [{ name: 'app_net', aliases: [], address: value }];
    else if (group === 'restart') setPolicy<RestartPolicy>(next.task.restart, field, value);
    else if (group === 'update') setPolicy<UpdatePolicy>(next.update, field, value);
    else if (group === 'rollback') setPolicy<UpdatePolicy>(next.rollback, field, value);
    else throw new Error(`no such setting: ${key}`);
  }
  return next;
}

function setPolicy<Policy extends object>(policy: Policy, field: string, text: string): void {
  assert(field in policy, `there is a setting ${field}`);
  Object.assign(policy, { [field]: /^[\d.]/.test(text) ? readNumber(text) : text });
}

function readNumber(text: string): number {
  return /[a-z]$/.test(text) ? readDuration(text) : Number(text);
}

function readDuration(text: string): number {
  const [, amount = '', unit = ''] = /^(-?[\d.]+)(ms|s|m|h)$/.exec(text) ?? [];
  const factor = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[unit];
  assert(factor !== undefined, `${text} is a duration`);
  return Number(amount) * factor;
}

function readState(text: string | undefined): TaskState {
  const state = taskStates.find((known) => known === text);
  assert(state !== undefined, `${text} is a state`);
  return state;
}
