import { statfs } from 'node:fs/promises';

/** Room on the file system that holds a path. */
export interface Space {
  freeBytes: number;
  totalBytes: number;
  /** Files that can still be made, and that there can be at all; 0 of 0 where that has no limit. */
  freeFiles: number;
  totalFiles: number;
}

/** What a user without privileges may still use is what counts: the rest is the file system's own reserve. */
export async function spaceOf(path: string): Promise<Space> {
  const { bavail, blocks, bsize, ffree, files } = await statfs(path);
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize, freeFiles: ffree, totalFiles: files };
}

const noSpaceCodes: ReadonlySet<unknown> = new Set(['no_space', 'ENOSPC', 'EDQUOT']);
/** As programs that pass it on as text say it: the C library's words, and SQLite's. */
const noSpaceWords = /no space left on device|disk quota exceeded|database or disk is full/i;

/** Whether an error, or one that caused it, says that a disk or a quota is full. */
export function isNoSpace(error: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause) {
    if ('code' in each && noSpaceCodes.has(each.code)) return true;
    if (noSpaceWords.test(each.message) || ('details' in each && noSpaceWords.test(String(each.details)))) {
      return true;
    }
  }
  return false;
}
