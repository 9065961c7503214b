import { ShoalError } from '../util/errors.ts';

/** Deeper nesting nothing of ours has, and a parser takes long for it. */
const depthMax = 64;
/** Values of one text. A large application has some 100,000. */
const valuesMax = 500_000;

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/**
 * JSON that comes from a socket. What would keep the parser busy for long, nested deeply or of very many values, is
 * refused before it is parsed. Throws `invalid_argument`; `what` is what could not be read.
 */
export function parseUntrusted(bytes: Uint8Array, what: string): unknown {
  const fault = shapeFault(bytes);
  if (fault !== undefined) throw new ShoalError('invalid_argument', `Cannot read ${what}: ${fault}`);
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()) as unknown;
  } catch (cause) {
    // The parser repeats what it was given, which is of no use to anybody and may be secret.
    throw new ShoalError('invalid_argument', `Cannot read ${what}: it is not JSON`, {
      cause: new Error(cause instanceof SyntaxError ? 'a syntax error' : 'it is too large'),
    });
  }
}

function shapeFault(bytes: Uint8Array): string | undefined {
  let depth = 0;
  let count = 0;
  for (let index = 0; index < bytes.length; index++) {
    switch (bytes[index]!) {
      case quote:
        index = endOfText(bytes, index);
        break;
      case openBracket:
      case openBrace:
        count++;
        if (++depth > depthMax) return `it is nested more than ${depthMax} deep`;
        break;
      case closeBracket:
      case closeBrace:
        depth--;
        break;
      case comma:
        if (++count > valuesMax) return `it has more than ${valuesMax} values`;
        break;
      default: // parts of a value
    }
  }
  return undefined;
}

/** Where the text ends that begins at the quote. */
function endOfText(bytes: Uint8Array, start: number): number {
  let index = start + 1;
  while (index < bytes.length && bytes[index] !== quote) index += bytes[index] === backslash ? 2 : 1;
  return index;
}
