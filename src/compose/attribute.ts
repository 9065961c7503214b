import type { CheckName } from './checks.ts';
import type { FormName } from './forms.ts';

export type JsonType = 'string' | 'number' | 'integer' | 'boolean' | 'null' | 'array' | 'object';

/**
 * One attribute of the Compose language: a JSON Schema of its canonical form, with what else the stages need to know
 * about it. The schema is plain data and describes the language whole, also what Shoal does not run; `form`, `is`, `says`,
 * `merge` and `cluster` are keywords of our own, and so are `refused`, `runs`, `runsNames` and `warns`, which are the
 * verdicts (`verdict.ts`): validation knows nothing of them.
 */
export interface Attribute {
  type?: JsonType | readonly JsonType[];
  properties?: Record<string, Attribute>;
  patternProperties?: Record<string, Attribute>;
  additionalProperties?: boolean | Attribute;
  propertyNames?: Attribute;
  required?: readonly string[];
  items?: Attribute;
  enum?: readonly (string | number | null)[];
  minimum?: number;
  maximum?: number;
  minItems?: number;
  maxItems?: number;
  maxLength?: number;
  pattern?: string;
  /** How the ways to write it become the canonical one. */
  form?: FormName;
  /** A check that JSON Schema cannot say. */
  is?: CheckName;
  /** What would be right, in words that complete "it must be …". */
  says?: string;
  /** How a later file's value joins an earlier one's, where that is not the default. */
  merge?: MergeRule;
  /** Part of the Compose language, but not something Shoal does: why, and what to write instead. */
  refused?: string;
  /** What of it Shoal does, where that is less than the language has: the rest is refused. */
  runs?: Runnable;
  /** The names in a map that Shoal takes, where those are fewer than the language has: others are refused. */
  runsNames?: Runnable;
  /** Taken, but something that it asks for does not happen: what, and what to do about it. */
  warns?: readonly [message: string, hint: string];
  /** What it means on a cluster, where one machine would make something else of it. */
  cluster?: string;
}

/** A narrower attribute; `says` completes "it must be …" as everywhere. */
export type Runnable = Pick<Attribute, 'enum' | 'pattern' | 'is' | 'maxItems'> & { says: string };

/**
 * `replace`: the later value stands alone. `append`: lists are joined. `{ by }`: entries of a list that have the same key
 * are one, and the later stands. Without a rule maps merge deeply, lists are joined without identical entries, and
 * scalars are replaced.
 */
export type MergeRule = 'replace' | 'append' | 'driver' | { by: MergeKey };

/**
 * What makes two entries of a list the same: a port as published, a path in the container, a file, a subnet, or the text
 * before the first `=`.
 */
export type MergeKey = 'port' | 'target' | 'config' | 'secret' | 'path' | 'subnet' | 'assignment';

const extension = { '^x-': {} };

/** A map with these keys and `x-` extensions, and nothing else. */
export function object(properties: Record<string, Attribute>, more: Partial<Attribute> = {}): Attribute {
  return {
    type: 'object',
    properties,
    patternProperties: extension,
    additionalProperties: false,
    says: 'a map',
    ...more,
  };
}

/** A map with these keys only. */
export function closed(properties: Record<string, Attribute>, more: Partial<Attribute> = {}): Attribute {
  return { type: 'object', properties, additionalProperties: false, says: 'a map', ...more };
}

export const text: Attribute = { type: 'string', says: 'a string' };
export const integer: Attribute = { type: 'integer', form: 'integer', says: 'a whole number' };
export const boolean: Attribute = { type: 'boolean', form: 'boolean', says: 'true or false' };
export const duration: Attribute = {
  type: 'string',
  form: 'duration',
  is: 'duration',
  says: 'a duration with its unit, such as 10s or 1m30s',
};
export const bytes: Attribute = {
  type: 'string',
  form: 'bytes',
  is: 'bytes',
  says: 'a size, such as 64m or 1g',
};
export const ipv4Address: Attribute = {
  type: 'string',
  is: 'ipv4Address',
  says: 'an IPv4 address such as 10.1.0.5',
};
export const fileMode: Attribute = {
  type: 'string',
  form: 'fileMode',
  is: 'fileMode',
  says: 'a file mode in octal, such as 0440',
};
export const textList: Attribute = { type: 'array', items: text, says: 'a list of strings' };

/** Environment variables: names to values; null stands for the value outside. */
export const keyValues: Attribute = {
  type: 'object',
  form: 'keyValues',
  additionalProperties: {
    type: ['string', 'null'],
    says: 'a string, a number, true, false or nothing',
    merge: 'replace', // a later name without a value takes the one outside, whatever the earlier file says
  },
  propertyNames: { pattern: '^[^=]+$', says: 'a name without =' },
  says: 'a map NAME: value or a list of NAME=value',
};

/** The words of a command; null is as if it were not said. */
export const commandLine: Attribute = {
  type: ['array', 'null'],
  items: text,
  form: 'command',
  says: 'a string, which is split into words, or a list of words',
  merge: 'replace',
};

/** Labels: names to values; nothing is the empty string. */
export const labels: Attribute = {
  type: 'object',
  form: 'labels',
  additionalProperties: { type: 'string', says: 'a string, a number, true or false' },
  propertyNames: { pattern: '^[^=]+$', says: 'a name without =' },
  says: 'a map NAME: value or a list of NAME=value',
};

/** A number from `minimum` to `maximum`. */
export function integerFrom(minimum: number, maximum?: number): Attribute {
  const says =
    maximum === undefined
      ? `a whole number, ${minimum} or more`
      : `a whole number from ${minimum} to ${maximum}`;
  return { ...integer, minimum, says, ...(maximum === undefined ? {} : { maximum }) };
}

/** One of these words. */
export function oneOf(...words: string[]): Attribute {
  const last = words.at(-1);
  const says = words.length === 1 ? `${last}` : `${words.slice(0, -1).join(', ')} or ${last}`;
  return { type: 'string', enum: words, says };
}

/** The attribute, refused for a reason, with what to write instead. */
export function refused(attribute: Attribute, reason: string): Attribute {
  return { ...attribute, refused: reason };
}

/** The attribute, of which Shoal does only a part; `says` is that part, in words that complete "it must be …". */
export function runsOnly(attribute: Attribute, says: string, runs: Omit<Runnable, 'says'>): Attribute {
  return { ...attribute, runs: { ...runs, says } };
}
