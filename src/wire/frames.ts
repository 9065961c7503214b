import { ShoalError } from '../util/errors.ts';
import { frameTypes } from './session.ts';

export type FrameType = keyof typeof frameTypes;

/** One frame of a stream: what it is, and its payload (bytes, or JSON as `wire/session.ts` says). */
export interface Frame {
  type: FrameType;
  payload: Buffer;
}

const names = new Map<number, FrameType>(
  Object.entries(frameTypes).map(([name, byte]) => [byte, name as FrameType]),
);

/** One type byte and the payload: what goes into one binary WebSocket message. */
export function encodeFrame(type: FrameType, payload: Uint8Array | string = ''): Buffer {
  return Buffer.concat([Buffer.of(frameTypes[type]), Buffer.from(payload)]);
}

/** A frame whose payload is JSON. */
export function encodeJsonFrame(type: FrameType, value: unknown): Buffer {
  return encodeFrame(type, JSON.stringify(value));
}

/** Takes a binary message apart; throws `invalid_argument` for an empty message or an unknown type. */
export function decodeFrame(message: Uint8Array): Frame {
  const type = names.get(message[0] ?? -1);
  if (type === undefined) {
    throw new ShoalError('invalid_argument', `Cannot read a stream frame of type ${message[0] ?? 'nothing'}`);
  }
  return { type, payload: Buffer.from(message.buffer, message.byteOffset + 1, message.byteLength - 1) };
}

/** A larger frame ends its stream. */
export const frameBytesMax = 1024 * 1024;
