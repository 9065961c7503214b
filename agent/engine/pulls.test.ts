import { expect, test } from 'vitest';
import { SharedPulls } from './pulls.ts';

test('work is shared, late callers hear where it is, and it ends when all have given up', async () => {
  const pulls = new SharedPulls<string>();
  const started: AbortSignal[] = [];
  const begun = Promise.withResolvers<void>();
  const work = (
    report: (progress: { doneBytes: number; totalBytes: number; phase: 'downloading' }) => void,
    signal: AbortSignal,
  ) => {
    started.push(signal);
    report({ doneBytes: 1, totalBytes: 2, phase: 'downloading' });
    begun.resolve();
    return new Promise<string>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    });
  };
  const [first, second] = [new AbortController(), new AbortController()];
  const heard: number[] = [];
  const one = pulls.run('a', { signal: first.signal }, work);
  await begun.promise;
  const onProgress = ({ doneBytes }: { doneBytes: number }) => heard.push(doneBytes);
  const two = pulls.run('a', { signal: second.signal, onProgress }, work);
  expect(heard).toEqual([1]);
  expect(started).toHaveLength(1);
  first.abort(new Error('first left'));
  await expect(one).rejects.toThrow('first left');
  expect(started[0]!.aborted).toBe(false);
  second.abort(new Error('second left'));
  await expect(two).rejects.toThrow('second left');
  expect(started[0]!.aborted).toBe(true);
});

test('after it has ended the work is done anew', async () => {
  const pulls = new SharedPulls<number>();
  let count = 0;
  const work = () => Promise.resolve(++count);
  expect(await pulls.run('a', {}, work)).toBe(1);
  expect(await pulls.run('a', {}, work)).toBe(2);
});
