import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { systemClock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import { systemRandom } from '../../src/util/random.ts';
import { check } from './compose-check.ts';
import { corpus } from './compose-corpus.ts';
import { documentOf, type FuzzReport, type FuzzShare } from './compose-worker.ts';

/** Damaged documents by the hundred thousand; the seed is printed and gives the same documents again. */

const usage = `Usage:
  npm run fuzz -- compose [--documents N] [--seed S]   N damaged Compose files (default 1,000,000)
  npm run fuzz -- compose --seed S --show I            print document I of that seed, and what became of it
`;

const documentsDefault = 1_000_000;
const sayEveryMs = 10_000;
/** A worker that says nothing for this long hangs in a document. */
const silenceMsMax = 60_000;

interface Options {
  documents?: string;
  seed?: string;
  show?: string;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function fuzz(options: Options): Promise<boolean> {
  const seed = Number(options.seed ?? Math.floor(systemRandom.next() * 2 ** 31));
  if (options.show !== undefined) return await show(seed, Number(options.show));
  const count = Number(options.documents ?? documentsDefault);
  const workers = availableParallelism();
  say(`seed ${seed}, ${count} documents, ${workers} workers`);
  const from = performance.now();
  const reports = await Promise.all(
    Array.from({ length: workers }, (_, first) => runShare({ seed, first, count, step: workers })),
  );
  const seconds = (performance.now() - from) / 1000;
  const sum = (key: 'done' | 'accepted' | 'refused') => reports.reduce((total, one) => total + one[key], 0);
  const failures = reports.flatMap((report) => report.failures);
  for (const { index, text, verdict } of failures) {
    say(`document ${index}: ${JSON.stringify(verdict)}\n  ${JSON.stringify(text)}`);
  }
  const rate = (sum('done') / seconds).toFixed(0);
  const counts = `${sum('done')} documents: ${sum('accepted')} accepted, ${sum('refused')} refused, ${failures.length} failures`;
  say(`${counts}; ${seconds.toFixed(0)} s, ${rate} a second; seed ${seed}`);
  return failures.length === 0;
}

async function show(seed: number, index: number): Promise<boolean> {
  const text = documentOf(corpus(), seed, index);
  const verdict = await check(text, true);
  say(`${text}\n\n${JSON.stringify(verdict)}`);
  return !('why' in verdict);
}

/** Runs one worker to its end; rejects when it dies or hangs. */
async function runShare(share: FuzzShare): Promise<FuzzReport> {
  const worker = new Worker(new URL('./compose-worker.ts', import.meta.url), { workerData: share });
  const watch = new AbortController();
  let last: FuzzReport = { done: 0, accepted: 0, refused: 0, failures: [], finished: false };
  let heardMs = performance.now();
  worker.on('message', (report: FuzzReport) => {
    last = report;
    heardMs = performance.now();
  });
  const ended = new Promise<void>((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', () => resolve());
  }).finally(() => watch.abort());
  const watching = watchShare(
    () => heardMs,
    () => last.done,
    share,
    watch.signal,
  );
  try {
    await Promise.race([ended, watching]);
  } finally {
    watch.abort();
    await worker.terminate();
  }
  if (!last.finished) throw new Error(`Cannot go on: a worker ended after ${last.done} of its documents`);
  return last;
}

async function watchShare(
  heardMs: () => number,
  done: () => number,
  { first, step }: FuzzShare,
  signal: AbortSignal,
): Promise<void> {
  let silentTicks = 0; // counted, not timed: a process that was suspended has not been listening
  let heardBeforeMs = heardMs();
  while (!signal.aborted) {
    await systemClock.sleep(sayEveryMs, signal).catch(() => undefined); // aborted: looked at next
    if (signal.aborted) return;
    silentTicks = heardMs() === heardBeforeMs ? silentTicks + 1 : 0;
    heardBeforeMs = heardMs();
    if (silentTicks * sayEveryMs > silenceMsMax) {
      throw new Error(`Cannot go on: a document hangs, at or soon after number ${first + done() * step}`);
    }
    if (first === 0) process.stderr.write(`${done() * step} documents\n`);
  }
}

try {
  const { positionals, values } = parseArgs({
    options: { documents: { type: 'string' }, seed: { type: 'string' }, show: { type: 'string' } },
    allowPositionals: true,
  });
  if (positionals[0] === 'compose') process.exitCode = (await fuzz(values)) ? 0 : 1;
  else {
    process.stderr.write(usage);
    process.exitCode = 2;
  }
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
}
