/** Hears of changes of links, routes, neighbours and packet filter rules at once, whoever makes them. */
import { spawn } from 'node:child_process';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { backoffMs } from '../../src/util/retry.ts';
import { systemRandom } from '../../src/util/random.ts';

/** What has changed: a link of ours or what is on it; a rule of our tables; a rule of somebody else's. */
export type KernelChange = 'links' | 'rules' | 'foreign rules';

/** `ip -o monitor`: entries of bridges and VXLAN ports count as neighbours, switches as netconf. */
const ipCommand = ['ip', '-o', 'monitor', 'link', 'address', 'route', 'neigh', 'netconf'];
/** Not elements: those of a large set come by the ten thousand. */
const nftCommand = ['nft', 'monitor', 'rules'];
/** Ends the program when this process is gone, however it went (prctl(2), PR_SET_PDEATHSIG). */
const guard = ['setpriv', '--pdeathsig', 'KILL'];
/** One that ran for so long begins its backoff anew. */
const steadyMs = 60_000;
/** A longer line is none of these programs'. */
const lineLengthMax = 65_536;

/** States of neighbours that the kernel goes through by itself. */
const passing = /\b(?:REACHABLE|STALE|DELAY|PROBE|INCOMPLETE)\b|^(?!Deleted ).*\bFAILED\b/u;

/** What a line of `ip monitor` tells of; undefined for what is nobody's change of anything of ours. */
export function changeOfIpLine(line: string): KernelChange | undefined {
  if (line.startsWith('inet all forwarding off')) return 'links';
  return /\bsh[bxv][a-z0-9]/u.test(line) && !passing.test(line) ? 'links' : undefined;
}

/** What a line of `nft monitor rules` tells of. */
export function changeOfNftLine(line: string): KernelChange | undefined {
  const [, family, table] = /^(?:add|insert|delete|replace) rule (\w+) (\S+)/u.exec(line) ?? [];
  if (table === undefined) return undefined;
  return table === 'shoal' && (family === 'inet' || family === 'bridge') ? 'rules' : 'foreign rules';
}

export interface KernelWatchOptions {
  clock: Clock;
  log: Logger;
  onChange: (change: KernelChange) => void;
}

interface Program {
  command: string[];
  /** What may have changed while it did not run. */
  covers: KernelChange[];
  changeOf: (line: string) => KernelChange | undefined;
}

const programs: Program[] = [
  { command: ipCommand, covers: ['links'], changeOf: changeOfIpLine },
  { command: nftCommand, covers: ['rules', 'foreign rules'], changeOf: changeOfNftLine },
];

/** Two small programs that run as long as this process, and are started again when they end. */
export class KernelWatch {
  readonly #options: KernelWatchOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>[] = [];

  constructor(options: KernelWatchOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#running.length > 0) return;
    for (const program of programs) this.#running.push(this.#keep(program));
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('the watch of the kernel stops'));
    await Promise.all(this.#running);
  }

  async #keep(program: Program): Promise<void> {
    const { clock, log } = this.#options;
    const signal = this.#stop.signal;
    let failures = 0;
    let command = [...guard, ...program.command];
    while (!signal.aborted) {
      const startedAt = clock.monotonic();
      const why = await this.#runOnce(command, program).catch((error: unknown) => messageOf(error));
      if (signal.aborted) return;
      // A host without util-linux; what this process leaves behind then ends with its next line.
      if (why.includes('ENOENT') && command[0] === guard[0]) command = program.command;
      failures = clock.monotonic() - startedAt > steadyMs ? 1 : failures + 1;
      log.warn('A watch of the kernel ended and is started again', { command: command.join(' '), why });
      await clock.sleep(backoffMs(failures, systemRandom), signal).catch(() => undefined);
    }
  }

  /** Resolves with how it ended. */
  async #runOnce([file = '', ...args]: string[], { covers, changeOf }: Program): Promise<string> {
    const { onChange } = this.#options;
    return await new Promise((resolve, reject) => {
      const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'], signal: this.#stop.signal });
      let rest = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop()!.slice(0, lineLengthMax);
        for (const change of new Set(lines.map(changeOf))) if (change !== undefined) onChange(change);
      });
      child.on('spawn', () => covers.forEach((change) => onChange(change)));
      child.on('error', reject);
      child.on('close', (code, how) => resolve(`it ended with ${how ?? code}`));
    });
  }
}
