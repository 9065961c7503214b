/** A complete set larger than this is refused: asked for again, for it cannot be right. */
export const assignmentsBytesMax = 256 * 1024 * 1024;
/** Bytes of statuses in one message, well under `agentMessageBytesMax`; what is over goes into the next one. */
export const statusBatchBytesMax = 512 * 1024;
/** A batch that is not acknowledged for this long ends the session, and is sent again in the next one. */
export const statusAckMs = 10_000;
/** What a manager could not write is told again after so long. */
export const declinedPauseMs = 1_000;
/** A manager that takes no status for so long is as good as none: it replaces nothing that ends here. */
export const untakenMsMax = 2_000;
/** The manager must greet within this long after the connection stands. */
export const welcomeMs = 5_000;
/** TLS and the WebSocket handshake must be done within this long. */
export const handshakeMs = 3_000;
/** Silence of this many heartbeats from the manager ends the session. */
export const silentHeartbeatsMax = 6;
/** Streams of a kind served at a time on one host; another one is answered with an error. */
export const streamsMax = {
  logs: 128,
  exec: 64,
  'remove-volume': 16,
  'list-volumes': 8,
  'export-volume': 8,
  'import-volume': 8,
  'send-volume': 4,
  'take-volume': 4,
  'settle-volume': 8,
} as const;
/** A status message is cut to this many characters: a healthcheck may print pages. */
export const statusTextMax = 2_000;

/** Roughly how much memory a message takes. */
export function sizeOf(message: unknown): number {
  return JSON.stringify(message).length;
}
