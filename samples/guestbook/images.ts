import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeImage, redisImage } from '../../test/harness/image.ts';
import { pushImage } from '../../test/harness/registry.ts';

/**
 * Makes the two images of this sample from what is on this machine (the project's own Node, Debian's redis-server) and
 * pushes them to a registry, under the names that the Compose file uses:
 *
 *     node samples/guestbook/images.ts ADDRESS:PORT
 *
 * With a registry that has the official images there is no need for it.
 */
export async function pushGuestbookImages(registry: string): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'shoal-images-'));
  try {
    await pushImage(registry, 'library/node:24-bookworm-slim', await nodeImage(directory));
    await pushImage(registry, 'library/redis:7-bookworm', await redisImage(directory));
  } finally {
    await rm(directory, { recursive: true });
  }
}

if (import.meta.main) {
  const [registry] = process.argv.slice(2);
  if (registry === undefined) {
    process.stderr.write('Usage: node samples/guestbook/images.ts ADDRESS:PORT\n');
    process.exitCode = 2;
  } else {
    await pushGuestbookImages(registry);
    process.stdout.write(`Pushed. Now: REGISTRY=${registry}/library shoal up\n`);
  }
}
