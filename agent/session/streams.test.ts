import { EventEmitter } from 'node:events';
import { expect, test, vi } from 'vitest';
import type { WebSocket } from 'ws';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import type { StreamRequest } from '../../src/wire/session.ts';
import { StreamServer, type StreamParts } from './streams.ts';

test('connections for logs that do not come to be keep nobody from running commands', async () => {
  const server = new StreamServer({ clock: systemClock, log: silentLogger } as StreamParts);
  const dialled: string[] = [];
  const serve = (request: StreamRequest) =>
    server.serve(request, () => {
      dialled.push(request.kind);
      return new EventEmitter() as WebSocket; // never opens
    });
  for (let count = 0; count < 100; count++) void serve({ kind: 'logs', taskId: 't', follow: true });
  await vi.waitFor(() => expect(dialled).toHaveLength(8));
  void serve({ kind: 'exec', taskId: 't', command: ['ls'], tty: false, environment: {} });
  await vi.waitFor(() => expect(dialled).toContain('exec'));
  server.close();
});
