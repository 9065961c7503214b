/** How patient one is with a registry. A registry that answers every few seconds with a byte is none. */
export interface RegistryLimits {
  /** A connection, with TLS, must stand after this long. */
  connectMs: number;
  /** A connection on which nothing comes for this long is given up. */
  idleMs: number;
  /** A manifest, a config or a token must be there whole after this long, with redirects and authentication. */
  smallAnswerMs: number;
  /** A layer must begin to come after this long, with redirects and authentication. */
  firstByteMs: number;
  /** Of a layer at least `bytesMin` must come in every `windowMs` that are spent waiting for it. */
  throughput: { windowMs: number; bytesMin: number };
  /** A registry that asks to be left alone (`Retry-After`) is left alone for at most this long. */
  retryAfterMsMax: number;
}

export const registryLimits: RegistryLimits = {
  connectMs: 10_000,
  idleMs: 30_000,
  smallAnswerMs: 60_000,
  firstByteMs: 60_000,
  throughput: { windowMs: 30_000, bytesMin: 128 * 1024 },
  retryAfterMsMax: 60_000,
};
