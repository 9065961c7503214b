import { expect, test } from 'vitest';
import { ShoalError } from '../../src/util/errors.ts';
import type { ContainerdClient } from './client.ts';
import { makeSnapshot } from './snapshots.ts';

const mounts = [{ type: 'overlay', source: 'overlay', target: '', options: [] }];

/** A client whose first calls fail so. */
function failing(...details: string[]) {
  const left = [...details];
  const call = () => {
    const said = left.shift();
    if (said === undefined) return Promise.resolve({ mounts });
    const cause = Object.assign(new Error(said), { code: 2, details: said });
    return Promise.reject(new ShoalError('engine_failed', `Cannot make it: ${said}`, { cause }));
  };
  return { left, client: { call } as Pick<ContainerdClient, 'call'> };
}

const request = { snapshotter: 'overlayfs', key: 'one', parent: '' };
const inTheWay = 'failed to rename: rename /c/snapshots/new-1739764406 /c/snapshots/96: file exists: unknown';

test('makeSnapshot() tries again when the folder of a snapshot that never was is in the way', async () => {
  expect(await makeSnapshot(failing(inTheWay).client, 'View', request)).toBe(mounts);
});

test('makeSnapshot() does not try for ever, and other failures are not tried again', async () => {
  const always = failing(inTheWay, inTheWay, inTheWay, inTheWay);
  await expect(makeSnapshot(always.client, 'Prepare', request)).rejects.toThrow('file exists');
  expect(always.left).toHaveLength(1);
  const other = failing('no space left on device', 'again');
  await expect(makeSnapshot(other.client, 'Prepare', request)).rejects.toThrow('no space');
  expect(other.left).toEqual(['again']);
});
