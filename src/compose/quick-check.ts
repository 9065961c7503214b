import type { Attribute, JsonType } from './attribute.ts';
import { checks } from './checks.ts';
import { isMap, type Plain } from './tree.ts';

const faultsMax = 200;
const patterns = new Map<string, RegExp>();

export interface Refused {
  /** What the schema refuses, with as much around it as is needed to see why. */
  part: Plain;
  /** Whether that is all of it: after 200 faults the rest is left out. */
  isComplete: boolean;
}

/**
 * The part of canonical data that the schema refuses, or undefined when all is right. Only ever a first look:
 * `validate.ts` says what is wrong with that part. However much is wrong, the part stays small.
 */
export function refusedPart(root: Plain, schema: Attribute): Refused | undefined {
  if (isRight(root, schema)) return undefined;
  const budget = { faults: faultsMax };
  const part = refusedOf(root, schema, budget);
  return { part, isComplete: budget.faults > 0 };
}

/** A value that is not right, without what in it is right and not needed. */
function refusedOf(value: Plain, attribute: Attribute, budget: { faults: number }): Plain {
  const before = budget.faults;
  const refused = withoutRight(value, attribute, budget);
  if (budget.faults === before) budget.faults -= 1; // nothing within is to blame: it is the value itself
  return refused;
}

function withoutRight(value: Plain, attribute: Attribute, budget: { faults: number }): Plain {
  const { items, required = [], propertyNames, patternProperties, additionalProperties: more } = attribute;
  if (Array.isArray(value)) return items === undefined ? value : refusedItems(value, items, budget);
  if (!isMap(value)) return value;
  const refused = Object.create(null) as Record<string, Plain>;
  for (const [key, child] of Object.entries(value)) {
    if (budget.faults <= 0 && !required.includes(key)) continue;
    const known = attributeUnder(attribute, key) ?? (typeof more === 'object' ? more : undefined);
    const isNamed = propertyNames === undefined || isNamedRightly(key, propertyNames);
    const isUnknown =
      known === undefined && (more !== false || (patternProperties !== undefined && key.startsWith('x-')));
    if (isUnknown || (known !== undefined && isNamed && isRight(child, known))) {
      if (required.includes(key)) refused[key] = child;
    } else if (budget.faults > 0) {
      refused[key] = known === undefined || isRight(child, known) ? child : refusedOf(child, known, budget);
      if (known === undefined) budget.faults -= 1;
    }
  }
  return refused;
}

/** The items up to the last that is refused: each keeps its place. */
function refusedItems(list: readonly Plain[], items: Attribute, budget: { faults: number }): Plain[] {
  const refused: Plain[] = [];
  for (const item of list) {
    if (budget.faults <= 0) break;
    refused.push(isRight(item, items) ? item : refusedOf(item, items, budget));
  }
  return refused;
}

function attributeUnder(attribute: Attribute, key: string): Attribute | undefined {
  const { properties } = attribute;
  return properties !== undefined && Object.hasOwn(properties, key) ? properties[key] : undefined;
}

/** Whether a value is as its attribute says, in the sense of JSON Schema and of our own keyword `is`. */
export function isRight(value: Plain, attribute: Attribute): boolean {
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
  if (typeof type === 'string') return isOf(value, type);
  return type.some((one) => isOf(value, one));
}

function isOf(value: Plain, type: JsonType): boolean {
  if (typeof value === 'string') return type === 'string';
  if (value === null) return type === 'null';
  if (Array.isArray(value)) return type === 'array';
  if (typeof value === 'number') return type === 'number' || (type === 'integer' && Number.isInteger(value));
  return type === typeof value;
}

/** Whether a key may be one. */
export function isNamedRightly(key: string, names: Attribute): boolean {
  return isText(key, names);
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
  if (required?.every((name) => Object.hasOwn(value, name)) === false) return false;
  for (const key in value) {
    if (propertyNames !== undefined && !isNamedRightly(key, propertyNames)) return false;
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
