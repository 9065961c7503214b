import { parentPort, workerData } from 'node:worker_threads';
import { seededRandom } from '../../src/util/random.ts';
import { check, type Verdict } from './compose-check.ts';
import { corpus, mutate } from './compose-corpus.ts';

/** Checks every document whose number is this worker's, and reports as it goes. */

export interface FuzzReport {
  /** Documents done by this worker so far. */
  done: number;
  accepted: number;
  refused: number;
  failures: { index: number; text: string; verdict: Verdict }[];
  finished: boolean;
}

export interface FuzzShare {
  seed: number;
  first: number;
  count: number;
  step: number;
}

const reportEvery = 250;
const thoroughlyEvery = 4;
const failuresMax = 20;

/** The document of a number: the same for a seed, whoever makes it. */
export function documentOf(documents: readonly string[], seed: number, index: number): string {
  return mutate(
    documents,
    seededRandom((Math.imul(seed, 0x9e_37_79_b1) ^ Math.imul(index, 0x85_eb_ca_6b)) >>> 0),
  );
}

/** Traces of errors that are expected would take most of the time; `--show` has them. */
const traceLines = 0;

async function work({ seed, first, count, step }: FuzzShare): Promise<void> {
  Error.stackTraceLimit = traceLines;
  const documents = corpus();
  const report: FuzzReport = { done: 0, accepted: 0, refused: 0, failures: [], finished: false };
  for (let index = first; index < count; index += step) {
    const text = documentOf(documents, seed, index);
    const verdict = await check(text, index % thoroughlyEvery === 0);
    report.done += 1;
    if (verdict.outcome === 'accepted') report.accepted += 1;
    else if (verdict.outcome === 'refused') report.refused += 1;
    else if (report.failures.length < failuresMax) report.failures.push({ index, text, verdict });
    if (report.done % reportEvery === 0) send(report);
  }
  send({ ...report, finished: true });
}

function send(report: FuzzReport): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port to another thread has no origin
  parentPort?.postMessage(report);
}

if (parentPort !== null) await work(workerData as FuzzShare);
