import type { Client } from '../wire/client.ts';
import type { Output } from './output.ts';

/** What a command is run with. Tests hand in their own. */
export interface Context {
  output: Output;
  environment: Record<string, string | undefined>;
  workingDirectory: string;
  /** Aborts on Ctrl-C. */
  signal: AbortSignal;
  /** Asks a person; absent when nobody is at a terminal. */
  ask?: ((question: string) => Promise<string>) | undefined;
  /** Connects on first use. */
  client(): Promise<Client>;
}

export interface OptionSpec {
  /** One letter, without its dash. */
  short?: string;
  /** Placeholder of its value in the help; absent: a switch. */
  value?: string;
  /** May be given several times. */
  multiple?: boolean;
  help: string;
}

/** Values by long name: `true` for a switch, text for a value, a list where `multiple`. */
export interface ParsedArguments {
  flag(name: string): boolean;
  value(name: string): string | undefined;
  values(name: string): string[];
  positionals: string[];
}

/** One command, one file. */
export interface Command {
  /** Words that call it, such as `node ls`. */
  name: string;
  summary: string;
  /** Positional part of the usage line, such as `SERVICE COMMAND [ARG...]`. */
  positionals?: string;
  /** How many positionals at least and at most. @default 0 and 0 */
  positionalsMin?: number;
  positionalsMax?: number;
  /** Everything after the first positionals belongs to another command: options are not looked for there. */
  passThroughAfter?: number;
  options: Record<string, OptionSpec>;
  examples: string[];
  /** Gives the exit code. */
  run(context: Context, parsed: ParsedArguments): Promise<number>;
}

/**
 * Exit codes: 0 done; 1 what was asked could not be done, or was not reached; 2 wrong use of the command line;
 * 3 the daemon, manager or registry cannot be reached; 4 somebody else has asked for something else meanwhile, and nothing else is wrong; 130 interrupted. `exec` gives the code of the command it ran.
 */
export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  unreachable: 3,
  overtaken: 4,
  interrupted: 130,
} as const;
