/** Readers and writers of the values inside Compose files. All give undefined for what they cannot read. */

const nanosecondsOf: Record<string, bigint> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n, // U+00B5, the micro sign
  μs: 1_000n, // U+03BC, the Greek letter
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
  d: 86_400_000_000_000n,
  w: 604_800_000_000_000n,
};

const durationNanosecondsMax = 2n ** 63n - 1n;
const durationCharactersMax = 200;

/** `1m30s`, `1.5h`, `0`: a duration in nanoseconds. Units are ns, us, µs, ms, s, m, h, d and w. */
export function parseDuration(text: string): bigint | undefined {
  if (text === '0' || text === '+0' || text === '-0') return 0n;
  const simple = /^([0-9]{1,9})(ms|s|m|h)$/u.exec(text); // nearly all of them
  if (simple !== null) return BigInt(simple[1]!) * nanosecondsOf[simple[2]!]!;
  if (text.length > durationCharactersMax) return undefined;
  const whole = /^([-+]?)((?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h|d|w))+)$/u.exec(text);
  if (whole === null) return undefined;
  let sum = 0n;
  for (const [, digits = '', unit = ''] of whole[2]!.matchAll(/([0-9.]+)(ns|us|µs|μs|ms|s|m|h|d|w)/gu)) {
    const [before = '', after = ''] = digits.split('.');
    const size = nanosecondsOf[unit]!;
    sum += BigInt(before || '0') * size;
    if (after !== '') sum += (BigInt(after) * size) / 10n ** BigInt(after.length);
  }
  if (sum > durationNanosecondsMax) return undefined;
  return whole[1] === '-' ? -sum : sum;
}

/** A duration as Go writes it: `1h0m0s`, `1m30s`, `1.5s`, `500ms`, `0s`. */
export function formatDuration(nanoseconds: bigint): string {
  if (nanoseconds < 0n) return `-${formatDuration(-nanoseconds)}`;
  if (nanoseconds === 0n) return '0s';
  if (nanoseconds < 1_000n) return `${nanoseconds}ns`;
  if (nanoseconds < 1_000_000n) return `${decimal(nanoseconds, 1_000n)}µs`;
  if (nanoseconds < 1_000_000_000n) return `${decimal(nanoseconds, 1_000_000n)}ms`;
  const second = nanosecondsOf['s']!;
  const minute = nanosecondsOf['m']!;
  if (nanoseconds < minute && nanoseconds % second === 0n) return `${nanoseconds / second}s`;
  const hour = nanosecondsOf['h']!;
  const seconds = `${decimal(nanoseconds % minute, 1_000_000_000n)}s`;
  if (nanoseconds < minute) return seconds;
  const minutes = `${(nanoseconds % hour) / minute}m${seconds}`;
  return nanoseconds < hour ? minutes : `${nanoseconds / hour}h${minutes}`;
}

function decimal(value: bigint, unit: bigint): string {
  const digits = unit.toString().length - 1;
  const fraction = (value % unit).toString().padStart(digits, '0').replace(/0+$/u, '');
  return fraction === '' ? `${value / unit}` : `${value / unit}.${fraction}`;
}

/** A canonical duration (`1m30s`) in whole milliseconds; a positive one is at least 1. */
export function durationMs(text: string): number {
  if (/^[0-9]{1,6}s$/u.test(text)) return Number.parseInt(text, 10) * 1000; // nearly all of them
  const nanoseconds = parseDuration(text) ?? 0n;
  if (nanoseconds <= 0n) return 0;
  return Math.max(1, Math.round(Number(nanoseconds) / 1e6));
}

/** `64m`, `1.5 GiB`, `1024`, `-1`: a size in bytes. Units always count in powers of 1024, also `kb`. */
export function parseBytes(text: string): number | undefined {
  if (/^-\d+$/u.test(text)) return Number(text);
  const [, digits, unit = 'b'] =
    /^\+?((?:\d+\.?\d*|\.\d+)(?:e[-+]?\d{1,3})?)(?: ?(?:b|([kmgtp])i?b?))?$/iu.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const power = 'bkmgtp'.indexOf(unit.toLowerCase());
  const bytes = Math.floor(Number(digits) * 1024 ** power);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

const booleans = new Map([
  ['true', true],
  ['yes', true],
  ['y', true],
  ['on', true],
  ['false', false],
  ['no', false],
  ['n', false],
  ['off', false],
]);

/** `true`, `yes`, `y`, `on` and their opposites, in any case. */
export function parseBoolean(text: string): boolean | undefined {
  return booleans.get(text.toLowerCase());
}

/** A whole decimal number. */
export function parseInteger(text: string): number | undefined {
  const value = /^[-+]?\d+$/u.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** A decimal number with an optional fraction and exponent. */
export function parseNumber(text: string): number | undefined {
  return /^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?$/u.test(text) ? Number(text) : undefined;
}

const fileModeMax = 0o7777;

/** `0440` or `440` as text is octal; a number is what YAML has read already. */
export function parseFileMode(value: string | number): number | undefined {
  const mode = typeof value === 'number' ? value : /^(?:0o?)?[0-7]+$/u.test(value) ? octal(value) : -1;
  return Number.isInteger(mode) && mode >= 0 && mode <= fileModeMax ? mode : undefined;
}

function octal(text: string): number {
  return Number.parseInt(text.replace(/^0o/u, ''), 8);
}

/** A mode as text that reads back as the same mode: `0440`. */
export function formatFileMode(mode: number): string {
  return `0${mode.toString(8).padStart(3, '0')}`;
}

/** Linux takes no longer argument. */
const commandLineCharactersMax = 128 * 1024;

export type Words = { words: string[] } | { fault: string };

/**
 * Splits a command line into words as a POSIX shell does, with quotes and backslashes, but runs no shell: nothing is
 * expanded. Where a shell would do more than split (`;`, `&`, `|`, `<`, `>`, parentheses outside quotes), it is a fault:
 * compose-go drops the rest of the line there without a word.
 */
export function splitWords(text: string): Words {
  if (text.length > commandLineCharactersMax) {
    return { fault: `the command line has more than ${commandLineCharactersMax} characters` };
  }
  const words: string[] = [];
  let word = '';
  let started = false;
  let quote = '';
  let escaped = false;
  for (const character of text) {
    if (escaped) {
      word += character === 'n' ? '\n' : character === 't' ? '\t' : character;
      escaped = false;
    } else if (character === '\\' && quote !== "'") {
      escaped = true;
      started = true;
    } else if (quote !== '') {
      if (character === quote) quote = '';
      else word += character;
    } else if (character === '"' || character === "'") {
      quote = character;
      started = true;
    } else if (' \t\r\n'.includes(character)) {
      if (started) words.push(word);
      word = '';
      started = false;
    } else if (';&|<>()'.includes(character)) {
      return { fault: `no shell reads it, so ${JSON.stringify(character)} outside quotes means nothing` };
    } else {
      word += character;
      started = true;
    }
  }
  if (quote !== '') return { fault: `a ${quote} is never closed` };
  if (escaped) return { fault: 'it ends in a backslash' };
  if (started) words.push(word);
  return { words };
}
