/** Requests and answers as JSON lines over a child's standard input and output: how the network tests drive their processes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

type Handlers = Record<string, (parameters: never) => Promise<unknown>>;

/** Serves `handlers` until standard input ends, and then ends the process, whatever else it still listens on. */
export async function serveLines(handlers: Handlers): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, method, parameters } = JSON.parse(line) as { id: number; method: string; parameters: never };
    const answer = async () => handlers[method]!(parameters);
    void answer().then(
      (result) => process.stdout.write(`${JSON.stringify({ id, result })}\n`),
      (error: Error & { code?: string }) =>
        process.stdout.write(
          `${JSON.stringify({ id, error: { code: error.code ?? '', message: error.message } })}\n`,
        ),
    );
  }
  process.exit(0);
}

/** A child that speaks JSON lines. */
export class LineProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #count = 0;

  constructor(file: string, args: string[]) {
    this.#child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      const { id, result, error } = JSON.parse(line) as {
        id: number;
        result?: unknown;
        error?: { code: string; message: string };
      };
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiting?.reject(Object.assign(new Error(error.message), { code: error.code }));
      else waiting?.resolve(result);
    });
    this.#child.on('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${file} ${args.join(' ')} ended`));
      this.#waiting.clear();
    });
  }

  call<T>(method: string, parameters: unknown = {}): Promise<T> {
    const id = ++this.#count;
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(id, waiting);
    this.#child.stdin!.write(`${JSON.stringify({ id, method, parameters })}\n`);
    return waiting.promise as Promise<T>;
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}
