/** The text of YAML scalars: quotes, escapes, folding, block scalars (YAML 1.2.2, chapters 7.3 and 8.1). */

const escapes: Record<string, string> = {
  a: '\u0007',
  b: '\b',
  e: '\u001B',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  N: '\u0085',
  _: '\u00A0',
  L: '\u2028',
  P: '\u2029',
  ' ': ' ',
  '"': '"',
  '/': '/',
  '\\': '\\',
};

/** What stands between double quotes, with its escapes replaced; undefined when one of them means nothing. */
export function unescapeDouble(text: string): string | undefined {
  if (!text.includes('\\')) return text;
  let fits = true;
  const value = text.replaceAll(
    /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([\s\S]))/gu,
    (_, two?: string, four?: string, eight?: string, letter?: string) => {
      const digits = two ?? four ?? eight;
      const code = digits === undefined ? -1 : Number.parseInt(digits, 16);
      if (code > 0 && code <= 0x10_ff_ff) return String.fromCodePoint(code);
      const found = letter === undefined ? undefined : escapes[letter];
      fits &&= found !== undefined;
      return found ?? '';
    },
  );
  return fits ? value : undefined;
}

/** Lines of a scalar as one: a break is a space, and each empty line a line break. */
export function fold(lines: readonly string[]): string {
  let value = lines[0]!;
  let empty = 0;
  for (const line of lines.slice(1)) {
    if (line === '') empty += 1;
    else {
      value += empty === 0 ? ` ${line}` : '\n'.repeat(empty) + line;
      empty = 0;
    }
  }
  return value;
}

export type Chomping = 'clip' | 'strip' | 'keep';

/** The value of a block scalar, of whose lines the indentation has been taken away. */
export function blockValue(lines: readonly string[], isFolded: boolean, chomping: Chomping): string {
  let end = lines.length;
  while (end > 0 && lines[end - 1] === '') end -= 1;
  const body = isFolded ? foldBlock(lines.slice(0, end)) : lines.slice(0, end).join('\n');
  const trailing = lines.length - end;
  if (end === 0) return chomping === 'keep' ? '\n'.repeat(trailing) : '';
  if (chomping === 'strip') return body;
  return chomping === 'clip' ? `${body}\n` : body + '\n'.repeat(trailing + 1);
}

/** Lines that begin with white space keep their breaks, and so do those around them. */
function foldBlock(lines: readonly string[]): string {
  let value = '';
  let breaks = 0;
  let before: 'start' | 'text' | 'indented' = 'start';
  for (const line of lines) {
    if (line === '') {
      breaks += 1;
      continue;
    }
    const isIndented = line.startsWith(' ') || line.startsWith('\t');
    if (before === 'start') value += '\n'.repeat(breaks);
    else if (isIndented || before === 'indented') value += '\n'.repeat(breaks + 1);
    else value += breaks === 0 ? ' ' : '\n'.repeat(breaks);
    value += line;
    breaks = 0;
    before = isIndented ? 'indented' : 'text';
  }
  return value;
}
