import type { FileEntry, LocalEntry } from './listing.ts';

/** What another host must be sent, and must remove first, to have the same. */
export interface Difference {
  /** Paths in the order of the listing, with the folders whose times change on the way. */
  changed: string[];
  /** Paths of the other host, each with all that is in it. */
  removed: string[];
  /** What the changed files take on the disk. */
  bytes: number;
}

/** Whether all but the content is the same: only then the content needs to be looked at. */
export function looksSame(left: FileEntry, right: FileEntry | undefined): boolean {
  return (
    right !== undefined &&
    left.kind === right.kind &&
    left.mode === right.mode &&
    left.uid === right.uid &&
    left.gid === right.gid &&
    left.size === right.size &&
    left.mtime === right.mtime &&
    left.target === right.target &&
    left.sameAs === right.sameAs
  );
}

/**
 * Compares two listings, whose files that look the same have digests. `isUnsure` tells those that the other host may have as they were: what
 * a listing does not show, such as extended attributes, may have changed.
 */
export function differenceOf(
  source: ReadonlyMap<string, LocalEntry>,
  target: ReadonlyMap<string, FileEntry>,
  isUnsure: (entry: LocalEntry) => boolean,
): Difference {
  const differs = (entry: LocalEntry) => {
    const other = target.get(entry.path);
    if (!looksSame(entry, other) || isUnsure(entry)) return true;
    return entry.kind === 'file' && (entry.digest === undefined || entry.digest !== other?.digest);
  };
  const changed = new Set<string>();
  const inodes = new Set<string>();
  for (const entry of source.values()) {
    if (!differs(entry)) continue;
    changed.add(entry.path);
    if (entry.kind !== 'directory') inodes.add(entry.inode);
  }
  // A file with several names is one file there only if all of them are sent together.
  for (const entry of source.values()) {
    if (entry.kind !== 'directory' && inodes.has(entry.inode)) changed.add(entry.path);
  }
  const removed = outermost([...target.values()].filter((entry) => isOther(entry, source.get(entry.path))));
  for (const path of [...changed, ...removed]) {
    const parent = parentOf(path);
    if (parent !== undefined && source.has(parent)) changed.add(parent);
  }
  const inOrder = [...source.values()].filter(({ path }) => changed.has(path));
  return {
    changed: inOrder.map(({ path }) => path),
    removed,
    bytes: inOrder.reduce((sum, { bytes, sameAs }) => sum + (sameAs === undefined ? bytes : 0), 0),
  };
}

/** Whether it must be out of the way before what is there now can come. */
function isOther(entry: FileEntry, now: FileEntry | undefined): boolean {
  return now === undefined || now.kind !== entry.kind;
}

/** Paths without those that go with a folder; folders come before what is in them. */
function outermost(entries: FileEntry[]): string[] {
  const kept = new Set<string>();
  for (const { path } of entries) {
    let isInside = false;
    for (let up = parentOf(path); up !== undefined && !isInside; up = parentOf(up)) isInside = kept.has(up);
    if (!isInside) kept.add(path);
  }
  return [...kept];
}

function parentOf(path: string): string | undefined {
  if (path === '.') return undefined;
  const end = path.lastIndexOf('/');
  return end === -1 ? '.' : path.slice(0, end);
}
