/** What clients asked of a store and were answered, and what the store says has happened. Values are unique, so each tells its write. */

export type Asked =
  | { kind: 'read' }
  /** Puts a value in place of the one that the client saw; `undefined`: where nothing was. */
  | { kind: 'swap'; expected: Version | undefined; value: string };

export interface Version {
  revision: number;
  value: string;
}

export type Answer =
  /** What was found. */
  | { kind: 'found'; version: Version | undefined }
  | { kind: 'swapped'; revision: number }
  /** There was something else. */
  | { kind: 'refused' }
  /** Nobody knows whether it was done. */
  | { kind: 'unknown' };

/** One call of one client; times are monotonic ms. */
export interface Operation {
  client: number;
  key: string;
  asked: Asked;
  calledAt: number;
  /** Of an unknown one it is infinite: it may be done at any time. */
  returnedAt: number;
  answer: Answer;
}

/** Every change of the keys, in the order of revisions. */
export type Log = readonly (Version & { key: string })[];

export function describe({ client, key, asked, answer, calledAt, returnedAt }: Operation): string {
  const what = asked.kind === 'read' ? 'read' : `swap ${asked.expected?.value ?? 'nothing'} → ${asked.value}`;
  const time = `${calledAt.toFixed(1)}–${returnedAt.toFixed(1)} ms`;
  return `client ${client}, ${key}, ${time}: ${what}: ${JSON.stringify(answer)}`;
}
