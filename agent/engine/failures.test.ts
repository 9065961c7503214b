import { expect, test } from 'vitest';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import { earlierAttemptRemains, startError } from './failures.ts';

const shim = 'failed to create shim task: OCI runtime create failed: runc create failed: ';
const start = 'unable to start container process: ';

/** As the client throws what containerd said. */
function failed(details: string): ShoalError {
  const cause = Object.assign(new Error(`2 UNKNOWN: ${details}`), { code: 2, details });
  return new ShoalError('engine_failed', `Cannot finish Tasks.Create: ${details}`, { cause });
}

test('a program that cannot be executed is told from other failures of the runtime', () => {
  const cases: Record<string, string> = {
    'exec: "nope": executable file not found in $PATH: unknown':
      'Cannot run "nope": the image has no such program in its PATH',
    'exec: "/x": stat /x: no such file or directory: unknown': 'Cannot run "/x": the image has no such file',
    'exec: "/etc": permission denied: unknown': 'Cannot run "/etc": it is not an executable file',
    'exec /x: exec format error: unknown':
      'Cannot run "/x": it is not made for this kind of machine, or it is a script without a #! line',
  };
  for (const [text, message] of Object.entries(cases)) {
    const error = startError(failed(shim + start + text), ['x']);
    expect(error).toMatchObject({ code: 'command_not_found' });
    expect(messageOf(error)).toBe(message);
  }
});

test('other failures of the runtime are told once and in plain words', () => {
  const init = `${shim}${start}error during container init: `;
  const cases: Record<string, string> = {
    [`OCI runtime exec failed: exec failed: ${start}chdir to cwd ("/data") set in config.json failed: no such file or directory: unknown`]:
      'chdir to /data: no such file or directory',
    [`${init}error mounting "/etc" to rootfs at "/f": mount /etc:/f (via /proc/self/fd/6), flags: 0x5000: not a directory: unknown`]:
      'mounting /etc at /f: one of them is a file and the other a folder',
    [`${init}error mounting "/nowhere" to rootfs at "/g": stat /nowhere: no such file or directory: unknown`]:
      'mounting /nowhere at /g: no such file or directory',
    [`${init}error mounting "/etc" to rootfs at "/proc/x": "/run/a/b/rootfs/proc/x" cannot be mounted because it is inside /proc: unknown`]:
      'mounting /etc at /proc/x: /proc/x cannot be mounted because it is inside /proc',
    [`${init}error setting cgroup config for procHooks process: unable to set memory limit to 4096 (current usage: 2437120, peak usage: 2764800): unknown`]:
      'the memory limit of 4 KiB is too low; only to begin takes 2.3 MiB',
    [`${init}mkdir /f: not a directory: unknown`]: 'mkdir /f: not a directory',
    'something never seen: unknown': 'something never seen',
  };
  for (const [text, reason] of Object.entries(cases)) {
    const error = startError(failed(text), ['x']);
    expect(error).toMatchObject({ code: 'engine_failed', details: text });
    expect(messageOf(error)).toBe(`Cannot start the program: ${reason}`);
  }
});

test('what is not about starting a program stays as it is', () => {
  for (const error of [new ShoalError('unavailable', 'Cannot reach containerd'), new Error('bug')]) {
    expect(startError(error, ['x'])).toBe(error);
  }
});

test('an attempt that containerd has not cleared yet is told from a file of the program that exists already', () => {
  const bundle = '/run/shoal/containerd/io.containerd.runtime.v2.task/shoal/07z11oblx1uw';
  expect(earlierAttemptRemains(failed(`mkdir ${bundle}: file exists: unknown`))).toBe(true);
  expect(earlierAttemptRemains(failed(`${shim}mkdir /data/cache: file exists: unknown`))).toBe(false);
});
