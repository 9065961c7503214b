#!/usr/bin/env -S node --
// `--`, for Node takes some options for its own wherever they stand (`shoal config --env-file FILE`).
// Starts shoal, from a clone (TypeScript, run as it stands) or from an installed package (compiled to dist).
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { constants, homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const majorMin = 24;
const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const source = path('../src/main.ts');
const entry = existsSync(source) ? source : path('../dist/src/main.js');

if (Number(process.versions.node.split('.')[0]) >= majorMin) {
  // In a folder of the user's: what others may write to is not executed. The manager and threads find it by its name.
  process.env.NODE_COMPILE_CACHE ??= join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'shoal');
  module.enableCompileCache();
  // Threads that may wait for a disk or a file server that stands still; four would be all too soon taken.
  if (process.argv[2] === 'daemon') process.env.UV_THREADPOOL_SIZE ??= '16';
  await import(entry);
} else {
  const newer = path('../node_modules/.bin/node');
  if (existsSync(newer)) startWith(newer);
  else {
    process.stderr.write(
      `Cannot run shoal with Node ${process.versions.node}: it needs Node ${majorMin} or newer.\n` +
        'Install a newer Node, or run `npm ci` in the clone, which brings one along.\n',
    );
    process.exitCode = 1;
  }
}

/** Runs this file with another Node and ends as it ends. The channel lets a daemon see when this process is killed. */
function startWith(node) {
  const child = spawn(node, ['--', fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];
  for (const signal of signals) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`Cannot run ${node}: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0);
  });
}
