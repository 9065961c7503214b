import type { Position, PathSegment } from './tree.ts';
import { lineAndColumn, lineText } from './tree.ts';

/** One thing to say about a file, as data: what is wrong, where, and what would be right. */
export interface Diagnostic {
  severity: 'error' | 'warning';
  /** The file's name as the person gave it; empty when no file is to blame. */
  file: string;
  /** Counted from 1; 0 when no place is to blame. */
  line: number;
  column: number;
  /** `services.web.ports[0]`; empty for the whole file. */
  path: string;
  /** What is wrong. */
  message: string;
  /** What would be right; empty when there is nothing more to say. */
  hint: string;
  /** The line of the file it is about, for showing. */
  sourceLine?: string;
  /** The file is right as Compose goes, but Shoal does not run it. */
  refused?: true;
}

/** After this many errors, or warnings, the rest of them are not kept: they would help nobody. */
const diagnosticsMax = 200;

/** Collects what the stages find, so that a person sees all of it at once. */
export class Diagnostics {
  private readonly kept: Record<Diagnostic['severity'], Diagnostic[]> = { error: [], warning: [] };
  private readonly seen = new Set<string>();
  private readonly refusals: Diagnostic['severity'];

  /** `refusals`: what it is that Shoal does not run something; an error when it is to be run. */
  constructor(refusals: Diagnostic['severity'] = 'error') {
    this.refusals = refusals;
  }

  error(at: Position | undefined, path: readonly PathSegment[], message: string, hint = ''): void {
    this.add('error', at, path, message, hint);
  }

  warning(at: Position | undefined, path: readonly PathSegment[], message: string, hint = ''): void {
    this.add('warning', at, path, message, hint);
  }

  /** Something that the language has and Shoal does not run. */
  refusal(at: Position | undefined, path: readonly PathSegment[], message: string, hint = ''): void {
    const said = this.refusals === 'error' ? message : `shoal up refuses this: ${message}`;
    this.add(this.refusals, at, path, said, hint, true);
  }

  /** Whether there are so many errors that more would help nobody. */
  isFull(): boolean {
    return this.isFullOf('error');
  }

  /** Whether one more of this kind would not be kept. */
  isFullOf(how: 'error' | 'refusal' | 'warning'): boolean {
    return this.kept[how === 'refusal' ? this.refusals : how].length >= diagnosticsMax;
  }

  hasErrors(): boolean {
    return this.kept.error.length > 0;
  }

  /** How many errors and warnings are kept. */
  count(): number {
    return this.kept.error.length + this.kept.warning.length;
  }

  private add(
    severity: Diagnostic['severity'],
    at: Position | undefined,
    path: readonly PathSegment[],
    message: string,
    hint: string,
    refused = false,
  ): void {
    const list = this.kept[severity];
    if (list.length >= diagnosticsMax) return;
    const { line, column } = at === undefined ? { line: 0, column: 0 } : lineAndColumn(at);
    const file = at?.file.name ?? '';
    const key = JSON.stringify([severity, file, line, column, path, message]);
    if (this.seen.has(key)) return; // the same alias or base service may be read more than once
    this.seen.add(key);
    const diagnostic: Diagnostic = {
      severity,
      file,
      line,
      column,
      path: pathText(path),
      message,
      hint,
    };
    if (at !== undefined) diagnostic.sourceLine = lineText(at);
    if (refused) diagnostic.refused = true;
    list.push(diagnostic);
  }

  /** The warnings, in order of place. */
  warnings(): Diagnostic[] {
    return inOrder(this.kept.warning);
  }

  /** The errors, in order of place. */
  errors(): Diagnostic[] {
    return inOrder(this.kept.error);
  }
}

function inOrder(list: Diagnostic[]): Diagnostic[] {
  const files = [...new Set(list.map((diagnostic) => diagnostic.file))];
  return list.toSorted(
    (left, right) =>
      files.indexOf(left.file) - files.indexOf(right.file) ||
      left.line - right.line ||
      left.column - right.column,
  );
}

/** `['services', 'web', 'ports', 0]` as `services.web.ports[0]`; keys that are not plain words are quoted in brackets. */
export function pathText(path: readonly PathSegment[]): string {
  let text = '';
  for (const segment of path) {
    if (typeof segment === 'number') text += `[${segment}]`;
    else if (!/^[\w./-]+$/u.test(segment)) text += `[${JSON.stringify(segment)}]`;
    else text += text === '' ? segment : `.${segment}`;
  }
  return text;
}

/** `FILE:LINE:COL`. */
export function placeText(at: Position): string {
  const { line, column } = lineAndColumn(at);
  return `${at.file.name}:${line}:${column}`;
}

const chainNamesMax = 20;

/** Names that lead from one to the next; in a long chain those in the middle are left out. */
export function chainText(names: readonly string[]): string {
  const half = chainNamesMax / 2;
  const shown = names.length <= chainNamesMax ? names : [...names.slice(0, half), '…', ...names.slice(-half)];
  return shown.join(' -> ');
}

const sourceLineCharactersMax = 160;

/**
 * Text for a person: for each diagnostic `FILE:LINE:COL: PATH: what is wrong; what would be right`, and under it the
 * line with a caret. Control characters of the file are shown as escapes, so that a file cannot steer the terminal.
 */
export function renderDiagnostics(diagnostics: readonly Diagnostic[]): string {
  return diagnostics.map(renderOne).join('\n');
}

function renderOne(diagnostic: Diagnostic): string {
  const { file, line, column, path, message, hint, severity, sourceLine } = diagnostic;
  const place = file === '' ? '' : line === 0 ? `${file}: ` : `${file}:${line}:${column}: `;
  const kind = severity === 'warning' ? 'warning: ' : '';
  const about = path === '' ? '' : `${path}: `;
  const head = visible(`${place}${kind}${about}${message}${hint === '' ? '' : `; ${hint}`}`);
  if (sourceLine === undefined || line === 0) return head;
  const from = column > sourceLineCharactersMax ? column - sourceLineCharactersMax / 2 : 0;
  const shown = sourceLine.slice(from, from + sourceLineCharactersMax);
  const before = visible(shown.slice(0, Math.max(0, column - 1 - from))).replaceAll(/[^\t]/gu, ' ');
  const margin = String(line);
  return `${head}\n  ${margin} | ${visible(shown)}\n  ${' '.repeat(margin.length)} | ${before}^`;
}

/** Control and direction-changing characters as escapes; tabs stay. */
function visible(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    character === '\t' ? character : `\\u${character.codePointAt(0)!.toString(16).padStart(4, '0')}`,
  );
}
