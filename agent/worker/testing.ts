import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import { createVolumes } from '../volumes/volumes.ts';
import { sampleContainer, sampleTemplate } from '../../test/samples.ts';
import type { DesiredTaskState, TaskState, TaskStatus } from '../../src/spec/task.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { seededRandom } from '../../src/util/random.ts';
import type { AssignedTask } from '../../src/wire/session.ts';
import { watchEngine } from './adoption.ts';
import { FakeEngine } from './fake-engine.ts';
import { FakeNetwork } from './fake-network.ts';
import type { TaskFiles } from './task-files.ts';
import { TaskStore } from './task-store.ts';
import { Worker } from './worker.ts';

/** A task as a manager would assign it; `change` is laid over its template's container. */
export function assignment(
  id: string,
  desiredState: DesiredTaskState = 'running',
  change: Partial<AssignedTask['template']['container']> = {},
): AssignedTask {
  return {
    id,
    application: 'app',
    serviceId: 'service',
    serviceName: 'app_web',
    slot: 1,
    desiredState,
    attachments: [{ networkId: 'net', address: '10.0.0.2', aliases: [] }],
    status: { state: 'assigned', at: 0, message: '' },
    templateId: `of-${id}`,
    template: sampleTemplate({
      container: sampleContainer({ image: 'web', stopGracePeriodMs: 1_000, ...change }),
    }),
  };
}

/** A host whose engine and network are fakes, and whose worker can be killed and started again. */
export class TestHost {
  readonly directory = mkdtempSync(join(tmpdir(), 'shoal-agent-'));
  readonly engine = new FakeEngine();
  readonly network = new FakeNetwork();
  readonly fileFolders = new Set<string>();
  readonly logs = new Set<string>();
  /** Published for every task. */
  ports: number[] = [];
  /** Every status told, in order. */
  readonly told: { taskId: string; status: TaskStatus }[] = [];
  /** Disks of which a write said that they are full. */
  readonly fullDisks: string[] = [];
  /** Told when the store cannot write. */
  onTrouble: (error: Error | undefined) => void = () => undefined;
  #tasks = new Map<string, AssignedTask>();
  #worker: Worker | undefined;

  constructor() {
    this.engine.images.set('web', FakeEngine.image('web'));
  }

  get worker(): Worker {
    return this.#worker!;
  }

  async start(): Promise<this> {
    const path = join(this.directory, 'state.jsonl');
    const store = await TaskStore.open({
      path,
      clock: systemClock,
      log: silentLogger,
      onTrouble: (error) => this.onTrouble(error),
    });
    const files: TaskFiles = {
      write: (task) => {
        this.fileFolders.add(task.id);
        return Promise.resolve([]);
      },
      remove: (id) => Promise.resolve(void this.fileFolders.delete(id)),
      list: () => Promise.resolve([...this.fileFolders]),
      purge: () => Promise.resolve(),
    };
    const worker = new Worker({
      engine: this.engine,
      network: this.network,
      volumes: createVolumes({
        stateDirectory: this.directory,
        copyImageContent: (image, path) => this.engine.copyImageContent(image, path),
      }),
      files,
      logs: {
        sink: (id) => {
          this.logs.add(id);
          return { write: () => undefined, end: () => undefined };
        },
        // eslint-disable-next-line require-yield -- there is nothing to read
        read: async function* () {},
        remove: (id) => Promise.resolve(void this.logs.delete(id)),
        list: () => Promise.resolve([...this.logs]),
      },
      clock: systemClock,
      random: seededRandom(1),
      log: silentLogger,
      cpus: 2,
      store,
      sources: {
        networksReady: () => Promise.resolve(),
        contents: () => Promise.resolve([]),
        publishedPorts: () =>
          this.ports.map((target) => ({ target, published: target, protocol: 'tcp', mode: 'ingress' })),
      },
      onStatus: (taskId, status) => this.told.push({ taskId, status }),
      onNoSpace: (disk) => this.fullDisks.push(disk),
    });
    this.#worker = worker;
    for (const [id, local] of store.tasks()) worker.restore(id, local);
    worker.assign(this.#tasks);
    worker.background('watching', async () => {
      await watchEngine(worker);
    });
    return this;
  }

  assign(...tasks: AssignedTask[]): void {
    this.#tasks = new Map(tasks.map((task) => [task.id, task]));
    this.#worker?.assign(this.#tasks);
  }

  /** Ends the worker and starts another one on what it left. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async stop(): Promise<void> {
    await this.#worker?.stop();
    await this.#worker?.options.store.close();
    this.#worker = undefined;
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  status(id: string): TaskStatus | undefined {
    return this.#worker?.entries.get(id)?.local.status;
  }

  /** Resolves once the task is seen in the state; fails when that takes longer than 5 s. */
  reaches(id: string, state: TaskState): Promise<void> {
    return vi.waitFor(() => expect(this.status(id)?.state).toBe(state), { timeout: 5_000, interval: 5 });
  }
}
