import { ShoalError } from '../util/errors.ts';
import { nearest } from '../util/text.ts';
import type { Command, OptionSpec, ParsedArguments } from './command.ts';

/** Options that every command takes. */
export const commonOptions: Record<string, OptionSpec> = {
  host: {
    short: 'H',
    value: 'ADDRESS',
    help: 'Where the API is (default: $SHOAL_HOST, else the local daemon)',
  },
  context: {
    value: 'FILE',
    help: 'The context of an administrator, for another host (default: $SHOAL_CONTEXT)',
  },
  help: { short: 'h', help: 'Show this help' },
};

function wrongUse(command: Command, message: string): ShoalError {
  return new ShoalError('invalid_argument', message, { next: `See \`shoal ${command.name} --help\`.` });
}

interface Reader {
  flags: Set<string>;
  values: Map<string, string[]>;
  positionals: string[];
}

function takeOption(command: Command, argv: string[], index: number, into: Reader): number {
  const options = { ...command.options, ...commonOptions };
  const word = argv[index]!;
  const long = word.startsWith('--');
  const equals = long ? word.indexOf('=') : -1;
  const shown = equals === -1 ? word : word.slice(0, equals);
  const letters = word.slice(1);
  const name = long ? shown.slice(2) : Object.keys(options).find((key) => options[key]!.short === letters[0]);
  const option = name === undefined ? undefined : Object.hasOwn(options, name) ? options[name] : undefined;
  if (name === undefined || option === undefined) {
    const guess = nearest(shown.replace(/^-+/, ''), Object.keys(options));
    throw wrongUse(
      command,
      `Cannot use option ${shown}: unknown${guess ? `; did you mean --${guess}?` : ''}`,
    );
  }
  if (option.value === undefined) {
    if (equals !== -1) throw wrongUse(command, `Cannot use ${word}: --${name} takes no value`);
    into.flags.add(name);
    if (long || letters.length === 1) return index + 1;
    argv[index] = `-${letters.slice(1)}`; // -ti is -t -i
    return index;
  }
  const inline = long ? (equals === -1 ? undefined : word.slice(equals + 1)) : letters.slice(1) || undefined;
  const value = inline ?? argv[index + 1];
  if (value === undefined) throw wrongUse(command, `Cannot use ${shown}: it needs a value (${option.value})`);
  const earlier = into.values.get(name) ?? [];
  into.values.set(name, option.multiple ? [...earlier, value] : [value]);
  return index + (inline === undefined ? 2 : 1);
}

/** Reads a command's arguments; throws `invalid_argument` with what to do. `argv` starts after the command's name. */
export function parseArguments(command: Command, argv: string[]): ParsedArguments {
  const words = [...argv];
  const into: Reader = { flags: new Set(), values: new Map(), positionals: [] };
  let onlyPositionals = false;
  for (let index = 0; index < words.length;) {
    const word = words[index]!;
    const passed =
      command.passThroughAfter !== undefined && into.positionals.length >= command.passThroughAfter;
    if (!onlyPositionals && !passed && word === '--') {
      onlyPositionals = true;
      index++;
    } else if (!onlyPositionals && !passed && word.length > 1 && word.startsWith('-')) {
      index = takeOption(command, words, index, into);
    } else {
      into.positionals.push(word);
      index++;
    }
  }
  const { positionalsMin = 0, positionalsMax = 0 } = command;
  if (!into.flags.has('help')) {
    if (into.positionals.length < positionalsMin)
      throw wrongUse(command, `Cannot run ${command.name}: it needs ${command.positionals}`);
    if (into.positionals.length > positionalsMax) {
      throw wrongUse(
        command,
        `Cannot run ${command.name}: ${JSON.stringify(into.positionals[positionalsMax])} is one argument too many`,
      );
    }
  }
  return {
    flag: (name) => into.flags.has(name),
    value: (name) => into.values.get(name)?.at(-1),
    values: (name) => into.values.get(name) ?? [],
    positionals: into.positionals,
  };
}

/** A value that must be a whole number from `min` up; throws `invalid_argument`. */
export function wholeNumber(text: string, what: string, min = 0): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : -1;
  if (value < min)
    throw new ShoalError(
      'invalid_argument',
      `Cannot use ${JSON.stringify(text)} as ${what}: it must be a whole number from ${min} up`,
    );
  return value;
}
