import { lstat, mkdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Image } from '../../agent/engine/engine.ts';
import { createVolumes, type Volumes } from '../../agent/volumes/volumes.ts';
import { buildImage, busyboxImage } from '../harness/image.ts';
import { pushImage } from '../harness/registry.ts';
import { startEngineFixture, type EngineFixture } from './engine-fixture.ts';

let fixture: EngineFixture;
let image: Image;

beforeAll(async () => {
  fixture = await startEngineFixture();
  const directory = join(fixture.directory, 'images');
  await mkdir(directory);
  const built = await buildImage({
    directory,
    from: await busyboxImage(directory),
    volumes: ['/srv/anonymous'],
    files: [
      {
        '/srv/data': { directory: true, mode: 0o2750, owner: 1500 },
        '/srv/data/private': { content: 'of the image', mode: 0o600, owner: 1500 },
        '/srv/data/inner': { directory: true },
        '/srv/data/inner/file': { content: 'deep' },
        '/srv/data/link': { link: '/etc/passwd' },
        '/srv/anonymous/file': { content: 'anonymous' },
        '/srv/empty': { directory: true, mode: 0o700, owner: 1600 },
        '/srv/outside': { link: '/../../../../../../etc' },
      },
      {
        '/srv/data': { directory: true, mode: 0o2750, owner: 1500 },
        '/srv/data/inner/file': { content: 'upper layer' },
      },
    ],
  });
  await pushImage(fixture.registry.name, 'data:1', built);
  image = await fixture.engine.pull(`${fixture.registry.name}/data:1`, {});
});

afterAll(async () => {
  await fixture?.stop();
});

describe('the first use of a volume', () => {
  let volumes: Volumes;
  let state: string;

  beforeAll(() => {
    state = join(fixture.directory, 'volumes');
    volumes = createVolumes({
      stateDirectory: state,
      copyImageContent: (from, path, folder) => fixture.engine.copyImageContent(from, path, folder),
    });
  });

  const use = async (source: string, target: string, noCopy = false) => {
    const mount = { type: 'volume', source, target, readOnly: false, noCopy } as const;
    await volumes.prepare('task', image, [mount]);
    return join(state, 'volumes', source, 'data');
  };

  test('brings what the image holds there, with owners, modes and links, from the uppermost layer', async () => {
    const data = await use('filled', '/srv/data');
    expect(await stat(data)).toMatchObject({ mode: 0o42750, uid: 1500 });
    expect(await stat(join(data, 'private'))).toMatchObject({ mode: 0o100600, uid: 1500 });
    expect(await readFile(join(data, 'inner/file'), 'utf8')).toBe('upper layer');
    expect(await readlink(join(data, 'link'))).toBe('/etc/passwd');
    expect(await readFile(join(state, 'anonymous-volumes/task/1/file'), 'utf8')).toBe('anonymous');
  });

  test('takes owner and mode of an empty folder, and nothing where the image has none or it was not wanted', async () => {
    expect(await stat(await use('empty', '/srv/empty'))).toMatchObject({ mode: 0o40700, uid: 1600 });
    expect(await stat(await use('nothing', '/srv/nothing'))).toMatchObject({ mode: 0o40755, uid: 0 });
    const unwanted = await use('unwanted', '/srv/data', true);
    expect(await stat(unwanted)).toMatchObject({ mode: 0o40755, uid: 0 });
    await expect(lstat(join(unwanted, 'private'))).rejects.toThrow('ENOENT');
  });

  test('never leaves the image, wherever its links lead', async () => {
    const data = await use('outside', '/srv/outside');
    await expect(lstat(join(data, 'hostname'))).rejects.toThrow('ENOENT');
    expect(await lstat(join(data, 'passwd')).catch(() => 'the image has none')).not.toHaveProperty(
      'ino',
      (await stat('/etc/passwd')).ino,
    );
  });
});
