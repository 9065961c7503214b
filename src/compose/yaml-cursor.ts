import type { SourceFile } from './tree.ts';

/** Why reading stopped. `refused`: a limit is passed; otherwise the reader does not know how to go on. */
export interface Stop {
  offset: number;
  reason: string;
  hint: string;
  refused: boolean;
}

/** Unwinds the reader. */
export class Stopped extends Error {
  readonly stop: Stop;
  constructor(stop: Stop) {
    super(stop.reason);
    this.stop = stop;
  }
}

/** One value is never longer. */
const valueCharactersMax = 1024 * 1024;

/** A place in YAML text, and how to go on from it through spaces, comments and line ends. */
export class Cursor {
  protected readonly text: string;
  protected position = 0;
  protected lineStart = 0;
  protected readonly file: SourceFile;

  constructor(file: SourceFile) {
    this.file = file;
    this.text = file.text;
    if (this.text.startsWith('\uFEFF')) this.position = this.lineStart = 1;
  }

  protected stop(reason: string, offset = this.position): never {
    throw new Stopped({ offset, reason, hint: '', refused: false });
  }

  protected refuse(reason: string, hint: string): never {
    throw new Stopped({ offset: this.position, reason, hint, refused: true });
  }

  protected at(offset: number): { file: SourceFile; offset: number } {
    return { file: this.file, offset };
  }

  /** Goes to what comes next on this or a later line and gives its column; -1 at the end of the document. */
  protected next(): number {
    const { text } = this;
    let { position } = this;
    for (;;) {
      let code = text.charCodeAt(position);
      while (code === 32 || code === 10) {
        position += 1;
        if (code === 10) this.lineStart = position;
        code = text.charCodeAt(position);
      }
      this.position = position;
      if (Number.isNaN(code)) return -1;
      if (code === 9) {
        this.blankAfterTab();
      } else if (code === 35) {
        if (position > this.lineStart && !isBlank(text.charCodeAt(position - 1))) {
          this.stop('a comment needs a space before it');
        }
        this.toLineEnd();
      } else {
        const column = position - this.lineStart;
        return column === 0 && this.isMarker() ? -1 : column;
      }
      ({ position } = this);
    }
  }

  protected blankAfterTab(): void {
    while (isBlank(this.text.charCodeAt(this.position))) this.position += 1;
    const code = this.text.charCodeAt(this.position);
    if (code !== 10 && code !== 35) this.stop('tabs cannot indent');
  }

  protected isMarker(): boolean {
    const { text, position } = this;
    if (!text.startsWith('---', position) && !text.startsWith('...', position)) return false;
    return isSpaceOrEnd(text.charCodeAt(position + 3));
  }

  protected toLineEnd(): void {
    const end = this.text.indexOf('\n', this.position);
    this.position = end < 0 ? this.text.length : end;
  }

  protected checkLength(characters: number): void {
    if (characters <= valueCharactersMax) return;
    this.refuse('the value is too long', `at most ${valueCharactersMax} characters`);
  }

  protected lineEnd(): number {
    const end = this.text.indexOf('\n', this.position);
    return end < 0 ? this.text.length : end;
  }

  /** Whether only a comment follows on the line. */
  protected isLineEnd(): boolean {
    const code = this.text.charCodeAt(this.position);
    return code === 10 || code === 35 || Number.isNaN(code);
  }

  protected skipSpaces(): void {
    let { position } = this;
    while (this.text.charCodeAt(position) === 32) position += 1;
    this.position = position;
  }

  /** Nothing but a comment may follow on the line. */
  protected restOfLine(): void {
    const from = this.position;
    this.skipSpaces();
    const code = this.text.charCodeAt(this.position);
    if (code === 35 && this.position > from) this.toLineEnd();
    else if (code !== 10 && !Number.isNaN(code)) this.stop('more follows on the line than can be there');
  }
}

/** Whether the character is a space or a tab. */
export function isBlank(code: number): boolean {
  return code === 32 || code === 9;
}

/** Whether the character is a space or a line break, or there is none. */
export function isSpaceOrEnd(code: number): boolean {
  return code === 32 || code === 10 || Number.isNaN(code);
}
