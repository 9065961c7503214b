import type { ServerResponse } from 'node:http';
import { once } from 'node:events';
import { ShoalError } from '../../src/util/errors.ts';
import { apiErrorOf, httpStatusOf } from '../../src/wire/api-error.ts';
import { bodyTooLarge } from './bodies.ts';

/** Empty lines sent on a quiet stream, so that a connection that has died is noticed by both sides. */
export const keepAliveMs = 15_000;

/** The HTTP status that goes with an error. */
export function statusOf(error: unknown): number {
  const tooLarge = error instanceof ShoalError && error.details === bodyTooLarge;
  return tooLarge ? 413 : httpStatusOf(error);
}

/** Answers with JSON; an undefined value is an answer without a body. Returns the bytes of the body. */
export function sendJson(response: ServerResponse, status: number, value: unknown): number {
  const text = value === undefined ? '' : JSON.stringify(value);
  const bytes = Buffer.byteLength(text);
  response.writeHead(value === undefined && status === 200 ? 204 : status, {
    'content-type': 'application/json',
    'content-length': bytes,
  });
  response.end(text);
  return bytes;
}

/** Answers with an error; when a stream is under way already, as its last line. */
export function sendError(response: ServerResponse, error: unknown): void {
  const body = { error: apiErrorOf(error) };
  if (!response.headersSent) sendJson(response, statusOf(error), body);
  else if (!response.writableEnded) response.end(`${JSON.stringify(body)}\n`);
}

/** Writes one JSON line and waits until the reader has room for more. Throws when the reader has gone. */
export async function writeLine(response: ServerResponse, line: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (!response.headersSent) {
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
  }
  if (!response.write(`${line}\n`)) await once(response, 'drain', { signal });
}
