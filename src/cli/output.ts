import { printable } from '../util/text.ts';

/**
 * Where a command writes. `columns` is 0 when standard error is no terminal: then progress comes as plain lines. On a
 * terminal `print` and `note` show control characters instead of sending them, whoever the text came from.
 */
export interface Output {
  /** Results: what a script would read. */
  print(text: string): void;
  /** Bytes as they are: for a command's own drawing, the terminal of an exec, and what goes to a file or pipe. */
  write(stream: 'stdout' | 'stderr', chunk: Uint8Array | string): void;
  /** Progress, warnings and errors. */
  note(text: string): void;
  /** A line of a container's output: on a terminal without escape sequences, else byte for byte. */
  line(stream: 'stdout' | 'stderr', prefix: string, text: string): void;
  /** Width of the terminal progress is drawn on; 0: none. */
  columns: number;
  /** Whether to colour. */
  colour: boolean;
}

type Stream = Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'write'>;

/** Output to the process's own streams. Honours `NO_COLOR` and `TERM=dumb`. */
export function terminalOutput(
  environment: Record<string, string | undefined>,
  streams: { stdout: Stream; stderr: Stream } = process,
): Output {
  const { stdout, stderr } = streams;
  const live = stderr.isTTY && environment['TERM'] !== 'dumb';
  const safe = (stream: Stream, text: string) => (stream.isTTY ? shownText(text) : text);
  return {
    print: (text) => stdout.write(`${safe(stdout, text)}\n`),
    write: (stream, chunk) => streams[stream].write(chunk),
    line: (name, prefix, text) => {
      const stream = streams[name];
      stream.write(`${safe(stream, prefix)}${stream.isTTY ? shownLine(text) : text}\n`);
    },
    note: (text) => stderr.write(`${safe(stderr, text)}\n`),
    columns: live ? (stderr.columns ?? 80) : 0,
    colour: live && !environment['NO_COLOR'],
  };
}

export type Colour = 'red' | 'green' | 'yellow' | 'cyan' | 'dim' | 'bold';
const codes: Record<Colour, number> = { red: 31, green: 32, yellow: 33, cyan: 36, dim: 2, bold: 1 };

/** What `paint` sends; no other sequence goes to a terminal. */
const ownColours = new RegExp(`(\u001b\\[(?:0|${Object.values(codes).join('|')})m)`);

/** The text as it may go to a terminal: our own colours stay, everything else that a terminal would obey is shown. */
function shownText(text: string): string {
  return text
    .split(ownColours)
    .map((part, index) => (index % 2 === 1 ? part : printable(part)))
    .join('');
}

/** Colours (ECMA-48 SGR) of programs. */
// eslint-disable-next-line no-control-regex -- the control character is what is looked for
const programColours = /\u001b\[[\d;:]*m/g;

/** A line of a program: its colours and a return at its end are left out, everything else is shown. */
function shownLine(text: string): string {
  return printable(text.replace(programColours, '').replace(/\r+$/, ''));
}

/** The text in a colour, where the output has colours. */
export function paint(output: Pick<Output, 'colour'>, colour: Colour, text: string): string {
  return output.colour ? `\u001b[${codes[colour]}m${text}\u001b[0m` : text;
}

/** A table with a header, columns two spaces apart, no trailing blanks. Cells are made safe for a terminal. */
export function renderTable(header: string[], rows: string[][]): string {
  const cells = [header, ...rows].map((row) => row.map((cell) => printable(cell).replaceAll('\n', ' ')));
  const widths = header.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)));
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** What every listing command prints: a table for people, or JSON. */
export function printList<T>(
  output: Output,
  json: boolean,
  items: T[],
  table: { header: string[]; row: (item: T) => string[] },
): void {
  if (json) output.print(JSON.stringify(items, null, 2));
  else output.print(renderTable(table.header, items.map(table.row)));
}
