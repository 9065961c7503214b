import type { Clock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { ContainerCreate, OutputSink } from './engine.ts';
import { execPrefix, holdOpen, type FifoFolder } from './fifos.ts';
import { attachOutput, containerOfFifo, fifoNames, reattachOutput, type Output } from './output.ts';

/** How long an earlier process's execs find somebody at the other end of their FIFOs. */
const abandonedExecMs = 15_000;
/** How long the last output of a removed container is waited for. */
const outputEndTimeoutMs = 2_000;

/** The output of all containers: who reads it, and the FIFOs that it comes through. */
export class Outputs {
  readonly #fifos: FifoFolder;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #outputs = new Map<string, Output>();
  /** Output of containers of an earlier process that nobody has taken up yet. */
  readonly #held = new Map<string, () => void>();
  #started: Promise<void> | undefined;

  constructor(options: { fifos: FifoFolder; clock: Clock; log: Logger }) {
    this.#fifos = options.fifos;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Takes over what an earlier process has left; once. */
  start(): Promise<void> {
    this.#started ??= this.#takeOver().catch((error: unknown) => {
      this.#started = undefined;
      throw error;
    });
    return this.#started;
  }

  /** Makes a new container's FIFOs; gives the paths of those that it writes to. */
  async make({ id, tty, settings }: ContainerCreate): Promise<string[]> {
    const names = fifoNames(id);
    if (settings?.openStdin) await this.#fifos.make(names.stdin);
    return Promise.all(
      (tty ? [names.stdout] : [names.stdout, names.stderr]).map((name) => this.#fifos.make(name)),
    );
  }

  /** Begins to read what a new container will write to these FIFOs. */
  attach(id: string, paths: string[], sink: OutputSink): void {
    this.#keep(id, attachOutput(paths, sink));
  }

  /** Takes up the output of a container that an earlier process made. */
  reattach(id: string, sink: OutputSink): void {
    this.#outputs.get(id)?.detach();
    this.#release(id);
    this.#keep(id, reattachOutput(this.#fifos, id, sink));
  }

  /** Stops reading what a container that could not be made would have written. */
  drop(id: string): void {
    this.#outputs.get(id)?.detach();
    this.#outputs.delete(id);
  }

  /** Keeps the container's shim from waiting for another end of its FIFOs, until the returned function is called. */
  holdOpen(id: string): () => void {
    const { stdin, stdout, stderr } = fifoNames(id);
    // the shim waits for somebody to write, and would for ever
    const releaseInput = holdOpen([this.#fifos.path(stdin)]);
    // with a reader of our own the end of the output must be seen instead
    const release = this.#outputs.has(id)
      ? undefined
      : holdOpen([this.#fifos.path(stdout), this.#fifos.path(stderr)]);
    return () => {
      release?.();
      releaseInput();
    };
  }

  /** Removes the container's FIFOs. What has come through them is still read. */
  async removeFifos(id: string): Promise<void> {
    const { stdin, stdout, stderr } = fifoNames(id);
    await this.#fifos.remove(stdin, stdout, stderr);
  }

  /** Waits for a removed container's last output, for a while. */
  async end(id: string): Promise<void> {
    const output = this.#outputs.get(id);
    if (!output) return;
    const ended = new AbortController();
    const limit = this.#clock.sleep(outputEndTimeoutMs, ended.signal).catch(() => undefined);
    await Promise.race([output.done, limit]);
    ended.abort();
    output.detach();
    await output.done;
  }

  /** Lets go of everything; what is unread stays in the FIFOs. */
  close(): void {
    for (const output of this.#outputs.values()) output.detach();
    this.#outputs.clear();
    for (const id of this.#held.keys()) this.#release(id);
  }

  async #takeOver(): Promise<void> {
    const names = await this.#fifos.start();
    const ofExecs = names.filter((name) => name.startsWith(execPrefix));
    if (ofExecs.length > 0) this.#abandonExecs(ofExecs);
    const ids = names.filter((name) => !ofExecs.includes(name)).map((name) => containerOfFifo(name));
    for (const id of new Set(ids)) if (id !== undefined && !this.#outputs.has(id)) this.#hold(id);
  }

  /** Execs of an earlier process may be about to open their FIFOs; they find them open, and after a while closed. */
  #abandonExecs(names: string[]): void {
    const release = holdOpen(names.map((name) => this.#fifos.path(name)));
    const finish = () => {
      this.#held.delete(execPrefix);
      release();
      this.#fifos
        .remove(...names)
        .catch((error: unknown) => this.#log.warn('FIFOs left behind', { error: messageOf(error) }));
    };
    const cancel = this.#clock.after(abandonedExecMs, finish);
    this.#held.set(execPrefix, () => {
      cancel();
      release();
    });
  }

  #hold(id: string): void {
    if (this.#held.has(id)) return;
    const { stdout, stderr } = fifoNames(id);
    this.#held.set(id, holdOpen([this.#fifos.path(stdout), this.#fifos.path(stderr)]));
  }

  #release(id: string): void {
    this.#held.get(id)?.();
    this.#held.delete(id);
  }

  #keep(id: string, output: Output): void {
    this.#outputs.set(id, output);
    void output.done.then(() => {
      if (this.#outputs.get(id) === output) this.#outputs.delete(id);
    });
  }
}
