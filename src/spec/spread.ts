import { ShoalError } from '../util/errors.ts';
import type { Node } from './node.ts';

/** A label of nodes, over the values of which the tasks of a service are spread. */
export interface Spread {
  subject: 'node.labels' | 'engine.labels';
  label: string;
}

/** Longer ones are refused: nobody writes them by hand. */
const spreadCharactersMax = 1024;

/**
 * Reads `node.labels.KEY` or `engine.labels.KEY` (Swarm's placement preference). Throws `invalid_argument` with what would
 * be right.
 */
export function parseSpread(text: string): Spread {
  const matched = /^(node|engine)\.labels\.([A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?)$/u.exec(text);
  const [, whose, label] = text.length > spreadCharactersMax ? [] : (matched ?? []);
  if (label !== undefined) return { subject: whose === 'node' ? 'node.labels' : 'engine.labels', label };
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  throw new ShoalError(
    'invalid_argument',
    `Cannot read the placement preference ${JSON.stringify(shown)}: it is not the label of a node`,
    { next: 'Write node.labels.KEY or engine.labels.KEY.' },
  );
}

/** The value that a node has for it; one without the label has the empty string, as in SwarmKit. */
export function spreadValue({ labels, description }: Node, { subject, label }: Spread): string {
  const all = subject === 'node.labels' ? labels : (description?.engine.labels ?? {});
  return Object.hasOwn(all, label) ? all[label]! : '';
}
