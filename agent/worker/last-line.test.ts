import { expect, test } from 'vitest';
import { tellingLine } from './last-line.ts';

const outputs: [string, string, string][] = [
  [
    'Node',
    `/app/web.mts:3
throw new Error('no STORE_HOST');
^

Error: no STORE_HOST
    at Object.<anonymous> (/app/web.mts:3:7)
    at node:internal/main/run_main_module:36:49 {
  code: 'E_HOST'
}

Node.js v24.21.0`,
    'Error: no STORE_HOST',
  ],
  [
    'Node without a module',
    `Error: Cannot find module '/app/server.js'
    at Function._resolveFilename (node:internal/modules/cjs/loader:1383:15) {
  code: 'MODULE_NOT_FOUND',
  requireStack: []
}

Node.js v24.21.0`,
    "Error: Cannot find module '/app/server.js'",
  ],
  [
    'Python',
    `Traceback (most recent call last):
  File "/app/main.py", line 2, in <module>
    start()
ValueError: no port`,
    'ValueError: no port',
  ],
  [
    'Java',
    `Exception in thread "main" java.lang.IllegalStateException: cannot start
\tat Main.main(Main.java:5)
Caused by: java.io.IOException: disk is gone
\tat Store.open(Store.java:9)
\t... 1 more`,
    'Caused by: java.io.IOException: disk is gone',
  ],
  [
    'Go',
    `panic: no database

goroutine 1 [running]:
main.main()
\t/app/main.go:4 +0x25
exit status 2`,
    'panic: no database',
  ],
  [
    'Rust',
    `thread 'main' panicked at src/main.rs:2:5:
no configuration
note: run with \`RUST_BACKTRACE=1\` environment variable to display a backtrace`,
    'no configuration',
  ],
  ['a shell', 'starting\nsh: no-such-program: not found', 'sh: no-such-program: not found'],
  ['a program that gives up after an error', 'Error: refused\n    at x\ngiving up', 'giving up'],
  ['nothing but what is passed over', '  a\n  b', '  b'],
  ['nothing', '', ''],
];

test.each(outputs)('what %s says of its end is the line with the reason', (_, output, line) => {
  expect(tellingLine(output.split('\n'))).toBe(line);
});
