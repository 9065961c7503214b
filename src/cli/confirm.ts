import { createInterface } from 'node:readline/promises';
import { ShoalError } from '../util/errors.ts';
import type { Context, OptionSpec, ParsedArguments } from './command.ts';

export const yesOption: Record<string, OptionSpec> = {
  yes: { short: 'y', help: 'Do not ask' },
};

/** Asks a person at the terminal; undefined when there is none. */
export function terminalAsk(signal: AbortSignal): Context['ask'] {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined;
  return async (question) => {
    const lines = createInterface({ input: process.stdin, output: process.stderr });
    try {
      return await lines.question(question, { signal });
    } finally {
      lines.close();
    }
  };
}

/**
 * Says what would be lost and asks whether to go on, unless `--yes` says so. Throws `failed_precondition` when the answer is
 * no, or nobody can be asked.
 */
export async function confirm(context: Context, parsed: ParsedArguments, warnings: string[]): Promise<void> {
  if (warnings.length === 0) return;
  for (const warning of warnings) context.output.note(warning);
  if (parsed.flag('yes')) return;
  const next = 'Nothing was changed. Say --yes to go on without being asked.';
  if (context.ask === undefined) {
    throw new ShoalError('failed_precondition', 'Cannot ask whether to go on: this is not a terminal', {
      next,
    });
  }
  const answer = await context.ask('Go on? [y/N] ');
  if (/^y(?:es)?$/iu.test(answer.trim())) return;
  throw new ShoalError('failed_precondition', 'Cancelled', { next: 'Nothing was changed.' });
}
