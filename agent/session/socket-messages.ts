/** Between the agent and the thread that keeps its session's socket. `id` tells connections apart. */
export interface Dial {
  url: string;
  tls: { key: string; cert: string; ca: string; servername: string };
  /** TLS must stand within this, and the WebSocket within `handshakeMs`. */
  connectMs: number;
  handshakeMs: number;
  payloadBytesMax: number;
}

export type ToThread =
  | { type: 'dial'; id: number; dial: Dial }
  | { type: 'send'; id: number; text: string }
  /** The manager has greeted: from now on heartbeats go out. `silenceMs` without a word from it end the connection. */
  | { type: 'beat'; id: number; intervalMs: number; silenceMs: number }
  | { type: 'end'; id: number; reason: string }
  /** The answer to `tick`: the agent's loop turns. `stalledMs`: how long something else of it has stood still. */
  | { type: 'tock'; takenBytes: number; stalledMs: number };

export type FromThread =
  | { type: 'open'; id: number }
  | { type: 'message'; id: number; data: Uint8Array<ArrayBuffer>; isBinary: boolean }
  | { type: 'closed'; id: number; reason: string }
  /** Is the agent's loop turning? */
  | { type: 'tick' };

/** A loop that does not answer for less than this is busy and not stalled. */
export const stalledMsMin = 1_000;
/** More is not told of what is not the loop itself: only an agent whose loop stands still is ever taken for dead. */
export const otherStalledMsMax = 30_000;
/** Bytes that may wait for an agent whose loop stands still; more end the connection. */
export const untakenBytesMax = 64 * 1024 * 1024;
