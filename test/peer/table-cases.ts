import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { disk } from '../../src/compose/attribute-rows.ts';
import { serviceRows } from '../../src/compose/table-rows.ts';
import { rowsWithin } from '../../src/compose/table-rows-within.ts';
import { given, ofService } from '../../src/compose/table-text.ts';
import { seededRandom } from '../../src/util/random.ts';
import { corpus, files as corpusFiles, rowTexts, tableTexts, type RowText } from '../fuzz/compose-corpus.ts';
import { documentOf } from '../fuzz/compose-worker.ts';
import { caseOf, type PeerCase } from './case.ts';

/** Cases made of what the project has: the tables of the language, the samples, and damaged documents. */

const root = join(import.meta.dirname, '../..');

/** Files of a test's /app by their path in a case's folder. */
function inFolder(files: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(files).map(([path, text]) => [path.replace(/^\/app\//u, ''), text]),
  );
}

/** Each row of the tables with each of its values: right, wrong, and refused. */
export function tableCases(): PeerCase[] {
  const { environment } = given;
  const casesOf = (texts: readonly RowText[], files: Readonly<Record<string, string>>) =>
    texts.map(({ name, text }) => caseOf(name, text, { files: inFolder(files), environment }));
  return [...casesOf(tableTexts(), given.disk), ...casesOf(rowTexts(), disk)];
}

/** Each sample where it lies. */
export function sampleCases(): PeerCase[] {
  return readdirSync(join(root, 'samples'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => ({ name: `sample ${name}`, files: {}, folder: join(root, 'samples', name) }));
}

/** Two rows that are right, one over the other: the same for a seed. */
export function* pairedCases(seed: number, count: number): Generator<PeerCase> {
  const texts = [...serviceRows, ...rowsWithin].flatMap(([path, right, , refused = []]) =>
    [...right, ...refused].map((value) => ofService(path, value)),
  );
  const random = seededRandom(seed);
  const pick = () => texts[Math.floor(random.next() * texts.length)]!;
  for (let index = 0; index < count; index += 1) {
    yield {
      name: `paired ${seed}/${index}`,
      files: { ...inFolder(given.disk), 'a.yaml': pick(), 'b.yaml': pick() },
      composeFiles: ['a.yaml', 'b.yaml'],
      environment: given.environment,
    };
  }
}

/** Damaged documents: the same for a seed. */
export function* damagedCases(seed: number, count: number): Generator<PeerCase> {
  const documents = corpus();
  const files = inFolder(corpusFiles);
  const environment = { A: 'a', FROM: 'outside' };
  for (let index = 0; index < count; index += 1) {
    yield caseOf(`damaged ${seed}/${index}`, documentOf(documents, seed, index), { files, environment });
  }
}
