import { ShoalError } from '../../src/util/errors.ts';
import { formatBytes } from '../../src/util/text.ts';
import { grpcDetails, isAlreadyExists } from './client.ts';

/** runc's words when the program cannot be executed; they come through containerd as text only. */
const notExecutable =
  /exec:? "?([^":]+)"?: (?:stat \S+: )?(executable file not found in \$PATH|no such file or directory|permission denied|is a directory|exec format error)/;

/** The same as a person would say it. */
const executableWords: Record<string, string> = {
  'executable file not found in $PATH': 'the image has no such program in its PATH',
  'no such file or directory': 'the image has no such file',
  'permission denied': 'it is not an executable file',
  'is a directory': 'it is a folder',
  'exec format error': 'it is not made for this kind of machine, or it is a script without a #! line',
};

/** Who passed the failure on to whom, which says nothing of why. */
const passedOn =
  /^(?:rpc error: code = \w+ desc = |failed to (?:create shim task|start shim|create containerd container|exec in container|start exec \S+): |OCI runtime \w+ failed: |runc \w+ failed: |exec failed: |unable to start container process: |error during container init: |error setting cgroup config for procHooks process: |container_linux\.go:\d+: |process_linux\.go:\d+: )+/;

/**
 * Why the runtime could not start a process, in plain words and once. Its own text, which repeats itself at every
 * layer it passes through, is in `details`. Errors that are not about starting come back as they are.
 */
export function startError(error: unknown, command: string[]): unknown {
  if (!(error instanceof ShoalError) || error.code !== 'engine_failed') return error;
  const details = grpcDetails(error);
  const match = notExecutable.exec(details);
  if (match) {
    const [, program = command[0], reason = ''] = match;
    return new ShoalError('command_not_found', `Cannot run "${program}": ${executableWords[reason]}`, {
      next: 'Check `command` and `entrypoint` against what is in the image.',
      details,
    });
  }
  return new ShoalError('engine_failed', `Cannot start the program: ${plainReason(details)}`, { details });
}

function plainReason(details: string): string {
  const reason = details
    .replace(/: unknown$/, '')
    .replace(passedOn, '')
    .replaceAll(/"?\/\S*\/rootfs(\/[^\s":]*)"?/g, '$1');
  const folder = /^chdir to cwd \("(.*)"\) set in config\.json failed: (.*)$/s.exec(reason);
  if (folder) return `chdir to ${folder[1]}: ${folder[2]}`;
  const mount = /^error mounting "(.*?)" to rootfs at "(.*?)": (.*)$/s.exec(reason);
  if (mount) return `mounting ${mount[1]} at ${mount[2]}: ${mountReason(mount[3]!)}`;
  const memory = /^unable to set memory limit to (\d+) \(current usage: (\d+)/.exec(reason);
  if (memory) {
    const [limit, used] = [Number(memory[1]), Number(memory[2])];
    return `the memory limit of ${formatBytes(limit)} is too low; only to begin takes ${formatBytes(used)}`;
  }
  if (reason.includes('OOM-killed')) return 'the memory limit is too low for a program to begin';
  return reason;
}

function mountReason(reason: string): string {
  const last = reason.slice(reason.lastIndexOf(': ') + 1).trim();
  return last === 'not a directory' ? 'one of them is a file and the other a folder' : last;
}

/**
 * Whether making a task failed because the shared shim it was meant for was just ending: it ends with its last container,
 * and a new one may come at that moment.
 */
export function shimWasEnding(error: unknown): boolean {
  return /ttrpc: (?:closed|server closed)|shim\.sock|connect: (?:connection refused|no such file)|connection reset|unexpected EOF/.test(
    grpcDetails(error),
  );
}

/** Whether making a task failed because containerd still has, or is just clearing, an earlier attempt at the same one. */
export function earlierAttemptRemains(error: unknown): boolean {
  return (
    isAlreadyExists(error) || /\bmkdir \S+\/io\.containerd\.runtime\S+: file exists/.test(grpcDetails(error))
  );
}
