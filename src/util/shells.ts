/**
 * Small processes that start programs for a large one. fork(2) copies the page tables of who calls it: a daemon of 250 MiB
 * stands still for 12 to 27 ms for each program that it starts by itself, a shell for a fraction of one.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { nanoid } from 'nanoid';
import { systemClock } from './clock.ts';

export interface ShellCommand {
  file: string;
  args: readonly string[];
  /** Lines for its standard input; '' for none. */
  input: string;
  timeoutMs: number;
  outputBytesMax: number;
}

export interface ShellResult {
  /** As the shell tells it: 128 and the signal's number after a signal, 127 where the program is not found. */
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** What ended the shell before its program had ended. */
export class ShellEnded extends Error {
  readonly reason: 'it took too long' | 'it printed too much' | 'its shell has ended';
  constructor(reason: ShellEnded['reason'], stderr: string) {
    super(stderr);
    this.reason = reason;
  }
}

/** Programs that hang (a mount of a server that is away) take a shell each; what comes beyond is started without one. */
const shellsMax = 8;
/** The shell reads its script byte by byte: larger input is quicker without it. */
const inputLengthMax = 65_536;

export class Shells {
  readonly #idle: Shell[] = [];
  readonly #all = new Set<Shell>();

  /** Starts some, while this process is small. */
  constructor(count: number) {
    for (let index = 0; index < count; index++) this.#idle.push(this.#start());
  }

  /** Runs it; undefined when it has to be started without a shell. Throws `ShellEnded`. */
  run(command: ShellCommand): Promise<ShellResult> | undefined {
    const texts = [command.file, ...command.args, command.input];
    if (command.input.length > inputLengthMax || texts.some((text) => text.includes('\0'))) return undefined;
    const shell = this.#idle.pop() ?? (this.#all.size < shellsMax ? this.#start() : undefined);
    return shell?.run(command).finally(() => {
      if (this.#all.has(shell)) this.#idle.push(shell);
    });
  }

  /** Ends them; what runs in them is ended too. */
  close(): void {
    for (const shell of this.#all) shell.kill();
  }

  #start(): Shell {
    const shell = new Shell(() => {
      this.#all.delete(shell);
      const index = this.#idle.indexOf(shell);
      if (index !== -1) this.#idle.splice(index, 1);
    });
    this.#all.add(shell);
    return shell;
  }
}

/** One shell: it reads a command, runs it, says that it has ended, and reads the next. It ends with its input. */
class Shell {
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #onGone: () => void;
  /** What is told of the command that runs now. */
  #listener: { chunk: (from: 'stdout' | 'stderr', chunk: Buffer) => void; gone: () => void } | undefined;
  #isGone = false;

  constructor(onGone: () => void) {
    this.#onGone = onGone;
    // A session of its own, so that it can be killed with all that it has started.
    const child = spawn('/bin/sh', [], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    this.#process = child;
    child.stdout.on('data', (chunk: Buffer) => this.#listener?.chunk('stdout', chunk));
    child.stderr.on('data', (chunk: Buffer) => this.#listener?.chunk('stderr', chunk));
    child.stdin.on('error', () => this.#gone()); // it has ended: `close` follows
    child.on('error', () => this.#gone());
    child.on('close', () => this.#gone());
  }

  async run({ file, args, input, timeoutMs, outputBytesMax }: ShellCommand): Promise<ShellResult> {
    const token = nanoid();
    const streams = { stdout: new Collector(`\n${token} `), stderr: new Collector(`\n${token} `) };
    return await new Promise((resolve, reject) => {
      const end = (reason: ShellEnded['reason']) => {
        finish(() => reject(new ShellEnded(reason, streams.stderr.text())));
        this.kill();
      };
      const cancel = systemClock.after(timeoutMs, () => end('it took too long'));
      const finish = (settle: () => void) => {
        cancel();
        this.#listener = undefined;
        settle();
      };
      this.#listener = {
        chunk: (from, chunk) => {
          streams[from].add(chunk);
          if (streams.stdout.bytes + streams.stderr.bytes > outputBytesMax) return end('it printed too much');
          const { stdout, stderr } = streams;
          const exitCode = stdout.endedWith();
          if (exitCode === undefined || stderr.endedWith() === undefined) return;
          finish(() => resolve({ exitCode, stdout: stdout.text(), stderr: stderr.text() }));
        },
        gone: () => end('its shell has ended'),
      };
      if (this.#isGone) return end('its shell has ended');
      const words = [file, ...args].map(quote).join(' ');
      const lines = input === '' || input.endsWith('\n') ? input : `${input}\n`;
      const source = input === '' ? '</dev/null' : `<<'${token}'\n${lines}${token}`;
      // Both streams are told of the end, for they come by different ways.
      this.#process.stdin.write(
        `${words} ${source}\nshoal=$?; printf '\\n${token} %s\\n' $shoal; printf '\\n${token} %s\\n' $shoal >&2\n`,
      );
    });
  }

  /** With all that it has started. */
  kill(): void {
    const { pid } = this.#process;
    try {
      if (!this.#isGone && pid !== undefined) process.kill(-pid, 'SIGKILL');
    } catch {
      // it has ended just now
    }
    this.#gone();
  }

  #gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#onGone();
    this.#listener?.gone();
  }
}

/** Output up to a line that begins with the mark and ends with a number. */
class Collector {
  readonly #mark: string;
  readonly #chunks: Buffer[] = [];
  /** The last of it, in which the mark is looked for. */
  #tail = '';
  bytes = 0;

  constructor(mark: string) {
    this.#mark = mark;
  }

  add(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.bytes += chunk.length;
    const length = this.#mark.length + 8; // a number of up to seven digits, and the line's end
    this.#tail = (this.#tail + chunk.subarray(-length).toString('latin1')).slice(-length);
  }

  /** The number, once the end is there. */
  endedWith(): number | undefined {
    const start = this.#tail.indexOf(this.#mark);
    if (start === -1 || !this.#tail.endsWith('\n')) return undefined;
    return Number(this.#tail.slice(start + this.#mark.length));
  }

  /** All before the mark. */
  text(): string {
    const all = Buffer.concat(this.#chunks);
    const end = all.lastIndexOf(this.#mark);
    return all.subarray(0, end === -1 ? all.length : end).toString();
  }
}

function quote(word: string): string {
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
