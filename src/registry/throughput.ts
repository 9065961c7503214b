import type { Readable } from 'node:stream';
import type { Clock } from '../util/clock.ts';
import { ShoalError } from '../util/errors.ts';
import type { RegistryLimits } from './limits.ts';

/**
 * The stream's chunks. Throws `unavailable`, and ends the stream, once less than `bytesMin` has come within `windowMs`
 * of waiting. Time in which the reader is busy with what came does not count.
 */
export async function* withLeastThroughput(
  stream: Readable,
  { windowMs, bytesMin }: RegistryLimits['throughput'],
  clock: Clock,
): AsyncGenerator<Buffer> {
  let waitedMs = 0;
  let bytes = 0;
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const slow = () =>
    stream.destroy(
      new ShoalError(
        'unavailable',
        `Cannot download: the registry sends too slowly, ${bytes} bytes in ${windowMs / 1000} s`,
      ),
    );
  try {
    for (;;) {
      const startedAt = clock.monotonic();
      const cancel = clock.after(Math.max(0, windowMs - waitedMs), slow);
      const { done, value } = await chunks.next().finally(cancel);
      if (done) return;
      waitedMs += clock.monotonic() - startedAt;
      bytes += value.length;
      if (bytes >= bytesMin) waitedMs = bytes = 0;
      yield value;
    }
  } finally {
    stream.destroy();
  }
}
