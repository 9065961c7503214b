import type { Diagnostics } from './diagnostic.ts';
import type { SourceFile, TreeNode } from './tree.ts';
import { repeatedKey } from './yaml-limits.ts';
import { readQuickly, type Repeat } from './yaml-reader.ts';

/** A larger file is refused before it is parsed. */
export const composeFileBytesMax = 4 * 1024 * 1024;
/** Up to this size a file may use all of YAML, and all that is wrong with it is said; a larger one is only read quickly. */
const completeCharactersMax = 256 * 1024;

/** Characters that YAML text has only as escapes (YAML 1.2.2, chapter 5.1). */
// oxlint-disable-next-line no-control-regex -- those are meant
const notOfYaml = /[\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u0084\u0086-\u009F\uFFFE\uFFFF]/u;

/**
 * Reads YAML text into one tree a document. Faults are reported with their place; the documents that could be read are
 * given all the same. Scalars are as Go's YAML library reads them, aliases and `<<` are resolved, and keys are strings,
 * each at most once in a map.
 */
export async function parseYaml(file: SourceFile, diagnostics: Diagnostics): Promise<TreeNode[]> {
  const before = diagnostics.count();
  const trees = await readTrees(file, diagnostics);
  const odd = file.text.search(notOfYaml);
  if (odd >= 0 && diagnostics.count() === before) {
    const code = file.text.charCodeAt(odd).toString(16).toUpperCase().padStart(4, '0');
    diagnostics.error({ file, offset: odd }, [], `the file has the character U+${code}`, 'take it out');
  }
  return trees;
}

async function readTrees(file: SourceFile, diagnostics: Diagnostics): Promise<TreeNode[]> {
  if (file.text.length > composeFileBytesMax) {
    diagnostics.error(
      { file, offset: 0 },
      [],
      `the file is too large (${file.text.length} characters)`,
      `at most ${composeFileBytesMax} are read`,
    );
    return [];
  }
  const quick = readQuickly(file);
  if ('trees' in quick) return quick.trees;
  if ('repeats' in quick) {
    for (const repeat of quick.repeats) tellRepeat(file, repeat, diagnostics);
    return quick.rest;
  }
  const { stop } = quick;
  if (!stop.refused && file.text.length <= completeCharactersMax) {
    const { parseCompletely } = await import('./yaml-complete.ts'); // the library takes 20 ms to load
    return parseCompletely(file, diagnostics);
  }
  const at = { file, offset: stop.offset };
  if (stop.refused) diagnostics.error(at, [], stop.reason, stop.hint);
  else {
    const size = `${completeCharactersMax / 1024} KiB`;
    const hint = `files of more than ${size} are read only when written plainly`;
    diagnostics.error(at, [], `this is not YAML: ${stop.reason}`, hint);
  }
  return [];
}

function tellRepeat(file: SourceFile, { path, offset, firstOffset }: Repeat, diagnostics: Diagnostics): void {
  const first = { file, offset: firstOffset };
  diagnostics.error({ file, offset }, path, ...repeatedKey(String(path.at(-1)), first));
}
