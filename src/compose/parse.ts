import type { Diagnostics } from './diagnostic.ts';
import type { SourceFile, TreeNode } from './tree.ts';
import { readQuickly } from './yaml-reader.ts';

/** A larger file is refused before it is parsed. */
export const composeFileBytesMax = 4 * 1024 * 1024;
/** Up to this size a file may use all of YAML, and all that is wrong with it is said; a larger one is only read quickly. */
const completeCharactersMax = 256 * 1024;

/**
 * Reads YAML text into one tree a document. Faults are reported with their place; the documents that could be read are
 * given all the same. Scalars are as Go's YAML library reads them, aliases and `<<` are resolved, and keys are strings,
 * each at most once in a map.
 */
export async function parseYaml(file: SourceFile, diagnostics: Diagnostics): Promise<TreeNode[]> {
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
