import type { Attribute } from './attribute.ts';
import { checks } from './checks.ts';
import type { Plain } from './tree.ts';

const partsMax = 200;
const patterns = new Map<string, RegExp>();

/**
 * The part of canonical data that the schema refuses: whole entries such as `services.web`, at most 200 of them; or
 * undefined when all is right. Only ever a first look: `validate.ts` says what is wrong with that part.
 */
export function refusedPart(root: Plain, schema: Attribute): Plain | undefined {
  if (!isMap(root)) return root;
  const refused = Object.create(null) as Record<string, Plain>;
  let count = 0;
  for (const [key, value] of Object.entries(root)) {
    if (count >= partsMax) break;
    const attribute = attributeUnder(schema, key);
    if (attribute === undefined) {
      if (key.startsWith('x-')) continue;
      refused[key] = value;
      count += 1;
    } else if (!isMap(value) || typeof attribute.additionalProperties !== 'object') {
      if (isRight(value, attribute)) continue;
      refused[key] = value;
      count += 1;
    } else {
      const entries = refusedEntries(value, attribute, partsMax - count);
      const names = Object.keys(entries);
      if (names.length > 0) refused[key] = entries;
      count += names.length;
    }
  }
  return count === 0 ? undefined : refused;
}

function refusedEntries(
  table: Record<string, Plain>,
  attribute: Attribute,
  max: number,
): Record<string, Plain> {
  const refused = Object.create(null) as Record<string, Plain>;
  let count = 0;
  for (const [key, value] of Object.entries(table)) {
    if (count >= max) break;
    const names = attribute.propertyNames;
    if (
      (names === undefined || isText(key, names)) &&
      isRight(value, attribute.additionalProperties as Attribute)
    )
      continue;
    refused[key] = value;
    count += 1;
  }
  return refused;
}

function isMap(value: Plain): value is Record<string, Plain> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

function attributeUnder(attribute: Attribute, key: string): Attribute | undefined {
  const { properties } = attribute;
  return properties !== undefined && Object.hasOwn(properties, key) ? properties[key] : undefined;
}

/** Whether a value is as its attribute says, in the sense of JSON Schema and of our own keywords. */
function isRight(value: Plain, attribute: Attribute): boolean {
  if (attribute.notYet !== undefined) return false;
  if (attribute.type !== undefined && !isOfType(value, attribute.type)) return false;
  if (attribute.enum !== undefined && !attribute.enum.includes(value as string)) return false;
  if (attribute.is !== undefined && !checks[attribute.is](value)) return false;
  if (typeof value === 'string') return isText(value, attribute);
  if (typeof value === 'number') {
    return value >= (attribute.minimum ?? -Infinity) && value <= (attribute.maximum ?? Infinity);
  }
  if (Array.isArray(value)) return isList(value, attribute);
  return value === null || typeof value !== 'object' || isTable(value, attribute);
}

function isOfType(value: Plain, type: NonNullable<Attribute['type']>): boolean {
  const types = typeof type === 'string' ? [type] : type;
  if (value === null) return types.includes('null');
  if (Array.isArray(value)) return types.includes('array');
  if (typeof value === 'number') {
    return types.includes('number') || (types.includes('integer') && Number.isInteger(value));
  }
  return types.includes(typeof value as 'string');
}

function isText(value: string, { pattern, maxLength }: Attribute): boolean {
  if (maxLength !== undefined && value.length > maxLength && Array.from(value).length > maxLength)
    return false;
  if (pattern === undefined) return true;
  let compiled = patterns.get(pattern);
  if (compiled === undefined) patterns.set(pattern, (compiled = new RegExp(pattern, 'u')));
  return compiled.test(value);
}

function isList(value: readonly Plain[], { items, minItems, maxItems }: Attribute): boolean {
  if (value.length < (minItems ?? 0) || value.length > (maxItems ?? Infinity)) return false;
  return items === undefined || value.every((item) => isRight(item, items));
}

function isTable(value: Record<string, Plain>, attribute: Attribute): boolean {
  const { additionalProperties, required, propertyNames, patternProperties } = attribute;
  for (const name of required ?? []) if (!Object.hasOwn(value, name)) return false;
  for (const key of Object.keys(value)) {
    if (propertyNames !== undefined && !isText(key, propertyNames)) return false;
    const child = attributeUnder(attribute, key);
    if (child !== undefined) {
      if (!isRight(value[key]!, child)) return false;
    } else if (patternProperties !== undefined && key.startsWith('x-')) continue;
    else if (additionalProperties === false) return false;
    else if (typeof additionalProperties === 'object' && !isRight(value[key]!, additionalProperties))
      return false;
  }
  return true;
}
