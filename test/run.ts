import { spawn } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

/**
 * Runs everything that can be checked and ends with one line: `N passed, N failed` (`, N skipped`).
 * `check` as the first argument leaves out the integration tests.
 */

const root = join(import.meta.dirname, '..');

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
  /** Names of what failed. */
  failures: string[];
}

/** Each counts as one. They run side by side and print one after another. */
const staticChecks: [name: string, command: string[]][] = [
  ['types', ['tsc']],
  ['lint', ['oxlint', '--type-aware']],
  ['format', ['oxfmt', '--check']],
  ['dead code', ['knip']],
];

function say(text: string): void {
  process.stdout.write(text);
}

/** Runs a program of `node_modules/.bin`; its output is collected, or goes straight to this process's when `stream` is set. */
function run(
  [program = '', ...args]: string[],
  options: { stream: boolean; environment?: Record<string, string> },
): Promise<{ ok: boolean; output: string }> {
  const child = spawn(join(root, 'node_modules/.bin', program), args, {
    cwd: root,
    stdio: options.stream ? 'inherit' : ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.environment },
  });
  const chunks: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ ok: code === 0, output: Buffer.concat(chunks).toString() }));
  });
}

async function runStaticChecks(): Promise<Counts> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0, failures: [] };
  const running = staticChecks.map(
    async ([name, command]) => [name, await run(command, { stream: false })] as const,
  );
  for (const check of running) {
    const [name, { ok, output }] = await check;
    say(`${ok ? '✓' : '✗'} ${name}\n`);
    if (!ok) {
      say(`${output.trimEnd()}\n`);
      counts.failures.push(name);
    }
    counts[ok ? 'passed' : 'failed']++;
  }
  return counts;
}

/** What Vitest's JSON reporter writes, as far as it is used here. */
interface VitestReport {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: {
    name: string;
    status: string;
    assertionResults: { status: string; fullName: string; failureMessages: string[] }[];
  }[];
}

async function runVitest(project: string): Promise<Counts> {
  const directory = await mkdtemp(join(tmpdir(), 'shoal-run-'));
  const reportPath = join(directory, 'report.json');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportPath}`];
  try {
    const { ok } = await run(['vitest', 'run', '--project', project, ...reporters], { stream: true });
    const report = JSON.parse(await readFile(reportPath, 'utf8')) as VitestReport;
    // a file that cannot even be loaded has no tests to count, but is a failure all the same
    const unloaded = report.testResults.filter(
      ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
    );
    const failed = report.numFailedTests + unloaded.length;
    return {
      passed: report.numPassedTests,
      failed: failed === 0 && !ok ? 1 : failed,
      skipped: report.numPendingTests + report.numTodoTests,
      failures: report.testResults
        .filter(({ status }) => status === 'failed')
        .flatMap(({ name, assertionResults }) => [
          relative(root, name),
          ...assertionResults.filter(({ status }) => status === 'failed').map(failureLine),
        ]),
    };
  } catch (error) {
    say(`Cannot read the report of the ${project} tests: ${String(error)}\n`);
    return { passed: 0, failed: 1, skipped: 0, failures: [`the ${project} tests`] };
  } finally {
    await rm(directory, { recursive: true });
  }
}

function failureLine({ fullName, failureMessages }: { fullName: string; failureMessages: string[] }): string {
  return `  ${fullName}: ${failureMessages[0]?.split('\n', 1)[0] ?? ''}`;
}

async function runIntegration(): Promise<Counts> {
  const reason =
    process.platform !== 'linux'
      ? 'they need Linux'
      : process.getuid?.() !== 0
        ? 'they need root, to make hosts'
        : undefined;
  if (reason === undefined) return await runVitest('integration');
  const files = (await readdir(join(root, 'test'), { recursive: true })).filter((path) =>
    /^(integration|harness)\/.*\.test\.ts$/.test(path),
  );
  say(`Integration tests skipped (${files.length} files): ${reason}.\n`);
  return { passed: 0, failed: 0, skipped: files.length, failures: [] };
}

async function main(): Promise<void> {
  const parts = [await runStaticChecks(), await runVitest('unit')];
  if (process.argv[2] !== 'check') parts.push(await runIntegration());
  const sum = (key: 'passed' | 'failed' | 'skipped') =>
    parts.reduce((total, counts) => total + counts[key], 0);
  const failures = parts.flatMap((counts) => counts.failures);
  // what failed long ago is far up in the output
  if (failures.length > 0) say(`\nFailed:\n${failures.map((line) => `  ${line}\n`).join('')}`);
  const skipped = sum('skipped') > 0 ? `, ${sum('skipped')} skipped` : '';
  say(`${sum('passed')} passed, ${sum('failed')} failed${skipped}\n`);
  process.exitCode = sum('failed') === 0 ? 0 : 1;
}

await main();
