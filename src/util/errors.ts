/**
 * Every error that a person can meet has a code from this catalogue. Messages begin with what could not be done;
 * `next` says what to do about it.
 */
export const errorCodes = {
  invalid_argument: 'What was given is malformed.',
  invalid_file: 'A Compose file, or a file it names, is wrong.',
  not_found: 'The named thing does not exist.',
  already_exists: 'The named thing exists already.',
  overtaken: 'Somebody has asked for something else in the meantime.',
  conflict: 'Somebody else changed the object in the meantime.',
  failed_precondition: 'The cluster or host is not in a state in which this can be done.',
  unauthenticated: 'The caller did not prove who it is.',
  permission_denied: 'The caller may not do this.',
  resource_exhausted: 'A limit was reached.',
  no_space: 'A disk of the host is full.',
  unavailable: 'The other side cannot be reached now; trying again may help.',
  deadline_exceeded: 'It took too long.',
  image_not_found: 'The registry does not have the image.',
  image_invalid: 'The image or its registry answered with something unusable.',
  command_not_found: 'The command is not in the image.',
  port_taken: 'The port is used by something else.',
  namespace_gone: 'The container whose namespaces were to be shared has ended.',
  engine_failed: 'The container engine refused or failed.',
  network_failed: 'The kernel refused a network change.',
  not_supported: 'Shoal does not do this yet.',
  internal: 'A bug in Shoal.',
} as const;

export type ErrorCode = keyof typeof errorCodes;

export interface ErrorOptionsWithNext {
  cause?: unknown;
  /** What the reader should do next, as a sentence. */
  next?: string;
  /** Structured details for `--json` and the API. */
  details?: unknown;
}

/** The one error class of the project. */
export class ShoalError extends Error {
  readonly code: ErrorCode;
  readonly next: string | undefined;
  readonly details: unknown;

  constructor(code: ErrorCode, message: string, options: ErrorOptionsWithNext = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ShoalError';
    this.code = code;
    this.next = options.next;
    this.details = options.details;
  }
}

/** The code of any thrown value; anything that is not ours is a bug and so `internal`. */
export function codeOf(error: unknown): ErrorCode {
  return error instanceof ShoalError ? error.code : 'internal';
}

/** The message of any thrown value, with the messages of its causes. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : messageOf(error.cause);
  return cause === '' || error.message.includes(cause) ? error.message : `${error.message}: ${cause}`;
}

/** Throws when an invariant of our own does not hold. For bugs only; the world's faults are handled errors. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new ShoalError('internal', `Invariant broken: ${message}`);
}

/** Ends a `switch` over a union that must be exhaustive. */
export function unreachable(value: never): never {
  throw new ShoalError('internal', `Invariant broken: unexpected ${JSON.stringify(value)}`);
}
