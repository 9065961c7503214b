import { substitute, type Lookup } from './template.ts';

/** A fault in an environment file, with the line it is on, counted from 1. */
export interface DotenvFault {
  line: number;
  message: string;
  hint: string;
}

export interface DotenvResult {
  /** In the order of the file. */
  values: Map<string, string>;
  faults: DotenvFault[];
  /** Variables that values named and that are not set. */
  unset: Set<string>;
}

/** A larger environment file is refused. */
export const environmentFileBytesMax = 1024 * 1024;

/**
 * Reads an environment file in the grammar of Compose's `.env` and `env_file`: `export` before a name, `NAME=value` or
 * `NAME: value`, a bare `NAME` inherits from `lookup`, single quotes are literal, double quotes take escapes and
 * variables and may span lines, ` #` begins a comment. A variable in a value is looked up with `lookup` first, then
 * among the values above it, and then with `earlier`, which knows the files before this one.
 */
export function parseDotenv(text: string, lookup: Lookup, earlier: Lookup = () => undefined): DotenvResult {
  const reader = new DotenvReader(text.replace(/^\uFEFF/u, '').replaceAll('\r\n', '\n'), lookup, earlier);
  reader.read();
  return { values: reader.values, faults: reader.faults, unset: reader.unset };
}

/** The `raw` format: each line is `NAME=value` as it stands, without quotes, escapes or variables. */
export function parseRawEnvironment(text: string, lookup: Lookup): DotenvResult {
  const values = new Map<string, string>();
  const faults: DotenvFault[] = [];
  for (const [index, line] of text
    .replace(/^\uFEFF/u, '')
    .split(/\r?\n/u)
    .entries()) {
    if (line.trim() === '' || line.trimStart().startsWith('#')) continue;
    const equals = line.indexOf('=');
    const name = (equals < 0 ? line : line.slice(0, equals)).trimStart();
    if (name === '' || /\s/u.test(name)) {
      faults.push({
        line: index + 1,
        message: `${JSON.stringify(name)} is not the name of a variable`,
        hint: 'write NAME=value',
      });
      continue;
    }
    const value = equals < 0 ? lookup(name) : line.slice(equals + 1);
    if (value !== undefined) values.set(name, value);
  }
  return { values, faults, unset: new Set() };
}

const escapes: Record<string, string> = {
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '"': '"',
  '\\': '\\',
  $: '$$', // the form in which a dollar sign survives substitution
};

/** What may stand before a value on its line. */
const blanks = '\t\v\f\r \u0085\u00A0';

class DotenvReader {
  readonly values = new Map<string, string>();
  readonly faults: DotenvFault[] = [];
  readonly unset = new Set<string>();
  private readonly text: string;
  private readonly lookup: Lookup;
  private readonly earlier: Lookup;
  private index = 0;
  private line = 1;

  constructor(text: string, lookup: Lookup, earlier: Lookup) {
    this.text = text;
    this.lookup = lookup;
    this.earlier = earlier;
  }

  read(): void {
    while (this.skipBlank()) {
      const start = this.line;
      const statement = this.name();
      if (statement === undefined) {
        this.skipLine();
        continue;
      }
      const { name, assigned } = statement;
      const value = assigned ? this.value(start) : this.lookup(name);
      if (value !== undefined) this.values.set(name, value);
    }
  }

  /** Moves to the next statement; false at the end. */
  private skipBlank(): boolean {
    while (this.index < this.text.length) {
      const character = this.text[this.index]!;
      if (character === '#') this.skipLine();
      else if (/\s/u.test(character)) this.advance();
      else return true;
    }
    return false;
  }

  private advance(): void {
    if (this.text[this.index] === '\n') this.line += 1;
    this.index += 1;
  }

  private skipLine(): void {
    const end = this.text.indexOf('\n', this.index);
    this.index = end < 0 ? this.text.length : end;
  }

  private restOfLine(): string {
    const end = this.text.indexOf('\n', this.index);
    return this.text.slice(this.index, end < 0 ? this.text.length : end);
  }

  /** `NAME=`, `NAME:` or a bare `NAME`, with an optional `export`. */
  private name(): { name: string; assigned: boolean } | undefined {
    const rest = this.restOfLine();
    const [, prefix = ''] = /^(export[ \t]+)/u.exec(rest) ?? [];
    const [, name = '', blank = '', sign = ''] =
      /^([\p{L}\p{N}_.\-[\]]+)([ \t]*)([=:]?)/u.exec(rest.slice(prefix.length)) ?? [];
    const after = rest.slice(prefix.length + name.length + blank.length);
    if (name === '' || (sign === '' && after !== '' && !after.startsWith('#'))) {
      this.fault(
        this.line,
        `${JSON.stringify(rest.slice(0, 40))} does not begin with NAME=`,
        'write NAME=value; names have letters, digits and _ . - [ ]',
      );
      return undefined;
    }
    this.index += prefix.length + name.length + blank.length + sign.length;
    if (sign === '') this.skipLine();
    return { name, assigned: sign !== '' };
  }

  private value(start: number): string | undefined {
    while (blanks.includes(this.text[this.index] ?? '\n')) this.index += 1;
    const quote = this.text[this.index];
    if (quote === '"' || quote === "'") return this.quoted(quote, start);
    const line = this.restOfLine();
    this.skipLine();
    const comment = line.indexOf(' #'); // only after a space: `A=x#y` and `A= #y` are all value
    return this.substituted((comment < 0 ? line : line.slice(0, comment)).trimEnd(), start);
  }

  private quoted(quote: string, start: number): string | undefined {
    let raw = '';
    this.index += 1;
    while (this.index < this.text.length) {
      const character = this.text[this.index]!;
      if (character === quote) {
        this.index += 1;
        return quote === "'" ? raw : this.substituted(unescape(raw), start);
      }
      if (character === '\\' && this.index + 1 < this.text.length) {
        const next = this.text[this.index + 1]!;
        raw += next === quote ? (quote === '"' ? '\\"' : quote) : `\\${next}`;
        this.advance();
      } else raw += character;
      this.advance();
    }
    this.fault(start, `the value's ${quote} is never closed`, `end the value with ${quote}`);
    return undefined;
  }

  private substituted(text: string, line: number): string | undefined {
    const result = substitute(
      text,
      (name) => this.lookup(name) ?? this.values.get(name) ?? this.earlier(name),
      (name) => this.unset.add(name),
    );
    if ('value' in result) return result.value;
    this.fault(line, result.fault, result.hint);
    return undefined;
  }

  private fault(line: number, message: string, hint: string): void {
    this.faults.push({ line, message, hint });
  }
}

/** The escapes of a double-quoted value, octal ones as `\0` and three digits; one that is not known stays as it is. */
function unescape(text: string): string {
  return text.replaceAll(
    /\\(?:0([0-3][0-7]{2})|([abfnrtv$"\\]))/gu,
    (_, octal: string | undefined, letter: string) =>
      octal === undefined ? escapes[letter]! : String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
