import { expect, test } from 'vitest';
import { ImageRoom } from './room.ts';

const mebibyte = 1024 * 1024;

function room() {
  const disk = { freeMebibytes: 0 };
  const look = () => {
    const freeBytes = disk.freeMebibytes * mebibyte;
    return Promise.resolve({ freeBytes, totalBytes: 1e12, freeFiles: 1, totalFiles: 1 });
  };
  return { disk, images: new ImageRoom('/images', look) };
}

test('what cannot fit twice is not pulled at all', async () => {
  const { disk, images } = room();
  disk.freeMebibytes = 199;
  await expect(images.check('box:1', 'sha256:1', 100 * mebibyte)).rejects.toMatchObject({
    code: 'no_space',
    message: 'Cannot pull box:1: /images has 199 MiB free, and it takes at least 200 MiB',
  });
  disk.freeMebibytes = 200;
  expect(await images.check('box:1', 'sha256:1', 100 * mebibyte)).toBe(200 * mebibyte);
});

test('what did not fit is pulled again only once there is more room than then', async () => {
  const { disk, images } = room();
  disk.freeMebibytes = 300;
  const freeBytes = await images.check('box:1', 'sha256:1', mebibyte);
  const failure = images.failed('box:1', 'sha256:1', freeBytes, new Error('no space left on device'));
  expect(failure).toMatchObject({ code: 'no_space', message: expect.stringContaining('300 MiB were free') });
  await expect(images.check('box:1', 'sha256:1', mebibyte)).rejects.toMatchObject({ code: 'no_space' });
  await images.check('box:2', 'sha256:2', mebibyte); // another image is not affected
  disk.freeMebibytes = 301;
  await images.check('box:1', 'sha256:1', mebibyte);
  images.succeeded('sha256:1');
  disk.freeMebibytes = 100;
  await images.check('box:1', 'sha256:1', mebibyte);
});

test('a disk that cannot be looked at keeps nobody from pulling', async () => {
  const images = new ImageRoom('/nowhere', () => Promise.reject(new Error('ENOENT')));
  expect(await images.check('box:1', 'sha256:1', 1e15)).toBeUndefined();
});
