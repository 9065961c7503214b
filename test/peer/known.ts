import type { PeerCase } from './case.ts';
import type { Difference } from './comparison.ts';
import type { Outcome } from './compose.ts';
import { newer } from './known-newer.ts';
import { strict } from './known-strict.ts';
import { readings } from './known-readings.ts';

/** A difference that is meant: its name is a row of `docs/compose-differences.md`. */
export interface KnownDifference {
  name: string;
  /** What Shoal says of a file that docker compose takes; of several complaints each must be known. */
  shoalSays?: RegExp;
  /** What docker compose says of a file that Shoal takes. */
  dockerComposeSays?: RegExp;
  /** A place where they read other data; of several each must be known. */
  differs?: (difference: Difference) => boolean;
  /** What must be in the case's files. */
  where?: RegExp;
}

export const knownDifferences: readonly KnownDifference[] = [...newer, ...strict, ...readings];

/** The names of the known differences that explain the outcome whole; undefined when they do not. */
export function explain(outcome: Outcome, one: PeerCase): string[] | undefined {
  const text = textOf(one);
  const possible = knownDifferences.filter(({ where }) => where === undefined || where.test(text));
  const eachBy = <T>(parts: readonly T[], explains: (known: KnownDifference, part: T) => boolean) => {
    const names = parts.map((part) => possible.find((known) => explains(known, part))?.name);
    return names.every((name) => name !== undefined) ? [...new Set(names)] : undefined;
  };
  switch (outcome.outcome) {
    case 'same':
      return [];
    case 'only Shoal accepts':
      return eachBy(outcome.complaints, (known, text) => known.dockerComposeSays?.test(text) === true);
    case 'only docker compose accepts':
      return eachBy(outcome.complaints, (known, text) => known.shoalSays?.test(text) === true);
    case 'they read other data':
      return eachBy(outcome.differences, (known, difference) => known.differs?.(difference) === true);
    default:
      return outcome satisfies never;
  }
}

/** All that is in the files; those that are laid over one another as documents. */
function textOf({ files, composeFiles = [] }: PeerCase): string {
  return Object.values(files).join(composeFiles.length > 1 ? '\n---\n' : '\n');
}
