import { expect, test } from 'vitest';
import { statusBatchMax } from '../../src/wire/session.ts';
import { statusBatchBytesMax } from './limits.ts';
import { StatusOutbox } from './status-outbox.ts';

/** Takes and acknowledges batches until there are no more. */
function batchesOf(outbox: StatusOutbox): { tasks: number; bytes: number }[] {
  const sizes = [];
  for (let batch = outbox.take(); batch; batch = outbox.take()) {
    sizes.push({ tasks: batch.tasks.length, bytes: Buffer.byteLength(JSON.stringify(batch.tasks)) });
    outbox.acknowledge(batch.batch);
  }
  return sizes;
}

test('a batch has only so many statuses', () => {
  const outbox = new StatusOutbox();
  for (let task = 0; task < 1_200; task++) outbox.put(`t${task}`, { state: 'running', at: 1, message: '' });
  expect(batchesOf(outbox).map(({ tasks }) => tasks)).toEqual([statusBatchMax, statusBatchMax, 200]);
});

test('a batch has only so many bytes, however long the messages are', () => {
  const outbox = new StatusOutbox();
  const message = '\u0001'.repeat(2_000); // six bytes each in JSON
  for (let task = 0; task < 300; task++) outbox.put(`t${task}`, { state: 'running', at: 1, message });
  const sizes = batchesOf(outbox);
  expect(sizes.reduce((sum, { tasks }) => sum + tasks, 0)).toBe(300);
  for (const { bytes } of sizes) expect(bytes).toBeLessThan(statusBatchBytesMax * 1.1);
});
