import { Document, isScalar, stringify, visit } from 'yaml';
import type { CanonicalModel } from './model.ts';
import { printed } from './print.ts';
import { resolvePlainScalar } from './scalar.ts';
import type { Plain } from './tree.ts';

/** The canonical model as text that can be loaded again. */
export function renderCanonical(canonical: CanonicalModel, format: 'yaml' | 'json'): string {
  // The canonical model is plain data; its interfaces have no index signature that Plain could see.
  return renderModel(canonical as unknown as Plain, format);
}

/**
 * A model as `docker compose config` prints it, as text that can be loaded again as a Compose file: dollar signs in values
 * are doubled, so that nothing in it is taken for a variable, and strings that YAML would read as something else are quoted.
 */
export function renderModel(model: Plain, format: 'yaml' | 'json'): string {
  return renderPlain(escapeDollars(printed(model, format)), format);
}

/** Plain data as text that reads back as the same data. */
export function renderPlain(escaped: unknown, format: 'yaml' | 'json'): string {
  if (format === 'json') return `${JSON.stringify(escaped, undefined, 2)}\n`;
  const document = new Document(escaped, { aliasDuplicateObjects: false });
  visit(document, {
    Scalar: (_, node) => {
      if (isScalar(node) && typeof node.value === 'string') node.type = quotesOf(node.value);
    },
  });
  return document.toString({ lineWidth: 0, singleQuote: true });
}

/** How go-yaml quotes a text: with double quotes what would be no text, with single ones what has them and cannot stand plain. */
function quotesOf(text: string): 'QUOTE_DOUBLE' | 'QUOTE_SINGLE' | undefined {
  if (resolvePlainScalar(text) !== text || oldBooleans.test(text) || text === '<<') return 'QUOTE_DOUBLE';
  if (!text.includes("'") || text.includes('\n')) return undefined;
  return stringify(text, { lineWidth: 0 }).startsWith('"') ? 'QUOTE_SINGLE' : undefined;
}

/** Strings in our reading, but booleans to older YAML readers: quoted, so that all agree. */
const oldBooleans = /^(?:y|yes|n|no|on|off)$/iu;

function escapeDollars(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('$', '$$$$');
  if (Array.isArray(value)) return value.map(escapeDollars);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, escapeDollars(child)]));
}
