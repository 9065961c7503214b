import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { answerMsMax, soundKernel, Soundings } from './soundings.ts';

test('a kernel answers whether anything listens or not', async () => {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  expect(await soundKernel('127.0.0.1', port)).toBe(true);
  server.close();
  await once(server, 'close');
  expect(await soundKernel('127.0.0.1', port)).toBe(true);
});

test('an address that no packet gets to does not', async () => {
  // The kernel refuses to send there itself.
  expect(await soundKernel('255.255.255.255')).toBe(false);
});

test('one question at a time is asked, and an answer counts for as long as it is fresh', async () => {
  const waiting: ((isThere: boolean) => void)[] = [];
  const soundings = new Soundings(() => new Promise((resolve) => waiting.push(resolve)));
  soundings.ask('n', '192.0.2.1', 1_000);
  soundings.ask('n', '192.0.2.1', 1_200);
  expect(waiting).toHaveLength(1);
  expect(soundings.hasAnswered('n', 1_200)).toBe(false);
  waiting[0]!(true);
  await expect.poll(() => soundings.hasAnswered('n', 1_200)).toBe(true);
  // Of the moment at which it was asked: an answer that this process read late says nothing of now.
  expect(soundings.hasAnswered('n', 1_000 + answerMsMax + 1)).toBe(false);
  soundings.ask('n', '192.0.2.1', 1_400);
  waiting[1]!(false);
  await expect.poll(() => soundings.hasAnswered('n', 1_400)).toBe(false);
});
