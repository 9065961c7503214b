import { parseArgs } from 'node:util';
import { messageOf } from '../../src/util/errors.ts';
import { systemRandom } from '../../src/util/random.ts';
import type { PeerCase } from './case.ts';
import { compareAll, type Outcome } from './compose.ts';
import { explain } from './known.ts';
import { layeringCases } from './layering-cases.ts';
import { modelCases } from './model-cases.ts';
import { readingCases } from './reading-cases.ts';
import { damagedCases, pairedCases, sampleCases, tableCases } from './table-cases.ts';

/** Compares what Shoal and docker compose make of the same Compose files. */

const usage = `Usage:
  npm run peer -- compose [--binary PATH] [--documents N] [--seed S] [--known]

Reads cases with the docker-compose at PATH (or $DOCKER_COMPOSE) and with Shoal, N damaged documents among them
(default 3000; a seed makes the same ones again), and prints where they differ. --known prints the differences that
docs/compose-differences.md lists, too.
`;

const documentsDefault = 3_000;
/** For each damaged document so many pairs of files that are right are merged. */
const pairedShare = 0.25;
const shownMax = 50;

interface Options {
  binary?: string;
  documents?: string;
  seed?: string;
  known?: boolean;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function* allCases(seed: number, documents: number): Generator<PeerCase> {
  yield* tableCases();
  yield* sampleCases();
  yield* readingCases();
  yield* layeringCases();
  yield* modelCases();
  yield* pairedCases(seed, Math.ceil(documents * pairedShare));
  yield* damagedCases(seed, documents);
}

function describe(one: PeerCase, outcome: Exclude<Outcome, { outcome: 'same' }>): string {
  const said =
    'complaints' in outcome
      ? outcome.complaints.map((text) => text.slice(-400))
      : outcome.differences.map(
          ({ path, dockerCompose, shoal }) =>
            `${path}: docker compose ${JSON.stringify(dockerCompose)}, Shoal ${JSON.stringify(shoal)}`,
        );
  return [`${JSON.stringify(one.name)}: ${outcome.outcome}`, ...said].join('\n    ');
}

async function compare(options: Options): Promise<boolean> {
  const binary = options.binary ?? process.env['DOCKER_COMPOSE'];
  if (binary === undefined) throw new Error('Cannot compare: name a docker-compose with --binary PATH');
  const seed = Number(options.seed ?? Math.floor(systemRandom.next() * 2 ** 31));
  const documents = Number(options.documents ?? documentsDefault);
  say(`seed ${seed}, ${documents} damaged documents`);
  const counts = { cases: 0, same: 0, known: 0, unknown: 0 };
  const byName = new Map<string, number>();
  await compareAll(binary, allCases(seed, documents), (one, outcome) => {
    counts.cases += 1;
    if (outcome.outcome === 'same') {
      counts.same += 1;
      return;
    }
    const names = explain(outcome, one);
    counts[names === undefined ? 'unknown' : 'known'] += 1;
    for (const name of names ?? []) byName.set(name, (byName.get(name) ?? 0) + 1);
    if (names === undefined && counts.unknown <= shownMax) say(describe(one, outcome));
    else if (options.known === true) say(`known (${names?.join('; ')}): ${describe(one, outcome)}`);
  });
  for (const [name, count] of [...byName].sort(([, left], [, right]) => right - left))
    say(`${count} × ${name}`);
  const { cases, same, known, unknown } = counts;
  say(`${cases} cases, ${same} the same, ${known} known differences, ${unknown} unknown; seed ${seed}`);
  return unknown === 0;
}

try {
  const { positionals, values } = parseArgs({
    options: {
      binary: { type: 'string' },
      documents: { type: 'string' },
      seed: { type: 'string' },
      known: { type: 'boolean' },
    },
    allowPositionals: true,
  });
  if (positionals[0] === 'compose') process.exitCode = (await compare(values)) ? 0 : 1;
  else {
    process.stderr.write(usage);
    process.exitCode = 2;
  }
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
}
