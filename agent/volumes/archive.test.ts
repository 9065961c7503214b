import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { packFiles, packFolder, unpackInto } from './archive.ts';

async function folders() {
  const top = await mkdtemp(join(tmpdir(), 'shoal-archive-'));
  onTestFinished(() => rm(top, { recursive: true }));
  const [volume, outside] = [join(top, 'volume'), join(top, 'outside')];
  for (const folder of [volume, outside]) await mkdir(folder);
  return { top, volume, outside };
}

async function bytesOf(archive: ReturnType<typeof packFolder>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of archive.output! as AsyncIterable<Buffer>) chunks.push(chunk);
  await archive.done;
  return Buffer.concat(chunks);
}

// Without root there are no mounts, and nothing outside of what is the user's can be touched.
test.runIf(process.getuid?.() === 0)(
  'what arrives by a path through a link stays in the volume, whatever was sent before',
  async () => {
    const { top, volume, outside } = await folders();
    await symlink(outside, join(volume, 'link'));
    await mkdir(join(top, 'made/link'), { recursive: true });
    await writeFile(join(top, 'made/link/evil'), 'evil');
    const { stdout } = spawnSync('tar', ['-C', join(top, 'made'), '-cf', '-', './link/evil']);
    const archive = unpackInto(volume);
    archive.input!.end(stdout);
    await archive.done.catch(() => undefined); // nothing is there that the link leads to
    expect(await readdir(outside)).toEqual([]);
  },
);

test.runIf(process.getuid?.() === 0)(
  'what a link in the volume leads to is not sent under the name of a file in it',
  async () => {
    const { volume, outside } = await folders();
    await writeFile(join(outside, 'secret'), 'a secret of the host');
    await symlink(outside, join(volume, 'link'));
    const sent = await bytesOf(packFiles(volume, ['link/secret'], false));
    expect(sent.toString('latin1')).not.toContain('a secret of the host');
  },
);

test('a folder is packed and unpacked with all that is in it', async () => {
  const { top, volume } = await folders();
  await mkdir(join(volume, 'deep/er'), { recursive: true });
  await writeFile(join(volume, 'deep/er/file'), 'content');
  await symlink('er/file', join(volume, 'deep/link'));
  const other = join(top, 'other');
  await mkdir(other);
  const archive = unpackInto(other);
  archive.input!.end(await bytesOf(packFolder(volume)));
  expect(await archive.done).toEqual({ isWhole: true });
  expect(await readFile(join(other, 'deep/link'), 'utf8')).toBe('content');
});
