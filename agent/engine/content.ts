import type { ClientDuplexStream } from '@grpc/grpc-js';
import { isRetryable, pauseAfter, type RepositoryClient } from '../../src/registry/client.ts';
import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { retry } from '../../src/util/retry.ts';
import { type ContainerdClient, grpcCodes, grpcStatus, isAlreadyExists, isNotFound } from './client.ts';
import type { Descriptor, Labels, WriteContent, WriteContentResponse } from './messages.ts';

/** Bytes handed to containerd at a time: large enough that the round trip does not count. */
const chunkBytes = 1024 * 1024;
const downloadAttempts = 6;

/** Whether the content store has this blob whole. */
export async function hasContent(client: ContainerdClient, digest: string): Promise<boolean> {
  try {
    await client.call('Content.Info', { digest });
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

/** A blob of the content store; nothing when it is not there. Larger than `bytesMax` throws `image_invalid`. */
export async function readContent(
  client: ContainerdClient,
  digest: string,
  bytesMax: number,
): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const { data } of client.stream('Content.Read', { digest })) {
      bytes += data.length;
      if (bytes > bytesMax)
        throw new ShoalError('image_invalid', `Cannot use the image: ${digest} is too large`);
      chunks.push(data);
    }
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
  return Buffer.concat(chunks);
}

/** Puts a small blob into the content store; one that is there already gets the labels. */
export async function writeContent(
  client: ContainerdClient,
  blob: {
    digest: string;
    bytes: Uint8Array;
    labels: Labels;
    lease: string;
    signal: AbortSignal;
    clock: Clock;
  },
): Promise<void> {
  const { digest, bytes, labels, lease, signal, clock } = blob;
  const descriptor = { mediaType: '', digest, size: bytes.length };
  await keepInLease(client, lease, 'content', digest);
  if (!(await hasContent(client, digest))) {
    const write = async () => {
      await using session = new WriteSession(client, descriptor, lease);
      await session.open();
      if (!session.complete) await session.write(0, bytes);
      await session.commit(labels);
    };
    await retry(write, { attempts: downloadAttempts, retryable: isRetryable, signal, clock });
  }
  const paths = Object.keys(labels).map((label) => `labels.${label}`);
  if (paths.length > 0)
    await client.call('Content.Update', { info: { digest, labels }, updateMask: { paths } });
}

export interface Download {
  repository: RepositoryClient;
  descriptor: Descriptor;
  lease: string;
  signal: AbortSignal;
  clock: Clock;
  /** Told how many bytes of the blob are here; may go back when a download starts again. */
  onBytes: (bytes: number) => void;
}

/**
 * Brings a blob from the registry into the content store. What an earlier attempt, even of another process, has brought
 * stays, and the rest is asked for as a range. containerd verifies digest and size. Errors: `image_invalid`, `unavailable`.
 */
export async function downloadContent(client: ContainerdClient, download: Download): Promise<void> {
  const { descriptor, lease, signal, clock } = download;
  await keepInLease(client, lease, 'content', descriptor.digest);
  if (!(await hasContent(client, descriptor.digest))) {
    await retry(() => attemptDownload(client, download), {
      attempts: downloadAttempts,
      retryable: isRetryable,
      pauseMs: pauseAfter,
      signal,
      clock,
    });
  }
  download.onBytes(descriptor.size);
}

async function attemptDownload(client: ContainerdClient, download: Download): Promise<void> {
  const { repository, descriptor, lease, signal, onBytes } = download;
  await using session = new WriteSession(client, descriptor, lease);
  let offset = await session.open();
  if (session.complete) return;
  const resumed = offset > 0;
  if (offset < descriptor.size) {
    const source = await repository.openBlob(descriptor.digest, offset, signal);
    if (source.offset !== offset) {
      source.close();
      await session.abort();
      throw new ShoalError('unavailable', 'Cannot resume the download: the registry knows no ranges');
    }
    for await (const chunk of inChunks(source.chunks)) {
      if (offset + chunk.length > descriptor.size) {
        await session.abort();
        throw new ShoalError(
          'image_invalid',
          `Cannot use the image: ${descriptor.digest} is larger than it should be`,
        );
      }
      await session.write(offset, chunk);
      offset += chunk.length;
      onBytes(offset);
    }
  }
  if (offset < descriptor.size) {
    throw new ShoalError('unavailable', `Cannot download ${descriptor.digest}: the registry ended it early`);
  }
  try {
    await session.commit({});
  } catch (error) {
    if (grpcStatus(error) !== grpcCodes.failedPrecondition) throw error;
    await session.abort();
    const what = `Cannot use the image: ${descriptor.digest} has another content than its digest says`;
    // pieces of two attempts may not fit together; from the start they must
    throw new ShoalError(resumed ? 'unavailable' : 'image_invalid', what, { cause: error });
  }
}

async function* inChunks(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of source) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes < chunkBytes) continue;
    yield Buffer.concat(pieces);
    pieces = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(pieces);
}

/** Keeps the collector away from something while the lease lives, whether or not it is there yet. */
export async function keepInLease(
  client: ContainerdClient,
  lease: string,
  type: string,
  id: string,
): Promise<void> {
  try {
    await client.call('Leases.AddResource', { id: lease, resource: { id, type } });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

/** One write into the content store, request by request. Disposing of it keeps what was written for a later attempt. */
class WriteSession {
  readonly #client: ContainerdClient;
  readonly #stream: ClientDuplexStream<WriteContent, WriteContentResponse>;
  readonly #common: { ref: string; total: number; expected: string };
  #pending: { resolve: (response: WriteContentResponse) => void; reject: (error: Error) => void } | undefined;
  #failure: Error | undefined;
  /** The store has the blob already. */
  complete = false;

  constructor(client: ContainerdClient, descriptor: Descriptor, lease: string) {
    const { digest, size } = descriptor;
    this.#client = client;
    this.#common = { ref: `shoal-${digest}`, total: size, expected: digest };
    this.#stream = client.openWrite({ lease });
    this.#stream.on('data', (response: WriteContentResponse) => {
      this.#pending?.resolve(response);
      this.#pending = undefined;
    });
    const fail = (error: Error) => {
      this.#failure ??= client.translate('Content.Write', error);
      this.#pending?.reject(this.#failure);
      this.#pending = undefined;
    };
    this.#stream.on('error', fail);
    this.#stream.on('end', () =>
      fail(new ShoalError('unavailable', 'Cannot write content: containerd ended it')),
    );
  }

  /** Takes the write up; gives how many bytes are there already. */
  async open(): Promise<number> {
    try {
      const { offset } = await this.#send({ ...this.#common, action: 'STAT' });
      return offset;
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      this.complete = true;
      return this.#common.total;
    }
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    await this.#send({ ...this.#common, action: 'WRITE', offset, data });
  }

  async commit(labels: Labels): Promise<void> {
    if (this.complete) return;
    try {
      await this.#send({ ...this.#common, action: 'COMMIT', offset: this.#common.total, labels });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }

  /** Forgets what was written. */
  async abort(): Promise<void> {
    await this[Symbol.asyncDispose]();
    try {
      await this.#client.call('Content.Abort', { ref: this.#common.ref });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#stream.end();
    return Promise.resolve();
  }

  #send(request: WriteContent): Promise<WriteContentResponse> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      this.#pending = { resolve, reject };
      this.#stream.write(request);
    });
  }
}
