/** What the end of etcd's process means for who runs it. */
export type ExitMeaning =
  /** The other members have removed this one: for good. */
  | { kind: 'removed' }
  /** Its data cannot be used any more: the member must be removed and added as another one. */
  | { kind: 'damaged'; why: string }
  | { kind: 'no space' }
  /** Another process has its port, or the host does not have the address. */
  | { kind: 'bind'; why: string }
  /** Another etcd uses the same folder. */
  | { kind: 'locked' }
  | { kind: 'other'; why: string };

/** With this the program `flock` says that somebody else has the lock; etcd itself never ends so. */
export const lockedExitCode = 75;

/** Words in which etcd 3.4 to 3.6 says that its data is not what it was. */
const damaged = [
  /tocommit\(\d+\) is out of range/,
  /walpb: crc mismatch/,
  /wal: (crc mismatch|max entry size limit exceeded|slice bounds out of range)/,
  /snap: crc mismatch|database snapshot file path error|file checksum/,
  /failed to (recover v3 backend from|find database) snapshot/,
  /found data inconsistency with peers|checkInitialHashKV failed/,
  /invalid database|freelist .*invalid|invalid page type|unexpected fault address/,
];

/**
 * Reads why etcd has ended, from its exit code (undefined: a signal) and its last lines on stderr. A member that was removed
 * exits with 0. What it says of other members, or only as a warning, is no reason.
 */
export function exitMeaning(
  code: number | undefined,
  signal: string | undefined,
  lines: readonly string[],
): ExitMeaning {
  if (code === lockedExitCode) return { kind: 'locked' };
  if (code === 0 && lines.some((line) => line.includes('data-dir used by this member must be removed')))
    return { kind: 'removed' };
  // zap's errors, and what Go prints by itself
  const reasons = lines.filter(
    (line) => !line.startsWith('{') || /^\{"level":"(fatal|d?panic|error)"/.test(line),
  );
  const reason = (pattern: RegExp) => reasons.find((line) => pattern.test(line));
  if (reason(/no space left on device/) !== undefined) return { kind: 'no space' };
  const bind = reason(/bind: (address already in use|cannot assign requested address|permission denied)/);
  if (bind !== undefined) return { kind: 'bind', why: words(bind) };
  const damage = damaged.map(reason).find((line) => line !== undefined);
  if (damage !== undefined && code !== 0) return { kind: 'damaged', why: words(damage) };
  const how = code === undefined ? `signal ${signal ?? 'unknown'}` : `exit code ${code}`;
  const last = reason(/^\{"level":"(fatal|panic)"|^panic:/) ?? reasons.at(-1);
  return { kind: 'other', why: last === undefined ? how : `${how}: ${words(last)}` };
}

const wordsMax = 300;

/** What a line says, for a person. */
function words(line: string): string {
  const error = /"error":"((?:[^"\\]|\\.)*)"/.exec(line)?.[1];
  const message = /"msg":"((?:[^"\\]|\\.)*)"/.exec(line)?.[1];
  const text = error === undefined ? (message ?? line) : error;
  return text.length > wordsMax ? `${text.slice(0, wordsMax)}…` : text;
}
