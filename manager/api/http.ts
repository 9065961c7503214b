import type { IncomingMessage, ServerResponse } from 'node:http';
import { once } from 'node:events';
import { ShoalError } from '../../src/util/errors.ts';
import { apiErrorOf, httpStatusOf } from '../../src/wire/api-error.ts';
import { apiBodyBytesMax } from '../../src/wire/api.ts';

/** Empty lines sent on a quiet stream, so that a connection that has died is noticed by both sides. */
export const keepAliveMs = 15_000;

/** The HTTP status that goes with an error. */
export function statusOf(error: unknown): number {
  const tooLarge = error instanceof ShoalError && error.details === bodyTooLarge;
  return tooLarge ? 413 : httpStatusOf(error);
}

/** Answers with JSON; an undefined value is an answer without a body. */
export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const text = value === undefined ? '' : JSON.stringify(value);
  response.writeHead(value === undefined && status === 200 ? 204 : status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

/** Answers with an error; when a stream is under way already, as its last line. */
export function sendError(response: ServerResponse, error: unknown): void {
  const body = { error: apiErrorOf(error) };
  if (!response.headersSent) return sendJson(response, statusOf(error), body);
  if (!response.writableEnded) response.end(`${JSON.stringify(body)}\n`);
}

const bodyTooLarge = { limitBytes: apiBodyBytesMax };

/** The request's body as JSON, at most `apiBodyBytesMax`. Throws `resource_exhausted` or `invalid_argument`. */
export async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > apiBodyBytesMax) {
      throw new ShoalError('resource_exhausted', `Cannot take a request over ${apiBodyBytesMax} bytes`, {
        details: bodyTooLarge,
      });
    }
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString()) as unknown;
  } catch (cause) {
    throw new ShoalError('invalid_argument', 'Cannot read the request: its body is not JSON', { cause });
  }
}

/** Writes one JSON line and waits until the reader has room for more. Throws when the reader has gone. */
export async function writeLine(response: ServerResponse, line: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (!response.headersSent) {
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
  }
  if (!response.write(`${line}\n`)) await once(response, 'drain', { signal });
}
