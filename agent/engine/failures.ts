import { ShoalError } from '../../src/util/errors.ts';
import { grpcDetails } from './client.ts';

/** runc's words when the program cannot be executed; they come through containerd as text only. */
const notExecutable =
  /exec:? "?([^":]+)"?: ((?:stat \S+: )?(?:executable file not found in \$PATH|no such file or directory|permission denied|is a directory|exec format error))/;

/** A `command_not_found` error when that is why starting a process failed. */
export function commandError(error: unknown, command: string[]): ShoalError | undefined {
  const match = notExecutable.exec(grpcDetails(error));
  if (!match) return undefined;
  const reason = match[2]!.replace(/^stat \S+: /, '');
  return new ShoalError('command_not_found', `Cannot run "${match[1] ?? command[0]}": ${reason}`, {
    cause: error,
    next: 'Check `command` and `entrypoint` against what is in the image.',
  });
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
