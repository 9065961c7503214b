import { Document, isScalar, visit } from 'yaml';
import type { CanonicalModel } from './model.ts';
import { resolvePlainScalar } from './scalar.ts';

/** The canonical model as text that can be loaded again. */
export function renderCanonical(canonical: CanonicalModel, format: 'yaml' | 'json'): string {
  return renderEscaped(canonical, format);
}

/**
 * Plain data as text that can be loaded again as a Compose file: dollar signs in values are doubled, so that nothing in
 * it is taken for a variable, and strings that YAML would read as something else are quoted.
 */
export function renderEscaped(plain: unknown, format: 'yaml' | 'json'): string {
  return renderPlain(escapeDollars(plain), format);
}

/** Plain data as text that reads back as the same data. */
export function renderPlain(escaped: unknown, format: 'yaml' | 'json'): string {
  if (format === 'json') return `${JSON.stringify(escaped, undefined, 2)}\n`;
  const document = new Document(escaped, { aliasDuplicateObjects: false });
  visit(document, {
    Scalar: (_, node) => {
      if (!isScalar(node) || typeof node.value !== 'string') return;
      if (
        resolvePlainScalar(node.value) !== node.value ||
        oldBooleans.test(node.value) ||
        node.value === '<<'
      ) {
        node.type = 'QUOTE_DOUBLE';
      }
    },
  });
  return document.toString({ lineWidth: 0 });
}

/** Strings in our reading, but booleans to older YAML readers: quoted, so that all agree. */
const oldBooleans = /^(?:y|yes|n|no|on|off)$/iu;

function escapeDollars(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('$', '$$$$');
  if (Array.isArray(value)) return value.map(escapeDollars);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, escapeDollars(child)]));
}
