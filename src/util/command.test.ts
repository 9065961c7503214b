import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keepShells, runCommand, tryCommand } from './command.ts';

describe.each(['started by this process', 'started by shells'])('a program %s', (way) => {
  let end = () => {};
  beforeAll(() => {
    if (way === 'started by shells') end = keepShells();
  });
  afterAll(() => end());

  test('is given its words and lines as they are, and both its outputs come back', async () => {
    const words = ["it's", '$HOME `id` \\', 'a\nb', '', '*', '\u00e9'];
    const script = 'printf "[%s]" "$@"; cat; printf wrong >&2; exit 3';
    const input = "$(id) `id` \\n 'x'\n\nEOF\n";
    expect(await tryCommand('sh', ['-c', script, '-', ...words], { input })).toEqual({
      exitCode: 3,
      stdout: words.map((word) => `[${word}]`).join('') + input,
      stderr: 'wrong',
    });
  });

  test('has an empty input unless it is given one', async () => {
    expect(await tryCommand('cat', [])).toEqual({ exitCode: 0, stdout: '', stderr: '' });
  });

  test('may print much, with and without a last line break', async () => {
    const { stdout } = await tryCommand('sh', ['-c', 'head -c 3000000 /dev/zero | tr "\\0" x']);
    expect(stdout).toBe('x'.repeat(3_000_000));
    expect((await tryCommand('printf', ['a\\n\\n'])).stdout).toBe('a\n\n');
  });

  test('is given large input', async () => {
    const input = 'line of input\n'.repeat(50_000);
    expect((await tryCommand('wc', ['-c'], { input })).stdout.trim()).toBe(String(input.length));
  });

  test('that is not there is told', async () => {
    await expect(tryCommand('shoal-no-such-program', [])).rejects.toMatchObject({
      code: 'unavailable',
      message: 'Cannot run shoal-no-such-program',
    });
    await expect(tryCommand('cat', ['a\0b'])).rejects.toThrow('null bytes');
  });

  test('that fails is told with what it said', async () => {
    await expect(runCommand('sh', ['-c', 'echo no room >&2; exit 4'])).rejects.toThrow(
      'ended with 4: no room',
    );
  });

  test('that takes too long is ended', async () => {
    const script = 'echo begun >&2; exec sleep 60';
    await expect(tryCommand('sh', ['-c', script], { timeoutMs: 300 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
      message: expect.stringMatching(
        /^Cannot run sh: (?:ended by SIGKILL|it took too long) \(limit 300 ms\): begun$/u,
      ),
    });
    expect((await tryCommand('echo', ['the next runs'])).stdout).toBe('the next runs\n');
  });

  test('that prints too much is ended', async () => {
    await expect(tryCommand('yes', [], { outputBytesMax: 100_000 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
    });
  });

  test('runs beside others, however many', async () => {
    const all = Array.from({ length: 20 }, (_, index) =>
      tryCommand('sh', ['-c', `sleep 0.1; echo ${index}`]).then(({ stdout }) => Number(stdout)),
    );
    expect(await Promise.all(all)).toEqual(all.map((_, index) => index));
  });
});

test('shells end with who has them, and so does what runs in them', async () => {
  const end = keepShells();
  const { stdout } = await tryCommand('sh', ['-c', 'echo $PPID']);
  const running = tryCommand('sleep', ['60']);
  end();
  await expect(running).rejects.toMatchObject({ code: 'deadline_exceeded' });
  await expect.poll(() => isRunning(Number(stdout))).toBe(false);
});

/** Not as a zombie. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/mu.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false; // it is gone
  }
}
