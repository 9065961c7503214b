import { Diagnostics, type Diagnostic } from '../../src/compose/diagnostic.ts';
import { memoryFiles } from '../../src/compose/fixtures.ts';
import { loadApplication, loadModel, type LoadedModel, type LoadOptions } from '../../src/compose/load.ts';
import { parseCompletely } from '../../src/compose/yaml-complete.ts';
import { renderCanonical } from '../../src/compose/render.ts';
import { toPlain } from '../../src/compose/tree.ts';
import { readQuickly } from '../../src/compose/yaml-reader.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { files } from './compose-corpus.ts';

/** What must hold for every document, however damaged. */

export type Verdict =
  | { outcome: 'accepted' | 'refused' }
  | { outcome: 'crash' | 'place' | 'fixed point' | 'readers' | 'slow'; why: string };

/** A document takes no longer; one that seems to is tried again, because other programs want the processors too. */
const documentMsMax = 100;
const slowTries = 5;

function optionsOf(text: string): LoadOptions {
  return {
    files: [{ path: 'compose.yaml' }],
    environment: { A: 'a', HOME: '/home/me', FROM: 'outside' },
    workingDirectory: '/app',
    fileSystem: memoryFiles({ ...files, '/app/compose.yaml': text }),
  };
}

/** The model that is printed, and the specs of it unless Shoal refuses to run it. */
async function load(text: string): Promise<LoadedModel & { application?: unknown }> {
  const printed = await loadModel(optionsOf(text));
  try {
    return await loadApplication(optionsOf(text));
  } catch (error) {
    if (error instanceof ShoalError && error.code === 'not_supported') return printed;
    throw error;
  }
}

/** Loads a document and says whether all went as it must. `thoroughly`: both YAML readers are compared as well. */
export async function check(text: string, thoroughly: boolean): Promise<Verdict> {
  const from = performance.now();
  let verdict = await judge(text);
  const tookMs = performance.now() - from;
  if (tookMs > documentMsMax && (await isSlow(text))) {
    return { outcome: 'slow', why: `${tookMs.toFixed(0)} ms` };
  }
  if (thoroughly && !('why' in verdict)) verdict = readersDiffer(text) ?? verdict;
  return verdict;
}

async function isSlow(text: string): Promise<boolean> {
  for (let attempt = 0; attempt < slowTries; attempt += 1) {
    const from = performance.now();
    await load(text).catch(() => undefined); // judged already
    if (performance.now() - from <= documentMsMax) return false;
  }
  return true;
}

async function judge(text: string): Promise<Verdict> {
  let loaded: Awaited<ReturnType<typeof load>>;
  try {
    loaded = await load(text);
  } catch (error) {
    return refusal(error);
  }
  const rendered = renderCanonical(loaded.canonical, 'yaml');
  try {
    const again = await load(rendered);
    const isFixed =
      renderCanonical(again.canonical, 'yaml') === rendered &&
      (loaded.application === undefined ||
        JSON.stringify(again.application) === JSON.stringify(loaded.application));
    return isFixed ? { outcome: 'accepted' } : { outcome: 'fixed point', why: 'it changes' };
  } catch (error) {
    const why = error instanceof ShoalError ? JSON.stringify(error.details) : String(error);
    return { outcome: 'fixed point', why: `it is refused: ${why}` };
  }
}

function refusal(error: unknown): Verdict {
  if (!(error instanceof ShoalError) || error.code === 'internal') {
    return { outcome: 'crash', why: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  const details = (error.details ?? []) as Diagnostic[];
  const errors = details.filter(({ severity }) => severity === 'error');
  const nowhere = errors.find(({ line, column }) => line < 1 || column < 1);
  if (error.code !== 'invalid_file' || errors.length === 0) return { outcome: 'place', why: error.message };
  if (nowhere !== undefined) return { outcome: 'place', why: `no place: ${nowhere.message}` };
  return { outcome: 'refused' };
}

/** What the quick reader accepts the complete one must accept, and understand in the same way. */
function readersDiffer(given: string): Verdict | undefined {
  const text = given.replaceAll('\r\n', '\n');
  const quick = readQuickly({ name: 'a', text });
  if (!('trees' in quick)) return undefined;
  const diagnostics = new Diagnostics();
  const complete = parseCompletely({ name: 'a', text }, diagnostics);
  const same = JSON.stringify(quick.trees.map(toPlain)) === JSON.stringify(complete.map(toPlain));
  if (same && !diagnostics.hasErrors()) return undefined;
  return { outcome: 'readers', why: diagnostics.errors()[0]?.message ?? 'they read other values' };
}
