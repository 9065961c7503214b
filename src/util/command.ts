import { spawn } from 'node:child_process';
import { ShoalError } from './errors.ts';
import { ShellEnded, Shells } from './shells.ts';

export interface CommandOptions {
  /** Written to standard input, which is then closed. */
  input?: string;
  /** The command is killed after this long. @default 10000 */
  timeoutMs?: number;
  /** The command is killed when it prints more. @default 16 MiB */
  outputBytesMax?: number;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
}

export interface CommandResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

const defaultTimeoutMs = 10_000;
/** More output than this from a helper program is a fault. */
const defaultOutputBytesMax = 16 * 1024 * 1024;

/** Shells kept from the start on: as many as run side by side most of the time. */
const shellsKept = 3;
/** What a shell says of a program that is not there, or is none. */
const shellCannotRun = [126, 127];
let shells: Shells | undefined;

/** From now on this process, which is about to grow, starts programs by way of small shells. Gives what ends them. */
export function keepShells(): () => void {
  const kept = (shells = new Shells(shellsKept));
  return () => {
    if (shells === kept) shells = undefined;
    kept.close();
  };
}

/** Runs a program and gives what it printed, whatever its exit code. Throws when it cannot be run or takes too long. */
export async function tryCommand(
  file: string,
  args: string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const {
    input = '',
    timeoutMs = defaultTimeoutMs,
    outputBytesMax = defaultOutputBytesMax,
    env,
    cwd,
  } = options;
  const byShell =
    env === undefined && cwd === undefined
      ? shells?.run({ file, args, input, timeoutMs, outputBytesMax })
      : undefined;
  if (!byShell) return await spawnCommand(file, args, { input, timeoutMs, outputBytesMax, env, cwd });
  try {
    const result = await byShell;
    if (!shellCannotRun.includes(result.exitCode)) return result;
    throw cannotRun(file, new Error(result.stderr.trim()));
  } catch (error) {
    if (!(error instanceof ShellEnded)) throw error;
    throw wasEnded(file, error.reason, timeoutMs, error.message);
  }
}

function spawnCommand(
  file: string,
  args: string[],
  {
    input,
    timeoutMs,
    outputBytesMax,
    env,
    cwd,
  }: CommandOptions & { outputBytesMax: number; timeoutMs: number },
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      env,
      cwd,
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let bytes = 0;
    const collect = (into: Buffer[]) => (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > outputBytesMax) child.kill('SIGKILL');
      else into.push(chunk);
    };
    child.stdout.on('data', collect(stdout));
    child.stderr.on('data', collect(stderr));
    child.stdin.on('error', () => undefined); // the program may end without reading its input; its exit code tells
    child.on('error', (cause) => reject(cannotRun(file, cause)));
    child.on('close', (exitCode, signal) => {
      const result = { stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
      if (exitCode === null) reject(wasEnded(file, `ended by ${signal}`, timeoutMs, result.stderr));
      else resolve({ exitCode, ...result });
    });
    child.stdin.end(input);
  });
}

function cannotRun(file: string, cause: Error): ShoalError {
  return new ShoalError('unavailable', `Cannot run ${file}`, {
    cause,
    next: 'Run `shoal doctor` to see what is missing.',
  });
}

function wasEnded(file: string, why: string, timeoutMs: number, stderr: string): ShoalError {
  return new ShoalError(
    'deadline_exceeded',
    `Cannot run ${file}: ${why} (limit ${timeoutMs} ms): ${stderr.trim()}`,
  );
}

/** Runs a program and gives its standard output; any exit code but 0 throws with what it said on standard error. */
export async function runCommand(
  file: string,
  args: string[],
  options: CommandOptions = {},
): Promise<string> {
  const result = await tryCommand(file, args, options);
  if (result.exitCode === 0) return result.stdout;
  const said = result.stderr.trim() || result.stdout.trim();
  throw new ShoalError('internal', `${file} ${args.join(' ')} ended with ${result.exitCode}: ${said}`);
}
