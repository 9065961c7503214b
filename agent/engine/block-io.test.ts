import { expect, test } from 'vitest';
import { blockIoOf } from './block-io.ts';

test('without limits there is nothing to say, and a weight needs no device', async () => {
  expect(await blockIoOf(undefined)).toBeUndefined();
  expect(await blockIoOf({ weight: 300 })).toEqual({ weight: 300 });
});

test('a device that this host does not have, or that is no block device, is refused', async () => {
  await expect(blockIoOf({ weightDevices: [{ path: '/dev/no-such', weight: 10 }] })).rejects.toThrow(
    'Cannot use the device /dev/no-such: this host has none',
  );
  await expect(blockIoOf({ writeBytes: [{ path: '/dev/null', rate: 1 }] })).rejects.toThrow(
    'Cannot limit /dev/null: on this host it is no block device',
  );
});
