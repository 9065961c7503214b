import { systemClock, withDeadline } from '../util/clock.ts';
import { ShoalError } from '../util/errors.ts';
import { Limiter } from '../util/queue.ts';
import { retry } from '../util/retry.ts';
import { isRetryable, pauseAfter, pullError, RepositoryClient } from './client.ts';
import type { Logins } from './logins.ts';
import { canonicalReference, parseReference } from './reference.ts';

const imagesAtOnce = 4;
const attempts = 3;
/** For one image, with all attempts. */
const imageLimitMs = 30_000;

/**
 * Images with the digests that their tags name now: `redis:8` gives `docker.io/library/redis:8@sha256:…`, of an image for
 * several platforms the digest of its index. One that has a digest already keeps it, and asks nobody. Throws the first
 * fault: `image_not_found`, `unavailable`, `deadline_exceeded`, `invalid_argument` for what is no image's name.
 */
export async function resolveDigests(
  images: readonly string[],
  options: { logins: Logins; signal: AbortSignal },
): Promise<Map<string, string>> {
  const limiter = new Limiter(imagesAtOnce);
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const resolved = [...new Set(images)].map((image) =>
    limiter.run(async (): Promise<[string, string]> => {
      signal.throwIfAborted();
      return [image, await withDigest(image, options.logins, signal)];
    }),
  );
  try {
    return new Map(await Promise.all(resolved));
  } catch (error) {
    failed.abort(error);
    await Promise.allSettled(resolved);
    throw error;
  }
}

async function withDigest(image: string, logins: Logins, parent: AbortSignal): Promise<string> {
  const reference = parseReference(image);
  const name = canonicalReference(reference);
  const { tag, registry } = reference;
  if (tag === undefined) return name;
  const repository = new RepositoryClient({
    reference,
    insecureRegistries: [],
    clock: systemClock,
    login: logins.get(registry),
  });
  let limit: AbortSignal | undefined;
  const ask = (signal: AbortSignal) => {
    limit = signal;
    return retry(() => repository.manifest(tag, signal), {
      attempts,
      retryable: isRetryable,
      pauseMs: pauseAfter,
      signal,
    });
  };
  try {
    const { digest } = await withDeadline(imageLimitMs, `The registry ${registry}`, ask, parent);
    return `${name}@${digest}`;
  } catch (error) {
    if (parent.aborted) throw error;
    throw limit?.aborted ? tooSlow(name, registry) : pullError(reference, error, 'resolve the digest of');
  }
}

function tooSlow(name: string, registry: string): ShoalError {
  return new ShoalError(
    'deadline_exceeded',
    `Cannot resolve the digest of ${name}: ${registry} did not answer within ${imageLimitMs / 1000} s`,
    { next: 'Try again, or write IMAGE@sha256:… in the file.' },
  );
}
