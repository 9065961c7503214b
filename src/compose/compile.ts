import type { Ajv, ValidateFunction } from 'ajv';
import type { Attribute } from './attribute.ts';
import { checks, type CheckName } from './checks.ts';
import { composeSchema } from './schema.ts';
import type { Plain } from './tree.ts';

/** The whole attribute of each schema that ajv was given. */
const wholeOf = new WeakMap<Attribute, Attribute>();

let ajv: Ajv | undefined;
let complete: ValidateFunction | undefined;

/**
 * A compiled schema for these data. Compiling is most of what a short command would wait for, and so the first one in a
 * process holds only the attributes that its data have; any later one is the whole schema, kept for good.
 */
export async function compiledFor(plain: Plain): Promise<ValidateFunction> {
  if (complete !== undefined) return complete;
  if (ajv === undefined) {
    ajv = await newAjv();
    return ajv.compile(partOf(composeSchema, [plain]));
  }
  complete = ajv.compile(partOf(composeSchema, undefined));
  return complete;
}

async function newAjv(): Promise<Ajv> {
  const { Ajv } = await import('ajv');
  const made = new Ajv({
    allErrors: true,
    verbose: true,
    strict: false,
    validateSchema: false,
    meta: false,
    logger: false,
    code: { optimize: false },
  });
  made.addKeyword({
    keyword: 'is',
    validate: (name: CheckName, value: unknown) => checks[name](value),
    errors: false,
  });
  return made;
}

/** The attribute of ours that a schema in an error of ajv's was made from. */
export function wholeAttribute(schema: object | undefined): Attribute {
  const part = (schema ?? {}) as Attribute;
  return wholeOf.get(part) ?? part;
}

/** The part of the schema that these values need, or all of it. */
function partOf(attribute: Attribute, values: readonly Plain[] | undefined): Attribute {
  const { properties = {}, items, additionalProperties } = attribute;
  const part: Attribute = { ...attribute };
  const maps = values?.filter(
    (value) => value !== null && typeof value === 'object' && !Array.isArray(value),
  ) as Record<string, Plain>[] | undefined;
  if (attribute.properties !== undefined) part.properties = {};
  for (const [key, child] of Object.entries(properties)) {
    const found = maps?.filter((one) => Object.hasOwn(one, key)).map((one) => one[key]!);
    if (found?.length !== 0) part.properties![key] = partOf(child, found);
  }
  if (items !== undefined) {
    const found = values?.flatMap((value) => (Array.isArray(value) ? value : []));
    if (found?.length === 0) delete part.items;
    else part.items = partOf(items, found);
  }
  if (typeof additionalProperties === 'object') {
    const found = maps?.flatMap((one) => Object.values(one));
    if (found?.length === 0) delete part.additionalProperties;
    else part.additionalProperties = partOf(additionalProperties, found);
  }
  wholeOf.set(part, attribute);
  return part;
}
