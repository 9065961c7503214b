import { expect, test } from 'vitest';
import { startTestManager } from '../testing.ts';

const body = { ports: { client: 2379, peer: 2380 } };

test('only the manager of a node that is one may have a place in the store', async () => {
  await using manager = await startTestManager();
  const worker = await manager.join('worker');
  await expect(manager.call('/api/v1/member', worker, body)).rejects.toMatchObject({
    code: 'permission_denied',
  });
  await expect(manager.call('/api/v1/member', undefined, body)).rejects.toMatchObject({
    code: 'unauthenticated',
  });
  const { name: _, ...admin } = await manager.administrator('admin');
  await expect(manager.call('/api/v1/member', admin, body)).rejects.toMatchObject({
    code: 'permission_denied',
  });
  const own = await manager.join('manager');
  await expect(manager.call('/api/v1/member', own, body)).rejects.toMatchObject({ code: 'unavailable' });
  await expect(manager.call('/api/v1/member', own, { ports: { client: 0, peer: 1 } })).rejects.toMatchObject({
    code: 'invalid_argument',
  });
});
