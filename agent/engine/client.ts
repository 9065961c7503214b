import {
  Client,
  credentials,
  Metadata,
  type CallOptions,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ServiceError,
} from '@grpc/grpc-js';
import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Calls, Streams, WriteContent, WriteContentResponse } from './messages.ts';
import type { MethodCoding } from '../../src/util/protobuf.ts';
import { methods } from './protocol.ts';

/** Longest path of a unix socket on Linux: `sun_path` holds 108 bytes with its closing zero (unix(7)). */
export const socketPathBytesMax = 107;
/** A call that takes longer than this has failed, unless it says otherwise. */
const callTimeoutMs = 60_000;
const messageBytesMax = 32 * 1024 * 1024;

/** Status codes (gRPC core, statuscodes.md). */
export const grpcCodes = {
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  failedPrecondition: 9,
  unavailable: 14,
} as const;

/** `away`: there was nobody to answer. */
export type CallEnd = 'answered' | 'timed out' | 'away';

/** Hears of every call's beginning and, by what it gives, of its end. */
export interface CallWatch {
  begin(name: string, containerId: string | undefined): (end: CallEnd) => void;
}

export interface CallControl {
  /** Resources made by this call belong to this lease. */
  lease?: string;
  /** @default 60000 */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** Throws `invalid_argument` when `path` is too long to be a unix socket. `reserveBytes` is kept free for suffixes. */
export function checkSocketPath(path: string, reserveBytes = 0): void {
  const bytes = Buffer.byteLength(path);
  if (bytes + reserveBytes <= socketPathBytesMax) return;
  throw new ShoalError(
    'invalid_argument',
    `Cannot use the socket ${path}: its path has ${bytes} bytes, and ${socketPathBytesMax - reserveBytes} is the limit`,
    { next: 'Choose a shorter run folder.' },
  );
}

/** Whether an error of a call says that there is no such thing. */
export function isNotFound(error: unknown): boolean {
  return grpcStatus(error) === grpcCodes.notFound;
}

export function isAlreadyExists(error: unknown): boolean {
  return grpcStatus(error) === grpcCodes.alreadyExists;
}

/** The gRPC status of an error that a call threw, or of its cause: one of `grpcCodes`, or another number. */
export function grpcStatus(error: unknown): number | undefined {
  const cause = error instanceof ShoalError ? error.cause : error;
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'number' ? cause.code : undefined;
}

/** What containerd itself said. */
export function grpcDetails(error: unknown): string {
  const cause = error instanceof ShoalError ? error.cause : error;
  if (!(cause instanceof Error)) return String(cause);
  return 'details' in cause && typeof cause.details === 'string' ? cause.details : cause.message;
}

/** Whether it took too long, here or where containerd asked a shim in turn, which it tells in words only. */
function isLate(error: Error): boolean {
  return (
    grpcStatus(error) === grpcCodes.deadlineExceeded || /context deadline exceeded/.test(grpcDetails(error))
  );
}

function callEnd(error: ServiceError | null): CallEnd {
  if (error && isLate(error)) return 'timed out';
  return grpcStatus(error) === grpcCodes.unavailable ? 'away' : 'answered';
}

/** containerd over one gRPC channel. Calls throw ShoalErrors whose cause is gRPC's own error. */
export class ContainerdClient {
  readonly address: string;
  readonly #client: Client;
  readonly #namespace: string;
  readonly #clock: Clock;
  readonly #watch: CallWatch | undefined;
  readonly #metadata = new Map<string, Metadata>();
  #lostAt = 0;

  constructor(options: { address: string; namespace: string; clock: Clock; watch?: CallWatch }) {
    checkSocketPath(options.address);
    this.address = options.address;
    this.#namespace = options.namespace;
    this.#clock = options.clock;
    this.#watch = options.watch;
    this.#client = new Client(`unix://${options.address}`, credentials.createInsecure(), {
      'grpc.max_receive_message_length': messageBytesMax,
      'grpc.max_send_message_length': messageBytesMax,
      // containerd on the same machine is back soon or not at all
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.min_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 500,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
      'grpc.default_authority': 'localhost',
    });
  }

  call<Name extends keyof Calls>(
    name: Name,
    request: Calls[Name][0],
    control: CallControl = {},
  ): Promise<Calls[Name][1]> {
    const coding = this.#coding(name);
    const { signal, timeoutMs = callTimeoutMs } = control;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      const { containerId } = request as { containerId?: string };
      const end = this.#watch?.begin(name, containerId);
      const options: CallOptions = {
        deadline: timeoutMs === Infinity ? timeoutMs : this.#clock.now() + timeoutMs,
      };
      const call = this.#client.makeUnaryRequest(
        coding.path,
        coding.requestSerialize,
        coding.responseDeserialize,
        request,
        this.#metadataFor(control.lease),
        options,
        (error: ServiceError | null, response?: object) => {
          signal?.removeEventListener('abort', abort);
          end?.(callEnd(error));
          if (!error) resolve(response as Calls[Name][1]);
          else reject(signal?.aborted ? (signal.reason as Error) : this.translate(name, error));
        },
      );
      const abort = () => call.cancel();
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  /** The call's answers, one after another. Leaving the loop ends the call. */
  async *stream<Name extends keyof Streams>(
    name: Name,
    request: Streams[Name][0],
    control: CallControl = {},
  ): AsyncGenerator<Streams[Name][1]> {
    const call = this.open(name, request, control);
    try {
      for await (const response of call) yield response as Streams[Name][1];
    } catch (error) {
      throw this.translate(name, error);
    } finally {
      call.cancel();
    }
  }

  /** Starts a call that answers with a stream, at once. */
  open<Name extends keyof Streams>(
    name: Name,
    request: Streams[Name][0],
    control: CallControl = {},
  ): ClientReadableStream<object> {
    const { path, requestSerialize, responseDeserialize } = this.#coding(name);
    return this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      this.#metadataFor(control.lease),
    );
  }

  /** Opens a write into the content store. */
  openWrite(control: CallControl): ClientDuplexStream<WriteContent, WriteContentResponse> {
    const { path, requestSerialize, responseDeserialize } = this.#coding('Content.Write');
    return this.#client.makeBidiStreamRequest(
      path,
      requestSerialize as (message: WriteContent) => Buffer,
      responseDeserialize as (bytes: Buffer) => WriteContentResponse,
      this.#metadataFor(control.lease),
    );
  }

  close(): void {
    this.#client.close();
  }

  /** When containerd last was seen to be away, in ms; 0: never. */
  get lostAt(): number {
    return this.#lostAt;
  }

  /** A gRPC error in our words; other errors come back as they are. */
  translate(name: string, error: unknown): Error {
    if (!(error instanceof Error)) return new ShoalError('engine_failed', `Cannot ${name}: ${String(error)}`);
    if (error instanceof ShoalError || grpcStatus(error) === undefined) return error;
    const code = grpcStatus(error);
    if (code === grpcCodes.unavailable) this.#lostAt = this.#clock.now();
    if (code === grpcCodes.unavailable || code === grpcCodes.cancelled) {
      return new ShoalError('unavailable', `Cannot reach containerd at ${this.address}`, {
        cause: error,
        next: 'Check that containerd runs: `shoal doctor`.',
      });
    }
    error.message = grpcDetails(error); // without the number and name of its status, which say nothing to a person
    if (isLate(error)) {
      // What follows is where the library spent the time.
      error.message = error.message.split(',')[0]!;
      return new ShoalError('deadline_exceeded', `Cannot finish ${name}: containerd took too long`, {
        cause: error,
        next: 'Try again in a moment; `shoal node ls` shows whether the engine of a host is slow.',
      });
    }
    return new ShoalError('engine_failed', `Cannot finish ${name}: ${grpcDetails(error)}`, { cause: error });
  }

  #coding(name: string): MethodCoding {
    const coding = methods.get(name);
    if (!coding) throw new ShoalError('internal', `Invariant broken: no method ${name}`);
    return coding;
  }

  #metadataFor(lease = ''): Metadata {
    let metadata = this.#metadata.get(lease);
    if (!metadata) {
      metadata = new Metadata({ waitForReady: false });
      metadata.set('containerd-namespace', this.#namespace);
      if (lease !== '') metadata.set('containerd-lease', lease);
      else this.#metadata.set(lease, metadata);
    }
    return metadata.clone();
  }
}
