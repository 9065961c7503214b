import { expect, test } from 'vitest';
import { commandError } from './failures.ts';

test('a program that cannot be executed is told from other failures of the runtime', () => {
  const prefix =
    'failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: ';
  const cases: Record<string, string> = {
    'exec: "nope": executable file not found in $PATH: unknown':
      'Cannot run "nope": executable file not found in $PATH',
    'exec: "/x": stat /x: no such file or directory: unknown': 'Cannot run "/x": no such file or directory',
    'exec: "/etc": permission denied: unknown': 'Cannot run "/etc": permission denied',
    'exec /x: exec format error: unknown': 'Cannot run "/x": exec format error',
  };
  for (const [text, message] of Object.entries(cases)) {
    expect(commandError(new Error(prefix + text), ['x'])).toMatchObject({
      code: 'command_not_found',
      message,
    });
  }
  const mount = 'error mounting "/x" to rootfs at "/y": no such file or directory: unknown';
  expect(commandError(new Error(prefix + mount), ['x'])).toBeUndefined();
});
