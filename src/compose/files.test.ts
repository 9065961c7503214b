import { execFileSync, spawn } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemFileSystem } from './files.ts';
import { loadApplication, type LoadOptions } from './load.ts';

let directory: string;
const at = (name: string) => join(directory, name);
const read = async (path: string, bytesMax = 1000) =>
  Buffer.from(await systemFileSystem.readFile(path, bytesMax)).toString();

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'shoal-files-'));
  await writeFile(at('plain'), 'plain');
  await symlink('plain', at('link'));
  await symlink('round', at('round'));
  execFileSync('mkfifo', [at('pipe'), at('silent')]);
});
afterAll(() => rm(directory, { recursive: true }));

describe('systemFileSystem', () => {
  it('reads files and what links lead to, up to a limit', async () => {
    expect(await read(at('plain'))).toBe('plain');
    expect(await read(at('link'))).toBe('plain');
    expect(await read(at('plain'), 5)).toBe('plain');
    await expect(read(at('link'), 4)).rejects.toMatchObject({ code: 'resource_exhausted' });
  });

  it('reads a pipe that somebody writes into, however slowly', async () => {
    const writer = spawn('sh', ['-c', `(printf a; sleep 0.2; printf b) > "$0"`, at('pipe')]);
    expect(await read(at('pipe'))).toBe('ab');
    if (writer.exitCode === null) await new Promise((resolve) => writer.once('exit', resolve));
  });

  it('reads no more of a pipe than the limit', async () => {
    const writer = spawn('sh', ['-c', `yes > "$0"`, at('pipe')], { stdio: 'ignore' });
    await expect(read(at('pipe'))).rejects.toMatchObject({ code: 'resource_exhausted' });
    if (writer.exitCode === null && writer.signalCode === null)
      await new Promise((resolve) => writer.once('exit', resolve));
  });

  it('does not wait long for a pipe that nobody writes into', async () => {
    await expect(read(at('silent'))).rejects.toMatchObject({
      code: 'failed_precondition',
      message: `Cannot read ${at('silent')}: it is a pipe, and nobody writes into it`,
    });
  });

  it('reads the null device, and opens no other one', async () => {
    expect(await read('/dev/null')).toBe('');
    for (const path of ['/dev/zero', '/dev/full', '/dev/random', '/dev/tty']) {
      await expect(read(path)).rejects.toThrow(`Cannot read ${path}: it is a device`);
    }
  });

  it('refuses folders, sockets, circles of links and what is not there', async () => {
    const server = createServer().listen(at('socket'));
    await new Promise((resolve) => server.once('listening', resolve));
    await expect(read(at('socket'))).rejects.toThrow('it is a socket');
    server.close();
    await expect(read(directory)).rejects.toThrow('it is a folder');
    await expect(read(at('round'))).rejects.toThrow('its symbolic links lead in a circle');
    await expect(read(at('none'))).rejects.toMatchObject({ code: 'not_found' });
    await expect(read(at('plain/none'))).rejects.toMatchObject({ code: 'not_found' });
    await expect(read(at('n'.repeat(300)))).rejects.toThrow('its name is too long');
  });
});

describe('a Compose file that names what is no file is refused, and nothing waits:', () => {
  const reasons = { pipe: 'nobody writes into it', folder: 'it is a folder', device: 'it is a device' };
  const places: Record<string, (path: string) => string> = {
    env_file: (path) => `services: { web: { image: a, env_file: "${path}" } }`,
    label_file: (path) => `services: { web: { image: a, label_file: "${path}" } }`,
    secret: (path) => `services: { web: { image: a, secrets: [s] } }\nsecrets: { s: { file: "${path}" } }`,
    config: (path) => `services: { web: { image: a, configs: [c] } }\nconfigs: { c: { file: "${path}" } }`,
    include: (path) => `include: ["${path}"]\nservices: { web: { image: a } }`,
    'include.env_file': (path) => `include: [{ path: "${at('plain')}", env_file: "${path}" }]`,
    extends: (path) => `services: { web: { extends: { file: "${path}", service: a } } }`,
  };
  const cases = [...Object.keys(places), '-f'].flatMap((place) =>
    (['folder', 'device'] as const).map((kind): [string, keyof typeof reasons] => [place, kind]),
  );
  const pipes = ['env_file', 'secret', '-f'].map((place): [string, keyof typeof reasons] => [place, 'pipe']);

  it.each([...cases, ...pipes])('%s: a %s', async (place, kind) => {
    const path = { pipe: at('silent'), folder: directory, device: '/dev/zero' }[kind];
    const files: LoadOptions['files'] = place === '-f' ? [{ path }] : [{ content: places[place]!(path) }];
    const failure = loadApplication({ files, environment: {}, workingDirectory: directory });
    const { code, details } = (await failure.catch((error: unknown) => error)) as {
      code: string;
      details: { message: string; line: number }[];
    };
    expect(code).toBe('invalid_file');
    expect(details.map(({ message }) => message).join('\n')).toContain(reasons[kind]);
    for (const { line } of details) expect(line).toBeGreaterThan(0);
  });
});
