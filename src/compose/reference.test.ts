import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import type { Attribute } from './attribute.ts';
import { attributeTables } from './reference.ts';
import { composeSchema } from './schema.ts';

const path = fileURLToPath(new URL('../../docs/compose.md', import.meta.url));
const marker =
  '<!-- From here on written by src/compose/reference.ts; UPDATE_GOLDEN=1 npx vitest run src/compose/reference -->\n';

it('docs/compose.md lists every attribute as the schema has it (UPDATE_GOLDEN=1 writes it again)', () => {
  const [prose = ''] = readFileSync(path, 'utf8').split(marker);
  const wanted = `${prose}${marker}\n${attributeTables(composeSchema)}`;
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, wanted);
  expect(readFileSync(path, 'utf8')).toBe(wanted);
});

it('every attribute that is refused says why', () => {
  const silent: string[] = [];
  const visit = (attribute: Attribute, at: string) => {
    if (attribute.refused === '') silent.push(at);
    for (const [key, child] of Object.entries(attribute.properties ?? {})) visit(child, `${at}.${key}`);
    if (attribute.items !== undefined) visit(attribute.items, `${at}[]`);
    if (typeof attribute.additionalProperties === 'object') visit(attribute.additionalProperties, `${at}.*`);
  };
  visit(composeSchema, '');
  expect(silent).toEqual([]);
});
