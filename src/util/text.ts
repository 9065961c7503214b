/** How many single-letter changes, insertions, removals or swaps of neighbours turn one text into the other (optimal string alignment). */
export function editDistance(left: string, right: string): number {
  const rows = Array.from({ length: left.length + 1 }, (_, row) => [
    row,
    ...Array<number>(right.length).fill(0),
  ]);
  for (let column = 0; column <= right.length; column++) rows[0]![column] = column;
  for (let row = 1; row <= left.length; row++) {
    for (let column = 1; column <= right.length; column++) {
      const same = left[row - 1] === right[column - 1] ? 0 : 1;
      let best = Math.min(
        rows[row - 1]![column]! + 1,
        rows[row]![column - 1]! + 1,
        rows[row - 1]![column - 1]! + same,
      );
      if (
        row > 1 &&
        column > 1 &&
        left[row - 1] === right[column - 2] &&
        left[row - 2] === right[column - 1]
      ) {
        best = Math.min(best, rows[row - 2]![column - 2]! + 1);
      }
      rows[row]![column] = best;
    }
  }
  return rows[left.length]![right.length]!;
}

/** The candidate that a misspelt word most likely meant, if any is near enough (a third of its length). */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const wordLengthMax = 64; // longer words are not misspellings, and the distance is quadratic
  if (word.length > wordLengthMax) return undefined;
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .filter(
      ({ candidate, distance }) =>
        distance <= Math.max(1, Math.floor(Math.max(word.length, candidate.length) / 3)),
    )
    .sort((left, right) => left.distance - right.distance);
  return ranked[0]?.candidate;
}

/** `1 node`, `2 nodes`. */
export function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? '' : 's'}`;
}

/** `5s`, `3m`, `2h`, `4d`: how long something took or has lasted. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** `512 B`, `1.5 KiB`, `16 MiB`, `2 GiB`: an amount of memory or of disk, to one digit after the point. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const exponent = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${Number((bytes / 1024 ** exponent).toFixed(1))} ${units[exponent]}`;
}

/** Control characters but tab and line feed, and the marks that turn the direction of text around or break lines. */
const unprintable = /[^\P{Cc}\t\n]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** Text from elsewhere made safe for a terminal: control characters but tab and line feed are shown as `\xNN`. */
export function printable(text: string): string {
  return text.replace(unprintable, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
