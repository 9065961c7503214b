import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Writes a file (mode 0600) and resolves once it is on the disk. Its name may still be lost: see `syncFolder`. */
export async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Puts a file in the place of another so that, whenever power fails, one of the two is there whole. */
export async function replaceDurably(path: string, text: string): Promise<void> {
  await writeDurably(`${path}.new`, text);
  await rename(`${path}.new`, path);
  await syncFolder(dirname(path));
}

/** Resolves once the names in the folder are on the disk. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
