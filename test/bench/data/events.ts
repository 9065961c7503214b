import type { Volume } from '../../../src/spec/resource.ts';
import { isTerminal } from '../../../src/spec/task.ts';
import { systemClock } from '../../../src/util/clock.ts';
import { unreachable } from '../../../src/util/errors.ts';
import type { Random } from '../../../src/util/random.ts';
import type { TaskInfo, VolumeInfo } from '../../../src/wire/api.ts';
import { nodesReady, type Cluster } from '../../harness/cluster.ts';
import { currentTasks } from '../../harness/compose.ts';
import type { Host } from '../../harness/host.ts';
import { containersOf } from '../../harness/inventory.ts';
import { until } from '../../harness/until.ts';

export const application = 'data';

/** What is done to a program, its volume or its host. */
export const eventKinds = [
  'drain and back',
  'drain and move',
  'program killed',
  'agent killed',
  'node cut off',
  'move',
  'move, target cut off',
  'move, source agent killed',
  'move, manager killed',
  'move cancelled',
] as const;
export type EventKind = (typeof eventKinds)[number];

/** How long a host is away. */
const awayMs = 6_000;

/** Does one of these to the program of that name. Gives what became of it in words. */
export class Events {
  readonly #cluster: Cluster;
  readonly #random: Random;

  constructor(cluster: Cluster, random: Random) {
    this.#cluster = cluster;
    this.#random = random;
  }

  async happen(kind: EventKind, service: string): Promise<string> {
    const home = await this.#home(service);
    switch (kind) {
      case 'drain and back':
        return await this.#drained(home, () => systemClock.sleep(awayMs / 2).then(() => 'waited'));
      case 'drain and move':
        return await this.#drained(home, () => this.#move(service, home));
      case 'program killed':
        return await this.#kill(service);
      case 'agent killed':
        await home.kill('agent');
        return 'killed';
      case 'node cut off':
        return await this.#cutOff(home);
      case 'move':
        return await this.#move(service, home);
      case 'move, target cut off':
        return await this.#moveAnd(service, home, (target) => this.#cutOff(target));
      case 'move, source agent killed':
        return await this.#moveAnd(service, home, () => home.kill('agent'));
      case 'move, manager killed':
        return await this.#moveAnd(service, home, () => this.#cluster.manager.kill('manager'));
      case 'move cancelled':
        return await this.#moveAnd(service, home, () =>
          this.#shoal(['volume', 'move', '--cancel', volumeName(service)]),
        );
      default:
        return unreachable(kind);
    }
  }

  async #moveAnd(service: string, home: Host, also: (target: Host) => Promise<unknown>): Promise<string> {
    const target = this.#other(home);
    const moving = this.#move(service, home, target);
    await systemClock.sleep(Math.round(this.#random.next() * 3_000));
    await also(target);
    const said = await moving;
    await nodesReady(this.#cluster.manager, this.#cluster.hosts.length);
    return said;
  }

  async #move(service: string, home: Host, target = this.#other(home)): Promise<string> {
    return await this.#shoal(['volume', 'move', '--yes', volumeName(service), target.name]);
  }

  async #shoal(argv: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.#cluster.shoal(argv, { timeoutMs: 180_000 });
    const words = `${stdout}${stderr}`.trim().split('\n');
    return exitCode === 0 ? 'done' : `${exitCode}: ${words.slice(-2).join(' ')}`;
  }

  async #drained(home: Host, meanwhile: () => Promise<string>): Promise<string> {
    const set = (to: string) => this.#shoal(['node', 'update', '--yes', '--availability', to, home.name]);
    await set('drain');
    try {
      return await meanwhile();
    } finally {
      await set('active');
    }
  }

  async #cutOff(host: Host): Promise<string> {
    await host.cut();
    await systemClock.sleep(awayMs);
    await host.heal();
    await nodesReady(this.#cluster.manager, this.#cluster.hosts.length);
    return 'back';
  }

  async #kill(service: string): Promise<string> {
    const tasks = await currentTasks(this.#cluster, application);
    const task = tasks.find(({ serviceName }) => serviceName === `${application}_${service}`);
    for (const host of this.#cluster.hosts) {
      const container = (await containersOf(host)).find(({ id }) => id === task?.id);
      if (container) await host.run(['kill', '-9', container.process.split(' ')[0]!]);
    }
    await until('the program to be replaced', async () => {
      const now = await currentTasks(this.#cluster, application);
      return now.some(({ id, serviceName }) => serviceName === task?.serviceName && id !== task?.id);
    });
    return 'killed';
  }

  async #home(service: string): Promise<Host> {
    const client = this.#cluster.client();
    try {
      const { home } = await client.request<VolumeInfo>('GET', `/volumes/${volumeName(service)}`);
      return this.#cluster.host(home!.hostname);
    } finally {
      client.close();
    }
  }

  #other(home: Host): Host {
    const others = this.#cluster.hosts.filter((host) => host !== home);
    return others[Math.floor(this.#random.next() * others.length)]!;
  }
}

function volumeName(service: string): string {
  return `${application}_${service}`;
}

/** Looks all the time whether a task with a volume is anywhere but where the volume is. */
export class HomeWatch {
  readonly wrong = new Set<string>();
  readonly #cluster: Cluster;
  readonly #stop = new AbortController();
  #done: Promise<void> | undefined;
  looks = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  start(): void {
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    const client = this.#cluster.client();
    const homes = async () => {
      const volumes = await client.request<Volume[]>('GET', '/volumes');
      return new Map(volumes.map(({ spec, home }) => [spec.name, home?.nodeId]));
    };
    while (!this.#stop.signal.aborted) {
      try {
        const before = await homes();
        const tasks = await client.request<TaskInfo[]>('GET', `/tasks?application=${application}`);
        const after = await homes();
        for (const { id, nodeId, volumes = [], status } of tasks) {
          if (nodeId === undefined || isTerminal(status.state)) continue;
          // One that was seen in the very moment of a change may be where the volume was or is.
          const isWrong = volumes.some((name) => nodeId !== before.get(name) && nodeId !== after.get(name));
          if (isWrong) this.wrong.add(id);
        }
        this.looks++;
      } catch {
        // The manager is away at times, by intent.
      }
      await systemClock.sleep(100, this.#stop.signal).catch(() => undefined); // the loop ends
    }
    client.close();
  }
}
