import { spawn } from 'node:child_process';
import { ShoalError } from './errors.ts';

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

/** More output than this from a helper program is a fault. */
const defaultOutputBytesMax = 16 * 1024 * 1024;

/** Runs a program and gives what it printed, whatever its exit code. Throws when it cannot be run or takes too long. */
export function tryCommand(
  file: string,
  args: string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const { input, timeoutMs = 10_000, outputBytesMax = defaultOutputBytesMax, env, cwd } = options;
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
    child.on('error', (cause) =>
      reject(
        new ShoalError('unavailable', `Cannot run ${file}`, {
          cause,
          next: 'Run `shoal doctor` to see what is missing.',
        }),
      ),
    );
    child.on('close', (exitCode, signal) => {
      const result = { stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
      if (exitCode === null) {
        reject(
          new ShoalError(
            'deadline_exceeded',
            `Cannot run ${file}: ended by ${signal} (limit ${timeoutMs} ms): ${result.stderr.trim()}`,
          ),
        );
      } else resolve({ exitCode, ...result });
    });
    child.stdin.end(input ?? '');
  });
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
