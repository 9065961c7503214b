import { printable } from '../util/text.ts';

/** Where a command writes. `columns` is 0 when standard error is no terminal: then progress comes as plain lines. */
export interface Output {
  /** Results: what a script would read. */
  print(text: string): void;
  /** Raw bytes of results, such as a container's output. */
  write(stream: 'stdout' | 'stderr', chunk: Uint8Array | string): void;
  /** Progress, warnings and errors. */
  note(text: string): void;
  /** Width of the terminal progress is drawn on; 0: none. */
  columns: number;
  /** Whether to colour. */
  colour: boolean;
}

/** The process's own streams. Honours `NO_COLOR` and `TERM=dumb`. */
export function terminalOutput(environment: Record<string, string | undefined>): Output {
  const live = process.stderr.isTTY && environment['TERM'] !== 'dumb';
  return {
    print: (text) => process.stdout.write(`${text}\n`),
    write: (stream, chunk) => process[stream].write(chunk),
    note: (text) => process.stderr.write(`${text}\n`),
    columns: live ? (process.stderr.columns ?? 80) : 0,
    colour: live && !environment['NO_COLOR'],
  };
}

export type Colour = 'red' | 'green' | 'yellow' | 'cyan' | 'dim' | 'bold';
const codes: Record<Colour, number> = { red: 31, green: 32, yellow: 33, cyan: 36, dim: 2, bold: 1 };

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
