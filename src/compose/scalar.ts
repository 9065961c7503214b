import type { Scalar } from './tree.ts';

/**
 * A plain (unquoted) YAML scalar as Go's YAML library reads it, which is neither YAML 1.1 nor 1.2: `yes`, `no`, `on` and
 * `off` are strings, `0440` and `0o440` are octal, `1_000` is a whole number, and `22:22` stays a string. Dates and
 * infinities stay strings too: nothing in Compose can use them as such. Whole numbers too large to be exact are given as their decimal digits.
 */
export function resolvePlainScalar(text: string): Scalar {
  const first = text.charCodeAt(0);
  // Nearly all scalars begin with a letter or a slash; only n, N, t, T, f, F among those can be anything but a string.
  if (text === '' || text === '~') return null;
  if ((first >= 97 && first <= 122) || (first >= 65 && first <= 90)) return resolveWord(text);
  return resolveNumber(text) ?? text;
}

const words = new Map<string, Scalar>([
  ['null', null],
  ['Null', null],
  ['NULL', null],
  ['true', true],
  ['True', true],
  ['TRUE', true],
  ['false', false],
  ['False', false],
  ['FALSE', false],
]);

function resolveWord(text: string): Scalar {
  if (text.length > 5) return text; // than `false`
  const found = words.get(text);
  return found === undefined ? text : found;
}

function resolveNumber(text: string): Scalar | undefined {
  const first = text.charCodeAt(0);
  if (first === 47 || first === 36 || first === 123) return undefined; // a path or a variable: no number begins so
  if (/^(?:0|[1-9][0-9]{0,14})$/u.test(text)) return Number(text);
  if (!/^[-+.0-9a-fA-Fox_]*$/u.test(text)) return undefined; // a size, a duration, an address
  const plain = text.replaceAll('_', '');
  const whole = wholeNumber(plain);
  if (whole !== undefined && /^[-+]?[0-9]/u.test(text)) {
    return whole >= BigInt(Number.MIN_SAFE_INTEGER) && whole <= BigInt(Number.MAX_SAFE_INTEGER)
      ? Number(whole)
      : String(whole);
  }
  if (/^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/u.test(plain) && !text.startsWith('_')) {
    const value = Number(plain);
    return Number.isFinite(value) ? value : undefined;
  }
  return undefined;
}

function wholeNumber(text: string): bigint | undefined {
  const [, sign = '', digits = ''] = /^([-+]?)(.*)$/su.exec(text) ?? [];
  const value = wholeDigits(digits);
  return value === undefined ? undefined : sign === '-' ? -value : value;
}

function wholeDigits(digits: string): bigint | undefined {
  if (digits.length > 100) return undefined; // longer than any number that means something
  if (/^0b[01]+$/u.test(digits) || /^0x[0-9a-fA-F]+$/u.test(digits) || /^0o[0-7]+$/u.test(digits)) {
    return BigInt(digits);
  }
  if (/^0[0-7]+$/u.test(digits)) return BigInt(`0o${digits.slice(1)}`);
  return /^(?:0|[1-9][0-9]*)$/u.test(digits) ? BigInt(digits) : undefined;
}

/** A number as Go prints it by default: what is no whole number below 1e-4 and from 1e6 on with an exponent of two digits or more. */
export function numberText(value: number): string {
  if (Object.is(value, -0)) return '-0';
  const size = Math.abs(value);
  // Whole numbers this large are read as text: this one was written with an exponent.
  const isFraction = !Number.isInteger(value) || size > Number.MAX_SAFE_INTEGER;
  const text =
    (size < 1e-4 && size !== 0) || (size >= 1e6 && isFraction) ? value.toExponential() : String(value);
  return text.replace(/e([-+])(\d)$/u, 'e$10$2');
}
