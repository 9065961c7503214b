import { loadApplication } from '../../src/compose/load.ts';
import type { Service } from '../../src/spec/service.ts';
import type { ApplicationStatus, TaskInfo } from '../../src/wire/api.ts';
import type { Client } from '../../src/wire/client.ts';
import { systemClock } from '../../src/util/clock.ts';
import { codeOf, messageOf, ShoalError, unreachable } from '../../src/util/errors.ts';
import type { Random } from '../../src/util/random.ts';
import { applicationNow } from '../../src/wire/watch.ts';
import { createCluster, type Cluster } from './cluster.ts';
import type { Host, Part } from './host.ts';
import { buildImage, busyboxImage, type BuiltImage } from './image.ts';
import { containersOf, inventoryOf } from './inventory.ts';
import { getJson } from './load.ts';
import { differences } from './standing.ts';
import { cgroupParent, paths } from './state.ts';

/**
 * Kills parts of hosts (SIGKILL) at random moments while an `up`, a scale or an update is under way, and looks whether
 * the cluster comes to what was asked, what is left over, and which containers were restarted for no reason.
 */

export const parts = ['agent', 'manager', 'containerd'] as const satisfies Part[];
export const operations = ['up', 'scale', 'update'] as const;
export type Operation = (typeof operations)[number];

/** What became of one kill. */
export interface Fault {
  part: Part;
  operation: Operation;
  /** The host of the killed part, and when after the wish was said it was killed. */
  host: string;
  atMs: number;
  /** False when everything asked for had happened before the kill. */
  landed: boolean;
  /** Why what was asked was not reached; absent when it was. */
  failure?: string;
  /** Containers that were healthy before, are to go on, and are not the same processes any more. */
  restarted: string[];
  /** What stands on hosts too much or too little a while after all was reached. */
  leftovers: string[];
  /** From the kill until all was reached. */
  convergeMs: number;
}

const convergeLimitMs = 60_000;
/** What is left over some seconds after all was reached is left over. */
const cleanLimitMs = 20_000;
const reviveLimitMs = 20_000;
const pollMs = 25;
/** Kills come within this part of the time that the operation takes undisturbed at first, when less is warm than later. */
const killWithin = 0.6;
const port = 8097;
const application = 'faulty';
/** Stands all the time; no wish touches it. */
const bystander = 'bystander';

interface Wish {
  operation: Operation;
  version: number;
  replicas: number;
  image: string;
}

interface Before {
  tasks: TaskInfo[];
  processes: Map<string, string>;
}

/** Makes a cluster, kills parts of it, and tells what came of each kill. */
export class FaultRig {
  readonly cluster: Cluster;
  readonly #random: Random;
  readonly #base: BuiltImage;
  /** How long each operation takes undisturbed, in ms. */
  readonly #durations = new Map<Operation, number>();
  #images = 0;
  readonly #told = new Set<string>();
  #before: string[][] = [];
  #keepImage = '';

  private constructor(cluster: Cluster, random: Random, base: BuiltImage) {
    this.cluster = cluster;
    this.#random = random;
    this.#base = base;
  }

  /** Three hosts, a bystander on them, and one round of all operations without faults to learn how long they take. */
  static async create(random: Random, onStep?: (step: string) => void): Promise<FaultRig> {
    const cluster = await createCluster({ hosts: 3, ...(onStep ? { onStep } : {}) });
    try {
      const rig = new FaultRig(cluster, random, await busyboxImage(paths(cluster.directory).images));
      await rig.#prepare();
      onStep?.(`undisturbed: ${JSON.stringify(Object.fromEntries(rig.#durations))} ms`);
      return rig;
    } catch (error) {
      await cluster.down();
      throw error;
    }
  }

  /** Takes the cluster down. Gives what was left of the ends of killed parts that are cleared only after a while. */
  async down(): Promise<string[]> {
    const execs = async (host: Host) =>
      (await host.run(['ls', '/run/shoal/engine/fifo']))
        .split('\n')
        .filter((name) => name.startsWith('exec-'))
        .map((name) => `${host.name}: ${name}`);
    try {
      await this.#ask((client) => client.request('DELETE', `/applications/${bystander}`));
      return await this.#untilNone(async () => (await Promise.all(this.cluster.hosts.map(execs))).flat());
    } finally {
      await this.cluster.down();
    }
  }

  /** An `up`, a scale and an update, each with a kill of that part, and a `down` after which nothing may be left. */
  async round(part: Part): Promise<Fault[]> {
    const faults: Fault[] = [];
    for (const wish of await this.#wishes()) faults.push(await this.#disturb(part, wish));
    const left = await this.#clear();
    faults.at(-1)!.leftovers.push(...left);
    return faults;
  }

  async #prepare(): Promise<void> {
    await this.#settleBystander();
    this.#before = await this.#inventories();
    for (const wish of await this.#wishes()) {
      const startedAt = systemClock.now();
      await this.#say(wish);
      await this.#converged(wish, startedAt + convergeLimitMs);
      this.#durations.set(wish.operation, systemClock.now() - startedAt);
    }
    const left = await this.#clear();
    if (left.length > 0) throw new ShoalError('internal', `Cannot begin: ${left.join('; ')} is left over`);
  }

  async #settleBystander(): Promise<void> {
    this.#keepImage = await this.#image(0);
    await this.#put(bystander, bystanderText(this.#keepImage));
    await this.#until(bystander, systemClock.now() + convergeLimitMs, ({ services }) =>
      services.every(({ converged }) => converged),
    );
  }

  /** The three operations of a round. Each version has an image of its own, so that there is something to pull. */
  async #wishes(): Promise<Wish[]> {
    const [from, to] = this.#random.next() < 0.5 ? [4, 8] : [8, 4];
    const [first, second] = [await this.#image(1), await this.#image(2)];
    return [
      { operation: 'up', version: 1, replicas: from, image: first },
      { operation: 'scale', version: 1, replicas: to, image: first },
      { operation: 'update', version: 2, replicas: to, image: second },
    ];
  }

  async #image(version: number): Promise<string> {
    const directory = paths(this.cluster.directory).images;
    const number = ++this.#images;
    const image = await buildImage({
      directory,
      from: this.#base,
      files: {
        '/www/index.html': { content: JSON.stringify({ version }) },
        '/www/number': { content: String(number) },
      },
    });
    return await this.cluster.push(`library/faulty:${number}`, image);
  }

  async #disturb(part: Part, wish: Wish): Promise<Fault> {
    const host = part === 'manager' ? this.cluster.manager : this.#anyHost();
    await this.#ready(host, part);
    const before = { tasks: await this.#healthy(), processes: await this.#processes() };
    const atMs = Math.round(this.#random.next() * killWithin * this.#durations.get(wish.operation)!);
    const startedAt = systemClock.now();
    let reachedEarly = false;
    const saying = this.#say(wish).then(() => this.#converged(wish, startedAt + atMs));
    saying.then(() => (reachedEarly = true)).catch(() => undefined); // it is said again below
    await systemClock.sleep(atMs);
    const healthy = await this.#healthy();
    const landed = !reachedEarly;
    await host.kill(part);
    const killedAt = systemClock.now();
    await saying.catch(() => undefined); // the wish is said again below, as a person would
    const fault: Fault = {
      part,
      operation: wish.operation,
      host: host.name,
      atMs,
      landed,
      restarted: [],
      leftovers: [],
      convergeMs: 0,
    };
    try {
      await this.#say(wish);
      await this.#converged(wish, killedAt + convergeLimitMs);
      fault.convergeMs = systemClock.now() - killedAt;
      fault.leftovers = await this.#leftovers();
      await this.#answers(wish);
      fault.restarted = await this.#restarted(wish, before, healthy);
    } catch (error) {
      fault.failure = messageOf(error);
    }
    return fault;
  }

  #anyHost(): Host {
    return this.cluster.hosts[Math.floor(this.#random.next() * this.cluster.hosts.length)]!;
  }

  /** An earlier kill may still be being recovered from. */
  async #ready(host: Host, part: Part): Promise<void> {
    const limit = systemClock.now() + reviveLimitMs;
    while (!(await host.part(part))) {
      if (systemClock.now() > limit) {
        throw new ShoalError('deadline_exceeded', `Cannot see the ${part} of host ${host.name} come back`);
      }
      await systemClock.sleep(pollMs);
    }
  }

  async #put(name: string, text: string): Promise<void> {
    const { application: spec } = await loadApplication({
      files: [{ content: text }],
      projectName: name,
      environment: {},
      workingDirectory: this.cluster.directory,
    });
    await this.#ask((client) => client.request('PUT', `/applications/${name}`, spec, { timeoutMs: 5_000 }));
  }

  async #scale(replicas: number): Promise<void> {
    await this.#ask(async (client) => {
      const services = await client.request<Service[]>('GET', `/services?application=${application}`);
      const { id } = services.find(({ spec }) => spec.key === 'web')!;
      await client.request('POST', `/services/${id}/scale`, { replicas }, { timeoutMs: 5_000 });
    });
  }

  /** Asks until a manager has heard it: one that is away is asked again, as a person would. */
  async #ask<T>(question: (client: Client) => Promise<T>): Promise<T> {
    const limit = systemClock.now() + reviveLimitMs;
    for (;;) {
      const client = this.cluster.client();
      try {
        return await question(client);
      } catch (error) {
        if (codeOf(error) !== 'unavailable' || systemClock.now() > limit) throw error;
      } finally {
        client.close();
      }
      await systemClock.sleep(pollMs);
    }
  }

  async #say(wish: Wish): Promise<void> {
    if (wish.operation === 'scale') await this.#scale(wish.replicas);
    else await this.#put(application, faultyText(wish, this.#keepImage));
  }

  async #converged({ version, replicas, image }: Wish, limit: number): Promise<void> {
    await this.#until(application, limit, ({ services }) => {
      const web = services.find(({ service }) => service.spec.key === 'web');
      if (web?.service.spec.task.container.image !== image) return false;
      const isNew = version === 1 || web.service.updateStatus?.state === 'completed';
      return isNew && web.desired === replicas && services.every(({ converged }) => converged);
    });
  }

  async #until(name: string, limit: number, done: (status: ApplicationStatus) => boolean): Promise<void> {
    let seen: unknown;
    const client = this.cluster.client();
    try {
      do {
        try {
          const status = await applicationNow(client, name, 2_000);
          if (done(status)) return;
          seen = status.services.map(({ service, running, desired, failure, tasks }) => ({
            name: service.spec.key,
            update: service.updateStatus?.state,
            running,
            desired,
            failure,
            tasks: tasks.map((task) => `${task.slot} ${task.status.state} ${task.status.message}`),
          }));
        } catch (error) {
          seen = messageOf(error);
        }
        await systemClock.sleep(pollMs);
      } while (systemClock.now() < limit);
    } finally {
      client.close();
    }
    throw new ShoalError('deadline_exceeded', `Cannot see ${name} converge: ${JSON.stringify(seen)}`);
  }

  /** Tasks that run, healthily where there is a healthcheck; none when the manager is away. */
  async #healthy(): Promise<TaskInfo[]> {
    const client = this.cluster.client();
    try {
      const tasks = await client.request<TaskInfo[]>('GET', '/tasks', undefined, { timeoutMs: 1_000 });
      return tasks.filter(
        ({ status, desiredState }) => status.state === 'running' && desiredState === 'running',
      );
    } catch (error) {
      if (error instanceof ShoalError) return [];
      throw error;
    } finally {
      client.close();
    }
  }

  /** Every container's process by its id, to see whether it is still the same one. */
  async #processes(): Promise<Map<string, string>> {
    const containers = (await Promise.all(this.cluster.hosts.map(containersOf))).flat();
    return new Map(containers.map(({ id, process }) => [id, process]));
  }

  /** Of the tasks that were healthy before the wish or the kill, those that should have gone on and did not. */
  async #restarted(wish: Wish, before: Before, atKill: TaskInfo[]): Promise<string[]> {
    const [after, tasks] = [await this.#processes(), await this.#healthy()];
    const lost = [...before.tasks, ...atKill]
      .filter((task) => mustStay(wish, before, task))
      .filter(({ id }) => !after.has(id) || (before.processes.get(id) ?? after.get(id)) !== after.get(id));
    const isFewer = wish.operation === 'scale' && wish.replicas < before.tasks.filter(isWeb).length;
    const needless = isFewer ? tasks.filter((task) => isWeb(task) && !before.processes.has(task.id)) : [];
    const words = (task: TaskInfo) => `${task.serviceName}.${task.slot} ${task.id}`;
    return [
      ...new Set([
        ...lost.map((task) => `${words(task)} did not go on`),
        ...needless.map((task) => `${words(task)} is new though there were to be fewer`),
      ]),
    ];
  }

  #leftovers(): Promise<string[]> {
    return this.#untilNone(() => differences(this.cluster).catch((error: unknown) => [messageOf(error)]));
  }

  /** Waits until nothing new is left over. What was told before is not told again, so that every kill answers for itself. */
  async #untilNone(look: () => Promise<string[]>): Promise<string[]> {
    const limit = systemClock.now() + cleanLimitMs;
    for (;;) {
      const left = (await look()).filter((line) => !this.#told.has(line));
      if (left.length > 0 && systemClock.now() < limit) {
        await systemClock.sleep(4 * pollMs);
        continue;
      }
      for (const line of left) this.#told.add(line);
      return left;
    }
  }

  /** Every host answers on the published port with what was asked for. */
  async #answers({ version }: Wish): Promise<void> {
    for (const { address } of this.cluster.hosts) {
      const answer = await getJson<{ version: number }>(`http://${address}:${port}/`);
      if (answer.version !== version) {
        throw new ShoalError(
          'internal',
          `Cannot see version ${version} at ${address}: it is ${answer.version}`,
        );
      }
    }
  }

  #inventories(): Promise<string[][]> {
    const parent = cgroupParent(this.cluster.id);
    return Promise.all(this.cluster.hosts.map((host) => inventoryOf(host, parent)));
  }

  /** Takes the application down; gives what is on the hosts that was not before, or is not any more. */
  async #clear(): Promise<string[]> {
    await this.#ask((client) => client.request('DELETE', `/applications/${application}`));
    return await this.#untilNone(async () => {
      const now = await this.#inventories();
      return now.flatMap((lines, index) => {
        const before = this.#before[index]!;
        const more = lines.filter((line) => !before.includes(line)).map((line) => `after down: ${line}`);
        const less = before.filter((line) => !lines.includes(line)).map((line) => `gone after down: ${line}`);
        return [...more, ...less].map((line) => `${this.cluster.hosts[index]!.name}: ${line}`);
      });
    });
  }
}

const isWeb = (task: TaskInfo) => task.serviceName === `${application}_web`;

/** Whether a task that was healthy is to run on, given the wish: all but those of the service that the wish changes. */
function mustStay(wish: Wish, before: Before, task: TaskInfo): boolean {
  if (!isWeb(task)) return true;
  switch (wish.operation) {
    case 'up':
      return true;
    case 'scale':
      return wish.replicas > before.tasks.filter(isWeb).length;
    case 'update':
      return task.image === wish.image;
    default:
      return unreachable(wish.operation);
  }
}

/** A web server that tells its version, obeys SIGTERM and has a healthcheck, beside a service that no wish changes. */
const faultyText = ({ image, replicas }: Wish, keepImage: string) => `
services:
  web:
    image: ${image}
    command:
      - sh
      - -c
      - |
        trap 'exit 0' TERM
        httpd -f -p 8080 -h /www & wait
    ports: ["${port}:8080"]
    healthcheck:
      test: [CMD, wget, -qO-, "http://127.0.0.1:8080/"]
      interval: 2s
      start_period: 10s
      start_interval: 200ms
    deploy:
      replicas: ${replicas}
      restart_policy: { delay: 200ms }
      update_config: { parallelism: 2, order: start-first, monitor: 500ms }
  keep: ${sleeper(keepImage)}`;

const bystanderText = (image: string) => `services:
  stand: ${sleeper(image)}`;

const sleeper = (image: string) =>
  `{ image: "${image}", command: [sleep, "1000000"], stop_grace_period: 0s, deploy: { replicas: 3 } }`;
