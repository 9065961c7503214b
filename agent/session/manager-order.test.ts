import { expect, test } from 'vitest';
import { ShoalError } from '../../src/util/errors.ts';
import { askManagers, dialled, ManagerOrder } from './manager-order.ts';

const three = ['a:1', 'b:1', 'c:1'];

test('the manager that worked last is tried first, and the one that failed last', () => {
  const order = new ManagerOrder();
  expect(order.of(three)).toEqual(three);
  order.worked('b:1');
  expect(order.of(three)).toEqual(['b:1', 'a:1', 'c:1']);
  order.failed('b:1');
  expect(order.of(three)).toEqual(['a:1', 'c:1', 'b:1']);
  order.worked('b:1');
  expect(order.of(three)).toEqual(['b:1', 'a:1', 'c:1']);
});

test('what is not known any more is not tried', () => {
  const order = new ManagerOrder();
  order.worked('d:1');
  order.failed('e:1');
  expect(order.of(three)).toEqual(three);
});

test('managers are asked until one answers', async () => {
  const asked: string[] = [];
  const order = new ManagerOrder();
  const ask = async (address: string) => {
    asked.push(address);
    if (address !== 'c:1') throw new ShoalError('unavailable', 'not there');
    return address;
  };
  expect(await askManagers(three, ask, order)).toBe('c:1');
  expect(asked).toEqual(three);
  expect(await askManagers(three, ask, order)).toBe('c:1');
  expect(asked).toEqual([...three, 'c:1']);
});

test('a refusal is an answer, and no other manager is asked', async () => {
  const asked: string[] = [];
  const ask = async (address: string) => {
    asked.push(address);
    throw new ShoalError('unauthenticated', 'the token is wrong');
  };
  await expect(askManagers(three, ask)).rejects.toThrow('the token is wrong');
  expect(asked).toEqual(['a:1']);
  await expect(askManagers([], ask)).rejects.toThrow('no manager is known');
});

test('the own manager is reached through the host itself, and when nobody tells of it', () => {
  const own = { address: 'b:1', local: '127.0.0.1:1' };
  expect(dialled(three, own)).toEqual(['a:1', '127.0.0.1:1', 'c:1']);
  expect(dialled(['a:1'], own)).toEqual(['a:1', '127.0.0.1:1']);
  expect(dialled(three, undefined)).toEqual(three);
});
