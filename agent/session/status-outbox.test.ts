import { expect, test } from 'vitest';
import { statusBatchMax } from '../../src/wire/session.ts';
import { statusBatchBytesMax } from './limits.ts';
import { StatusOutbox } from './status-outbox.ts';

/** Takes and acknowledges batches until there are no more. */
function batchesOf(outbox: StatusOutbox): { tasks: number; bytes: number }[] {
  const sizes = [];
  for (let batch = outbox.take(0); batch; batch = outbox.take(0)) {
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

test('how long nobody has taken what is told counts over sessions and refusals, until somebody does', () => {
  const outbox = new StatusOutbox();
  const put = (message: string) => outbox.put('a', { state: 'running', at: 1, message });
  put('first');
  expect(outbox.untakenMs(5)).toBe(0); // nothing has been sent
  const first = outbox.take(10)!;
  outbox.lost();
  const second = outbox.take(20)!;
  put('newer');
  expect(outbox.declined(first.batch)).toBe(false);
  expect(outbox.declined(second.batch)).toBe(true);
  expect(outbox.untakenMs(30)).toBe(20);
  const third = outbox.take(40)!;
  expect(third.tasks.map(({ status }) => status.message)).toEqual(['newer']);
  outbox.acknowledge(third.batch);
  expect(outbox.untakenMs(50)).toBe(0);
  put('last');
  outbox.take(60);
  outbox.lost();
  outbox.drop('a');
  expect(outbox.untakenMs(70)).toBe(0); // nobody wants to know
});
