import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import { messageOf, ShoalError } from '../util/errors.ts';
import { parseUntrusted } from './json.ts';
import type { AnySchema, Schema, TypeOf } from './schema.ts';
import { frameSchemas } from './session.ts';

/** Characters of a fault that may come from the other side. */
const shownMax = 100;

/** What does not fit: where, as a JSON pointer, and why. */
export interface Fault {
  path: string;
  why: string;
}

export type Checked<T> = { value: T; fault?: undefined } | { fault: Fault };

/** Without passes over the code that it writes: they are half of the time at the start, and checks are not quicker for them. */
const options = {
  discriminator: true,
  allowUnionTypes: true,
  code: { optimize: false },
  verbose: true,
} as const;
const closed = new Ajv(options);
const open = new Ajv({ ...options, removeAdditional: true });
const compiled = {
  closed: new Map<AnySchema, ValidateFunction>(),
  open: new Map<AnySchema, ValidateFunction>(),
};

/** For what a person asks for: a field that is not known is a fault, for it must not be dropped in silence. */
export function checkClosed<T>(schema: Schema<T>, value: unknown): Checked<T> {
  return check(schema, value, 'closed');
}

/** For messages, whose sender may be newer: fields that are not known are removed from the value. */
export function checkOpen<T>(schema: Schema<T>, value: unknown): Checked<T> {
  return check(schema, value, 'open');
}

/** Compiles now what `checkClosed` would compile when it is first used, while somebody waits. */
export function prepareClosed(schemas: Iterable<AnySchema>): void {
  for (const schema of schemas) validatorOf(schema, 'closed');
}

/** The same for `checkOpen`. */
export function prepareOpen(schemas: Iterable<AnySchema>): void {
  for (const schema of schemas) validatorOf(schema, 'open');
}

function check<T>(schema: Schema<T>, value: unknown, mode: 'closed' | 'open'): Checked<T> {
  const validate = validatorOf(schema, mode);
  if (validate(value)) return { value: value as T };
  const [error] = validate.errors ?? [];
  return { fault: { path: shown(error?.instancePath ?? ''), why: reasonOf(error) } };
}

function validatorOf(schema: AnySchema, mode: 'closed' | 'open'): ValidateFunction {
  const known = compiled[mode].get(schema);
  if (known !== undefined) return known;
  const validate = (mode === 'closed' ? closed : open).compile(schema);
  compiled[mode].set(schema, validate);
  return validate;
}

function reasonOf(error: ErrorObject | undefined): string {
  if (error === undefined) return 'it is malformed';
  const parameters = error.params as { additionalProperty?: string; allowedValues?: unknown[] };
  if (parameters.additionalProperty !== undefined) {
    return `${JSON.stringify(shown(parameters.additionalProperty))} is not known`;
  }
  const { description } = (error.parentSchema ?? {}) as { description?: string };
  if (description !== undefined) return description;
  const { allowedValues } = parameters;
  if (allowedValues !== undefined) return `it must be ${allowedValues.map(String).join(', ')}`;
  return shown(error.message ?? 'it is malformed');
}

/** `/tasks/0/status must be object` */
export function wordsOf({ path, why }: Fault): string {
  return path === '' ? why : `${path} ${why}`;
}

function shown(text: string): string {
  return text.length > shownMax ? `${text.slice(0, shownMax)}…` : text;
}

/** What a frame says whose payload is JSON. Throws `invalid_argument` when it does not fit. */
export function readFrame<Type extends keyof typeof frameSchemas>(
  type: Type,
  payload: Uint8Array,
): TypeOf<(typeof frameSchemas)[Type]> {
  type Content = TypeOf<(typeof frameSchemas)[Type]>;
  const value = parseUntrusted(payload, `a frame of type ${type}`);
  const checked = checkOpen(frameSchemas[type] as Schema<Content>, value);
  if (checked.fault === undefined) return checked.value;
  const why = wordsOf(checked.fault);
  throw new ShoalError('invalid_argument', `Cannot take a frame of type ${type}: ${why}`);
}

/** What came in as one message: one that fits, one of a type that only newer ones know, or why it cannot be taken. */
export type Incoming<Message> =
  | { kind: 'message'; message: Message }
  | { kind: 'unknown'; type: string }
  | { kind: 'fault'; why: string };

/** Reads one message of those that are described by type. Throws nothing. */
export function readMessage<Messages extends Record<string, AnySchema>>(
  messages: Messages,
  bytes: Uint8Array,
): Incoming<TypeOf<Messages[keyof Messages]>> {
  let value: unknown;
  try {
    value = parseUntrusted(bytes, 'a message');
  } catch (error) {
    return { kind: 'fault', why: messageOf(error) };
  }
  const type = (value as { type?: unknown } | null)?.type;
  if (typeof type !== 'string') return { kind: 'fault', why: 'Cannot read a message: it has no type' };
  if (!Object.hasOwn(messages, type)) return { kind: 'unknown', type: shown(type) };
  const { fault, ...checked } = checkOpen(messages[type] as Schema<unknown>, value);
  if (fault !== undefined) {
    return { kind: 'fault', why: `Cannot take a message of type ${type}: ${wordsOf(fault)}` };
  }
  return { kind: 'message', message: (checked as { value: TypeOf<Messages[keyof Messages]> }).value };
}
