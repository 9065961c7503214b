import type { IncomingMessage } from 'node:http';
import { ShoalError } from '../../src/util/errors.ts';
import { parseUntrusted } from '../../src/wire/json.ts';

/** A larger body is refused where a route says nothing else. */
export const bodyBytesMax = 64 * 1024;
/** Where a token or a certificate request comes in: some 2 KiB. */
export const joinBodyBytesMax = 16 * 1024;
/** A secret or config in base64. */
export const fileBodyBytesMax = 2 * 1024 * 1024;
/** Bodies that are being read, all together; one more is refused. */
export const bodiesBytesMax = 128 * 1024 * 1024;

/** What is in `details` of the error for a body that is too large. */
export const bodyTooLarge = { bodyTooLarge: true };

/** Reads bodies, and never more of them at once than memory is meant for. */
export class Bodies {
  #bytes = 0;

  /** The body as JSON. Throws `resource_exhausted` when it is over `bytesMax` or too many come at once, and `invalid_argument`. */
  async read(request: IncomingMessage, bytesMax: number): Promise<unknown> {
    if (Number(request.headers['content-length'] ?? 0) > bytesMax) throw tooLarge(bytesMax);
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      // The answer is still to go out on the connection when reading stops early.
      const parts = request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
      for await (const chunk of parts) {
        bytes += chunk.length;
        this.#bytes += chunk.length;
        if (bytes > bytesMax) throw tooLarge(bytesMax);
        if (this.#bytes > bodiesBytesMax) {
          throw new ShoalError('resource_exhausted', 'Cannot take the request: too many large ones come in', {
            next: 'Try again in a moment.',
          });
        }
        chunks.push(chunk);
      }
      return parseUntrusted(Buffer.concat(chunks), 'the request');
    } catch (error) {
      if (error instanceof ShoalError) throw error;
      throw new ShoalError('invalid_argument', 'Cannot read the request: it broke off before its end', {
        cause: error,
      });
    } finally {
      this.#bytes -= bytes;
    }
  }
}

function tooLarge(bytesMax: number): ShoalError {
  return new ShoalError('resource_exhausted', `Cannot take a request over ${bytesMax} bytes`, {
    details: bodyTooLarge,
  });
}
