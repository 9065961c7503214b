import { lineAndColumn, type Position } from './tree.ts';

/** What a document may hold, whichever reader reads it. */
export const yamlLimits = {
  /** Maps and lists within one another. */
  depth: 100,
  /** Keys of one map, and items of one list. */
  entries: 10_000,
  /** Nodes that aliases and merge keys may stand for, all in all, in one document (a guard against alias bombs). */
  aliased: 100_000,
  /** Of one file. */
  documents: 100,
};

/** What is said of a key that a map has already, and what to do. */
export function repeatedKey(key: string, first: Position): [message: string, hint: string] {
  const { line } = lineAndColumn(first);
  return [`the key ${JSON.stringify(key)} is given twice, first on line ${line}`, 'keep one of them'];
}
