import { EventEmitter } from 'node:events';
import { expect, test, vi } from 'vitest';
import type { WebSocket } from 'ws';
import { ManualClock } from '../../test/manual-clock.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { connectionRate, type StreamRequest } from '../../src/wire/session.ts';
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

/** A connection that stands at once, and takes everything. */
class OpenSocket extends EventEmitter {
  constructor() {
    super();
    setImmediate(() => this.emit('open'));
  }

  pause(): void {}
  resume(): void {}
  close(): void {}
  terminate(): void {}
  send(_: Buffer, callback: () => void): void {
    callback();
  }
}

test('connections for logs are made no faster than half of what managers let through, and others at once', async () => {
  const clock = new ManualClock();
  const server = new StreamServer({ clock, log: silentLogger, knows: () => false } as unknown as StreamParts);
  const dialled = {
    logs: 0,
    exec: 0,
    'remove-volume': 0,
    'list-volumes': 0,
    'export-volume': 0,
    'import-volume': 0,
    'send-volume': 0,
    'take-volume': 0,
    'settle-volume': 0,
  };
  const serve = (request: StreamRequest) =>
    server.serve(request, () => {
      dialled[request.kind]++;
      return new OpenSocket() as unknown as WebSocket;
    });
  const { perSecond, burst } = connectionRate;
  for (let count = 0; count < burst; count++) void serve({ kind: 'logs', taskId: 't', follow: true });
  await vi.waitFor(() => expect(dialled.logs).toBe(burst / 2));
  await serve({ kind: 'exec', taskId: 't', command: ['ls'], tty: false, environment: {} });
  expect(dialled).toMatchObject({ logs: burst / 2, exec: 1 });
  clock.advance(1_000);
  await vi.waitFor(() => expect(dialled.logs).toBe(burst / 2 + perSecond / 2));
  server.close();
});
