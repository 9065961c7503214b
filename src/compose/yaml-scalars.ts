import { Cursor, isBlank, isSpaceOrEnd } from './yaml-cursor.ts';
import { blockValue, fold, unescapeDouble, type Chomping } from './yaml-text.ts';

/** Characters that no plain scalar begins with, or only with care. */
export const indicators = new Set('-?:,[]{}#&*!|>\'"%@`');
/** Indentation and chomping of a block scalar, and a comment. */
const headerPattern = /((?:[-+]?[1-9]?|[1-9][-+]))(?: +(?:#[^\n]*)?)?(?=\n|$)/uy;
/** A word without anything that needs a closer look, and the end of its line. */
const commonLine = /[\w./](?:[\w./@=+-]|:(?=[\w./])){0,999}\n/uy;
const commonFlowWord = /[\w./](?:[\w./@=+-]|:(?=[\w./])){0,999}(?= ?[,\]}])/uy;
const commonQuotes = /"[^"\\\n]{0,999}"/uy;
/** A plain scalar within brackets: a colon only before what is no space or bracket, `#` only behind what is no space. */
const flowPlainPattern = /(?:[^ \t\n,[\]{}:#]+|:(?![ \t\n,[\]{}]|$)|(?<![ \n])#| +(?![ #\n]))+/uy;

/** Reads the scalars of YAML text. */
export class ScalarReader extends Cursor {
  /**
   * A plain scalar as nearly all are, with the position behind it: a word, and what is on the next line is not indented
   * more than `parent`. Undefined, with the position where it was, for any other.
   */
  protected commonPlain(parent: number): string | undefined {
    const { text, position } = this;
    commonLine.lastIndex = position;
    if (!commonLine.test(text)) return undefined;
    const nextLine = commonLine.lastIndex;
    let next = nextLine;
    let code = text.charCodeAt(next);
    while (code === 32) code = text.charCodeAt(++next);
    if (next - nextLine > parent || code === 10 || code === 35 || code === 9) return undefined;
    this.position = nextLine - 1;
    return text.slice(position, this.position);
  }

  /** The same within brackets, where a comma or a bracket must follow on the line. */
  protected commonFlow(): string | undefined {
    const { text, position } = this;
    commonFlowWord.lastIndex = position;
    if (!commonFlowWord.test(text)) return undefined;
    this.position = commonFlowWord.lastIndex;
    return text.slice(position, this.position);
  }

  /** A plain scalar of one line or more, with the position behind it. */
  protected plain(parent: number): string {
    this.checkPlainStart(false);
    const from = this.position;
    const lines = [this.plainLine()];
    if (this.text.charCodeAt(this.position) === 35) return lines[0]!;
    for (;;) {
      const { position, lineStart } = this;
      let empty = 0;
      let column = -1;
      for (;;) {
        if (this.position >= this.text.length) break;
        this.position += 1; // the line's break
        this.lineStart = this.position;
        this.skipSpaces();
        const code = this.text.charCodeAt(this.position);
        if (code === 9) this.stop('a tab begins the line');
        if (code !== 10) {
          column = code === 35 || Number.isNaN(code) ? -1 : this.position - this.lineStart;
          break;
        }
        empty += 1;
      }
      if (column <= parent || (column === 0 && parent < 0)) {
        this.position = position;
        this.lineStart = lineStart;
        if (parent < 0 && column === 0 && !this.atMarkerBelow()) this.stop('text goes on at the top level');
        return fold(lines);
      }
      for (; empty > 0; empty -= 1) lines.push('');
      lines.push(this.plainLine());
      this.checkLength(this.position - from);
      if (this.text.charCodeAt(this.position) === 35) return fold(lines);
    }
  }

  private atMarkerBelow(): boolean {
    const { position, lineStart } = this;
    const column = this.next();
    this.position = position;
    this.lineStart = lineStart;
    return column < 0;
  }

  private checkPlainStart(inFlow: boolean): void {
    const first = this.text.charAt(this.position);
    if (!indicators.has(first)) return;
    const next = this.text.charCodeAt(this.position + 1);
    if (first !== '-' || isSpaceOrEnd(next) || (inFlow && ',[]{}'.includes(String.fromCodePoint(next)))) {
      this.stop(`no value begins with ${first}`);
    }
  }

  /** The rest of a plain scalar's line, up to its end or a comment. */
  private plainLine(): string {
    const { position } = this;
    const end = this.lineEnd();
    this.checkLength(end - position);
    let line = this.text.slice(position, end);
    this.position = end;
    if (line.includes('\t')) this.stop('there is a tab in the text', position);
    const comment = line.indexOf(' #');
    if (comment >= 0) {
      this.position = position + comment + 1;
      line = line.slice(0, comment);
    }
    line = trimmedEnd(line);
    if (line.includes(': ') || line.endsWith(':')) this.stop('a key cannot begin within a value', position);
    return line;
  }

  /** What stands between quotes. `isKey`: undefined unless it ends on the line. */
  protected quoted(quote: string, parent: number, isKey: boolean): string | undefined {
    const from = this.position + 1;
    if (quote === '"') {
      commonQuotes.lastIndex = this.position;
      if (commonQuotes.test(this.text)) {
        this.position = commonQuotes.lastIndex;
        return this.text.slice(from, this.position - 1);
      }
    }
    const end = this.closingQuote(quote, from);
    if (end < 0) this.stop(`a ${quote} is never closed`);
    this.checkLength(end - from);
    const raw = this.text.slice(from, end);
    this.position = end + 1;
    if (!raw.includes('\n')) return this.unquoted(quote, raw);
    if (isKey) return undefined;
    const [first = '', ...rest] = raw.split('\n');
    const last = rest.length - 1;
    for (const line of rest) {
      const indented = line.length - trimmedStart(line).length;
      const isContent = indented < line.length || line === rest[last];
      if (isContent && (indented <= parent || line.startsWith('\t')))
        this.stop('a line in quotes is not indented');
    }
    this.lineStart = this.text.lastIndexOf('\n', end) + 1;
    if (/\\\s*\n/u.test(raw) || /^(?:---|\.\.\.)/mu.test(raw)) this.stop('lines in quotes end in a rare way');
    const trimmed = rest.map((line, index) =>
      index === last ? trimmedStart(line) : trimmedStart(trimmedEnd(line)),
    );
    const lines = [trimmedEnd(first), ...trimmed];
    const folded = foldQuoted(lines);
    return this.unquoted(quote, folded);
  }

  private closingQuote(quote: string, from: number): number {
    let end = this.text.indexOf(quote, from);
    if (quote === "'") {
      while (end >= 0 && this.text.charAt(end + 1) === "'") end = this.text.indexOf(quote, end + 2);
      return end;
    }
    for (; end >= 0; end = this.text.indexOf(quote, end + 1)) {
      let slashes = 0;
      while (this.text.charAt(end - 1 - slashes) === '\\' && end - 1 - slashes >= from) slashes += 1;
      if (slashes % 2 === 0) return end;
    }
    return -1;
  }

  private unquoted(quote: string, raw: string): string {
    if (quote === "'") return raw.replaceAll("''", "'");
    const value = unescapeDouble(raw);
    if (value === undefined) this.stop('a backslash in quotes stands before what it cannot');
    return value;
  }

  protected blockScalar(parent: number, isFolded: boolean): string {
    headerPattern.lastIndex = this.position + 1;
    const header = headerPattern.exec(this.text);
    if (header === null || parent < 0) this.stop('a block of text begins in a rare way');
    const from = this.position;
    const signs = header[1]!;
    const chomping: Chomping = signs.includes('-') ? 'strip' : signs.includes('+') ? 'keep' : 'clip';
    const digit = /[1-9]/u.exec(signs)?.[0];
    this.position += 1 + header[0].length;
    let indent = digit === undefined ? -1 : parent + Number(digit);
    const lines: string[] = [];
    let blankMax = 0;
    while (this.position < this.text.length) {
      const start = this.position + 1; // behind the break
      if (start >= this.text.length) break;
      let end = this.text.indexOf('\n', start);
      if (end < 0) end = this.text.length;
      let spaces = 0;
      while (this.text.charCodeAt(start + spaces) === 32) spaces += 1;
      const isEmpty = start + spaces === end;
      if (!isEmpty && indent < 0) {
        if (spaces <= parent) break;
        if (blankMax > spaces) this.stop('an empty line above is indented more than the text');
        indent = spaces;
      }
      if (!isEmpty && spaces < indent) break;
      if (isEmpty) blankMax = Math.max(blankMax, spaces);
      lines.push(isEmpty && (indent < 0 || spaces <= indent) ? '' : this.text.slice(start + indent, end));
      this.checkLength(end - from);
      this.lineStart = start;
      this.position = end;
    }
    if (indent < 0 && blankMax > 0) this.stop('a block of nothing but spaces');
    if (lines.at(-1) !== undefined && /^ +$/u.test(lines.at(-1)!)) this.stop('a block ends in spaces');
    return blockValue(lines, isFolded, chomping);
  }

  protected flowPlain(): string {
    this.checkPlainStart(true);
    flowPlainPattern.lastIndex = this.position;
    const { position } = this;
    const end = flowPlainPattern.test(this.text) ? flowPlainPattern.lastIndex : position;
    const text = trimmedEnd(this.text.slice(position, end));
    if (text === '') this.stop('a value is missing');
    this.checkLength(end - position);
    this.position = end;
    return text;
  }
}

/** Without the spaces and tabs at its end; other white space is text in YAML. */
export function trimmedEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isBlank(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(0, end);
}

function trimmedStart(text: string): string {
  let start = 0;
  while (isBlank(text.charCodeAt(start))) start += 1;
  return text.slice(start);
}

/** Folds the lines of a quoted scalar, of which the first and the last may be empty and yet count. */
function foldQuoted(lines: readonly string[]): string {
  const [first = '', ...rest] = lines;
  const last = rest.pop() ?? '';
  const empty = rest.filter((line) => line === '').length;
  if (empty === rest.length) return first + (empty === 0 ? ' ' : '\n'.repeat(empty)) + last;
  const body = fold([first, ...rest]);
  let trailing = 0;
  while (rest.at(-1 - trailing) === '') trailing += 1;
  return body + (trailing === 0 ? ' ' : '\n'.repeat(trailing)) + last;
}
