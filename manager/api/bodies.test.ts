import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { Bodies } from './bodies.ts';

test('a body that breaks off is a fault of who sent it', async () => {
  const stream = new Readable({ read: () => undefined });
  stream.push('{"token":');
  const request = Object.assign(stream, { headers: {} }) as unknown as IncomingMessage;
  const read = new Bodies().read(request, 1_000);
  stream.destroy(new Error('aborted'));
  await expect(read).rejects.toMatchObject({ code: 'invalid_argument' });
});
