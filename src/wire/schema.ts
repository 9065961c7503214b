import type { SchemaObject } from 'ajv';

/**
 * JSON Schemas whose TypeScript types follow from them: what crosses a socket is described once, `TypeOf` gives its type
 * and `check.ts` its check. A schema that is declared as `Schema<T>` of a type written elsewhere must say exactly that type.
 */
declare const typed: unique symbol;
declare const exactly: unique symbol;

/** The type with every optional property named, so that one that is missing on either side makes a difference. */
type Exact<T> = T extends readonly (infer Item)[]
  ? Exact<Item>[]
  : T extends object
    ? { [Key in keyof T]-?: Exact<T[Key]> }
    : T;

/** Any of these schemas. */
export type AnySchema = SchemaObject & { readonly [typed]?: unknown };

/** A schema for values of type `T`, no wider and no narrower. The type exists for the compiler alone. */
export type Schema<T> = SchemaObject & {
  readonly [typed]?: T;
  readonly [exactly]?: (value: Exact<T>) => Exact<T>;
};

export type TypeOf<S> = S extends { readonly [typed]?: infer T } ? Exclude<T, undefined> : never;

type Flat<T> = { [Key in keyof T]: T[Key] };
type Optional<Properties> = keyof {
  [Key in keyof Properties as Key extends `${string}?` ? Key : never]: true;
};
type ObjectOf<Properties> = Flat<
  {
    -readonly [Key in keyof Properties as Key extends Optional<Properties> ? never : Key]: TypeOf<
      Properties[Key]
    >;
  } & {
    -readonly [Key in keyof Properties as Key extends `${infer Name}?` ? Name : never]?: TypeOf<
      Properties[Key]
    >;
  }
>;

/** At most so many items in a list, or names in a map, that say nothing else. */
const itemsMax = 1_000;
const nameCharactersMax = 1_024;

/** A text of at most so many characters. */
export const text = (charactersMax = 4_096): Schema<string> => ({ type: 'string', maxLength: charactersMax });

/** A text that the pattern fits, from its first character to its last. `words` say what it must be to who gave another one. */
export const pattern = (source: string, charactersMax = 4_096, words?: string): Schema<string> => ({
  type: 'string',
  maxLength: charactersMax,
  pattern: `^(?:${source})$`,
  ...(words !== undefined && { description: words }),
});

export const nothing: Schema<null> = { type: 'null' };

export const flag: Schema<boolean> = { type: 'boolean' };

export const integer = (minimum = 0, maximum = Number.MAX_SAFE_INTEGER): Schema<number> => ({
  type: 'integer',
  minimum,
  maximum,
});

export const number = (minimum: number, maximum: number): Schema<number> => ({
  type: 'number',
  minimum,
  maximum,
});

/** What is checked later, by another schema. */
export const anything: Schema<unknown> = {};

/** Exactly one of these values. */
export const values = <const Value extends string | number | boolean>(
  ...allowed: readonly Value[]
): Schema<Value> => ({ enum: [...allowed] });

export const list = <S extends AnySchema>(items: S, lengthMax = itemsMax): Schema<TypeOf<S>[]> => ({
  type: 'array',
  items,
  maxItems: lengthMax,
});

/** An object whose names are anybody's, such as labels. */
export const map = <S extends AnySchema>(
  content: S,
  namesMax = itemsMax,
): Schema<Record<string, TypeOf<S>>> => ({
  type: 'object',
  maxProperties: namesMax,
  // Copied onto another object, it would become that one's prototype.
  propertyNames: { maxLength: nameCharactersMax, not: { const: '__proto__' } },
  additionalProperties: content,
});

/** An object with exactly these properties; those whose name ends in `?` may be absent. */
export function object<const Properties extends Record<string, AnySchema>>(
  properties: Properties,
): Schema<ObjectOf<Properties>> {
  const entries = Object.entries(properties);
  return {
    type: 'object',
    additionalProperties: false,
    required: entries.filter(([key]) => !key.endsWith('?')).map(([key]) => key),
    properties: Object.fromEntries(entries.map(([key, schema]) => [key.replace('?', ''), schema])),
  };
}

/** Objects told apart by the value of one property. */
export const variants = <const Variants extends readonly AnySchema[]>(
  property: string,
  ...schemas: Variants
): Schema<TypeOf<Variants[number]>> => ({
  type: 'object',
  required: [property],
  discriminator: { propertyName: property },
  oneOf: [...schemas],
});

/** Values told apart by what they are; of several objects no two may have the same required properties. */
export const either = <const Variants extends readonly AnySchema[]>(
  ...schemas: Variants
): Schema<TypeOf<Variants[number]>> => ({ anyOf: [...schemas] });

/** The same schema with more to it, such as `minItems`. */
export const also = <S extends AnySchema>(schema: S, more: SchemaObject): S => ({ ...schema, ...more });
