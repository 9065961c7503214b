/** What a variable's name stands for; undefined when it is not set. */
export type Lookup = (name: string) => string | undefined;

export type Substitution = { value: string } | { fault: string; hint: string };

const nestingMax = 50;
/** A single value never grows beyond this, however often it names a large variable. */
const valueCharactersMax = 4 * 1024 * 1024;

/**
 * Replaces `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?error}`, `${NAME?error}`, `${NAME:+other}`,
 * `${NAME+other}` and `$$` (Compose specification, "Interpolation"; details as compose-go does them). What follows an
 * operator is itself substituted, and only when it is used. A dollar sign that begins none of these stays. `onUnset` is
 * told the names that stood for nothing.
 */
export function substitute(text: string, lookup: Lookup, onUnset: (name: string) => void): Substitution {
  if (!text.includes('$')) return { value: text };
  const reader = new Template(lookup, onUnset);
  const value = reader.expand(text, 0);
  return reader.failure ?? { value };
}

const namePattern = /[_a-zA-Z][_a-zA-Z0-9]*/uy;

class Template {
  failure: { fault: string; hint: string } | undefined;
  private readonly lookup: Lookup;
  private readonly onUnset: (name: string) => void;

  constructor(lookup: Lookup, onUnset: (name: string) => void) {
    this.lookup = lookup;
    this.onUnset = onUnset;
  }

  expand(text: string, depth: number): string {
    if (depth > nestingMax)
      return this.fail('variables are nested too deeply', `at most ${nestingMax} levels`);
    let result = '';
    let index = 0;
    while (this.failure === undefined) {
      const dollar = text.indexOf('$', index);
      if (dollar < 0) return result + text.slice(index);
      result += text.slice(index, dollar);
      const step = this.one(text, dollar, depth);
      result += step.value;
      index = step.end;
      if (result.length > valueCharactersMax) {
        return this.fail('the value grows too large', `at most ${valueCharactersMax} characters`);
      }
    }
    return '';
  }

  /** What begins with the dollar sign at `dollar`. */
  private one(text: string, dollar: number, depth: number): { value: string; end: number } {
    const next = text[dollar + 1];
    if (next === '$') return { value: '$', end: dollar + 2 };
    if (next === '{') return this.braced(text, dollar, depth);
    const name = nameAt(text, dollar + 1);
    if (name === '') return { value: '$', end: dollar + 1 };
    return { value: this.plain(name), end: dollar + 1 + name.length };
  }

  private braced(text: string, dollar: number, depth: number): { value: string; end: number } {
    const end = closingBrace(text, dollar + 1);
    const name = nameAt(text, dollar + 2);
    const after = dollar + 2 + name.length;
    const [operator] = /^:?[-?+]/u.exec(text.slice(after, after + 2)) ?? [''];
    // As compose-go has it, a variable ends on the line that it begins on.
    const isWhole = end >= 0 && !text.slice(dollar, end).includes('\n');
    if (!isWhole || name === '' || (operator === '' && after !== end)) {
      const shown = text.slice(dollar, end < 0 ? dollar + 40 : Math.min(end + 1, dollar + 40));
      this.fail(
        `${JSON.stringify(shown)} is not a variable`,
        'write ${NAME}, ${NAME:-default} or ${NAME:?error}, or $$ for a dollar sign',
      );
      return { value: '', end: text.length };
    }
    const body = text.slice(after + operator.length, end);
    return {
      value: operator === '' ? this.plain(name) : this.operate(name, operator, body, depth),
      end: end + 1,
    };
  }

  private operate(name: string, operator: string, body: string, depth: number): string {
    const value = this.lookup(name);
    const present = value !== undefined && (value !== '' || !operator.startsWith(':'));
    if (operator.endsWith('-')) return present ? value : this.expand(body, depth + 1);
    if (operator.endsWith('+')) return present ? this.expand(body, depth + 1) : '';
    if (present) return value;
    const message = this.expand(body, depth + 1);
    const state = value === undefined ? 'not set' : 'empty';
    return this.fail(
      `the required variable ${name} is ${state}${message === '' ? '' : `: ${message}`}`,
      `set ${name} in the environment or in .env`,
    );
  }

  private plain(name: string): string {
    const value = this.lookup(name);
    if (value === undefined) this.onUnset(name);
    return value ?? '';
  }

  private fail(fault: string, hint: string): string {
    this.failure ??= { fault, hint };
    return '';
  }
}

/** The variable's name at a place in the text; empty when none begins there. */
export function nameAt(text: string, index: number): string {
  namePattern.lastIndex = index;
  return namePattern.exec(text)?.[0] ?? '';
}

/** The brace that closes the one at `open`, braces within it being balanced; -1 when there is none. */
export function closingBrace(text: string, open: number): number {
  let depth = 0;
  for (let index = open; index < text.length; index += 1) {
    if (text[index] === '{') depth += 1;
    else if (text[index] === '}') {
      depth -= 1;
      if (depth === 0) return index;
    }
  }
  return -1;
}
