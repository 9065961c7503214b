import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  canonicalRows,
  disk,
  specRows,
  surroundings,
  topLevelRows,
} from '../../src/compose/attribute-rows.ts';
import { settingRows } from '../../src/compose/setting-rows.ts';
import { serviceRows, type Row } from '../../src/compose/table-rows.ts';
import { topRows } from '../../src/compose/table-rows-top.ts';
import { rowsWithin } from '../../src/compose/table-rows-within.ts';
import { given, ofService, ofTop, using } from '../../src/compose/table-text.ts';
import { seededRandom } from '../../src/util/random.ts';
import { corpus, files as corpusFiles } from '../fuzz/compose-corpus.ts';
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

function written(rows: readonly Row[], text: typeof ofTop): PeerCase[] {
  const { environment } = given;
  return rows.flatMap(([path, right, wrong, refused = []]) =>
    [...right, ...wrong, ...refused].map((value) =>
      caseOf(`table ${path}: ${value}`, text(path, value), { files: inFolder(given.disk), environment }),
    ),
  );
}

/** Each row of the tables with each of its values: right, wrong, and refused. */
export function tableCases(): PeerCase[] {
  const more = { files: inFolder(disk), environment: given.environment };
  const services = [...canonicalRows, ...specRows, ...settingRows].map(([row]) =>
    caseOf(
      `row ${row}`,
      `name: app\nservices:\n  db: { image: redis }\n  web:\n    image: nginx\n    ${row}\n${surroundings}`,
      more,
    ),
  );
  const top = topLevelRows.map(([row]) => caseOf(`row ${row}`, using(row), more));
  return [
    ...written([...serviceRows, ...rowsWithin], ofService),
    ...written(topRows, ofTop),
    ...services,
    ...top,
  ];
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
