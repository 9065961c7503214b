import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import type {
  ContainerCreate,
  ContainerExit,
  ContainerInfo,
  Engine,
  EngineFeatures,
  ExecRequest,
  ExecSession,
  Image,
  OutputSink,
} from '../engine/engine.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { AsyncQueue } from '../../src/util/queue.ts';

/** An engine in memory that keeps the contract of `Engine`, for unit tests. Its `containers` outlive any worker. */
export class FakeEngine implements Engine {
  readonly containers = new Map<string, ContainerInfo & { create: ContainerCreate }>();
  readonly images = new Map<string, Image>();
  readonly remote = new Map<string, Image>();
  readonly calls: string[] = [];
  /** What a check or command gives: exit code and what it prints. */
  onExec: (request: ExecRequest) => { exitCode: number; output: string } = () => ({
    exitCode: 0,
    output: '',
  });
  /** Called before each operation; may throw or wait. */
  before: (operation: string, id: string) => Promise<void> | void = () => undefined;
  /** Signals that containers obey. */
  obeys = new Set([9, 15]);
  #listeners = new Set<AsyncQueue<ContainerExit | 'gone'>>();
  #away = false;

  static image(reference: string, config: Partial<Image['config']> = {}): Image {
    const empty = { entrypoint: [], command: ['/bin/run'], environment: [], workingDirectory: '', user: '' };
    return {
      reference,
      digest: `sha256:${reference}`,
      config: { ...empty, exposedPorts: [], volumes: [], labels: {}, ...config },
    };
  }

  /** The engine process dies; containers live on. */
  goAway(): void {
    this.#away = true;
    for (const listener of this.#listeners) listener.push('gone');
  }

  comeBack(): void {
    this.#away = false;
  }

  /** The container's process ends. */
  exit(id: string, exitCode: number, outOfMemory = false): void {
    const container = this.containers.get(id);
    if (!container || container.state === 'stopped') return;
    this.containers.set(id, { ...container, state: 'stopped', exitCode });
    if (this.#away) return;
    for (const listener of this.#listeners) listener.push({ id, exitCode, at: 0, outOfMemory });
  }

  async info(): Promise<{ name: string; version: string }> {
    await this.#call('info', '');
    return { name: 'fake', version: '1' };
  }

  async features(): Promise<EngineFeatures> {
    await this.#call('features', '');
    return { runtimes: [], cdiDevices: [] };
  }

  async image(reference: string): Promise<Image | undefined> {
    await this.#call('image', reference);
    return this.images.get(reference);
  }

  async pull(reference: string): Promise<Image> {
    await this.#call('pull', reference);
    const image = this.remote.get(reference);
    if (!image) throw new ShoalError('image_not_found', `Cannot pull ${reference}: there is no such image`);
    this.images.set(reference, image);
    return image;
  }

  async removeUnusedImages(): Promise<string[]> {
    await this.#call('remove unused images', '');
    return [];
  }

  async copyImageContent(image: Image, path: string): Promise<void> {
    await this.#call(`copy ${path}`, image.reference);
  }

  async create(container: ContainerCreate, _output: OutputSink): Promise<void> {
    await this.#call('create', container.id);
    if (this.containers.has(container.id)) throw new ShoalError('engine_failed', 'Cannot create: it exists');
    const { id, labels } = container;
    this.containers.set(id, { id, labels, state: 'created', create: container });
  }

  async start(id: string): Promise<{ pid: number }> {
    await this.#call('start', id);
    const container = this.containers.get(id);
    if (container?.state !== 'created') throw new ShoalError('engine_failed', `Cannot start ${id}`);
    this.containers.set(id, { ...container, state: 'running', pid: 1 });
    return { pid: 1 };
  }

  async wait(id: string, signal: AbortSignal): Promise<{ exitCode: number }> {
    await this.#call('wait', id);
    const ended = this.containers.get(id);
    if (ended?.state === 'stopped') return { exitCode: ended.exitCode ?? 0 };
    for await (const exit of this.exits(signal)) if (exit.id === id) return { exitCode: exit.exitCode };
    throw signal.reason;
  }

  async kill(id: string, signal: number): Promise<void> {
    await this.#call(`kill ${signal}`, id);
    if (this.obeys.has(signal)) this.exit(id, 128 + signal);
  }

  async remove(id: string): Promise<void> {
    await this.#call('remove', id);
    this.containers.delete(id);
  }

  async list(): Promise<ContainerInfo[]> {
    await this.#call('list', '');
    return [...this.containers.values()].map(({ create: _create, ...info }) => info);
  }

  async reattach(id: string, _output: OutputSink): Promise<void> {
    await this.#call('reattach', id);
  }

  async exec(id: string, request: ExecRequest): Promise<ExecSession> {
    await this.#call('exec', id);
    const { exitCode, output } = this.onExec(request);
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    stdout.end(output);
    stderr.end();
    const stdin = new PassThrough();
    stdin.resume();
    const nothing = () => Promise.resolve();
    const exit = Promise.all([finished(stdout), finished(stderr)]).then(() => ({ exitCode }));
    return { stdin, stdout, stderr, exit, kill: nothing, resize: nothing };
  }

  async *exits(signal: AbortSignal): AsyncGenerator<ContainerExit> {
    const queue = new AsyncQueue<ContainerExit | 'gone'>(1_000);
    this.#listeners.add(queue);
    const close = () => queue.close();
    signal.addEventListener('abort', close, { once: true });
    try {
      this.#mustBeThere();
      for await (const exit of queue) {
        if (exit === 'gone')
          throw new ShoalError('unavailable', 'Cannot hear of exits: the engine went away');
        yield exit;
      }
    } finally {
      signal.removeEventListener('abort', close);
      this.#listeners.delete(queue);
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #call(operation: string, id: string): Promise<void> {
    this.calls.push(`${operation} ${id}`.trim());
    this.#mustBeThere();
    await this.before(operation, id);
    this.#mustBeThere();
  }

  #mustBeThere(): void {
    if (this.#away) throw new ShoalError('unavailable', 'Cannot reach the engine');
  }
}
