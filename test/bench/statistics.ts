/** The middle value; the mean of the two middle ones of an even number of values. NaN of none. */
export function median(values: number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  if (sorted.length % 2 === 1) return sorted[middle]!;
  return (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Median and largest of some durations in milliseconds, as cells with seconds; a dash of none. */
export function secondsOf(ms: number[]): [string, string] {
  if (ms.length === 0) return ['-', '-'];
  const cell = (value: number) => (value / 1000).toFixed(1);
  return [cell(median(ms)), cell(Math.max(...ms))];
}

/** Rows of cells in columns; the first is aligned left, the others right. */
export function renderTable(rows: string[][]): string {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (row: string[]) =>
    widths
      .map((width, column) =>
        column === 0 ? (row[column] ?? '').padEnd(width) : (row[column] ?? '').padStart(width),
      )
      .join('  ')
      .trimEnd();
  return rows.map(line).join('\n');
}
