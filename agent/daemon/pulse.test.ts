import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { silentLogger } from '../../src/util/log.ts';
import { systemRandom } from '../../src/util/random.ts';
import { ManualClock } from '../../test/manual-clock.ts';
import { ManagerProcess } from './manager-process.ts';
import { askMs, hungMsMax, processState, Pulse } from './pulse.ts';

/** What comes of looks in these states of proc(5), `!` being one at which it has answered. */
function looks(states: string, elapsedMs = askMs): (boolean | undefined)[] {
  const pulse = new Pulse();
  pulse.look(askMs, 'S');
  return Array.from(states, (state) => {
    if (state === '!') pulse.heard();
    return pulse.look(elapsedMs, state)?.isHung;
  });
}

const looksUntilHung = hungMsMax / askMs;

test.each(['T', 'R', 'S'])('a process that never answers in state %s hangs after a time', (state) => {
  const found = looks(state.repeat(looksUntilHung));
  expect(found.indexOf(true)).toBe(looksUntilHung - 1);
});

test.each([
  ['is stopped for 20 s, again and again', 'TTTT!'.repeat(20)],
  ['waits for a disk', 'D'.repeat(1_000)],
  ['waits for a disk between times of work', `${'R'.repeat(looksUntilHung - 1)}D`.repeat(20)],
  ['is held by a debugger', 't'.repeat(1_000)],
  ['answers', '!'.repeat(100)],
])('a process that %s does not hang', (_, states) => {
  expect(looks(states)).not.toContain(true);
});

test('the time in which whoever asks stood still itself does not make a process hang', () => {
  expect(looks('S!S!SS', 24 * 60 * 60 * 1000)).not.toContain(true);
});

test('the state of a process is read, whatever it is called', async () => {
  const child = spawn('sh', ['-c', 'echo "x) R" >/proc/$$/comm; kill -STOP $$'], { stdio: 'ignore' });
  await vi.waitFor(async () => expect(await processState(child.pid!)).toBe('T'));
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(await processState(child.pid!)).toBeUndefined();
});

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-pulse-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

/** A manager that answers, and says so, until it gets SIGUSR2: then its main loop never turns again. */
const program = `
  process.on('message', () => process.send({ type: 'alive' }, () => console.log('answered')));
  process.on('disconnect', () => process.exit(0));
  process.on('SIGUSR2', () => { for (;;); });
  console.log(process.pid);
  process.send({ type: 'ready' });
`;

test('a manager whose main loop stands still is killed and started again; one that answers is left alone', async () => {
  const entry = join(folder, 'manager.mjs');
  await writeFile(entry, program);
  const clock = new ManualClock();
  const pids: number[] = [];
  let [ready, answers] = [0, 0];
  const manager = new ManagerProcess({
    entry,
    stateDirectory: folder,
    runDirectory: folder,
    logLevel: 'error',
    listen: { host: '127.0.0.1', port: 0 },
    credentials: '',
    identity: () => undefined,
    advertise: '127.0.0.1',
    clock,
    random: systemRandom,
    log: silentLogger,
    onReady: () => ready++,
    writeLine: (line) => (line === 'answered' ? answers++ : pids.push(Number(line))),
  });
  manager.start();
  const started = async (count: number) =>
    await vi.waitFor(() => expect([ready, pids.length]).toEqual([count, count]), 10_000);
  await started(1);
  // a look waits for the state of the process, and then for the next timer
  const look = async () => {
    await vi.waitFor(() => expect(clock.timers).toBe(1), 10_000);
    clock.advance(askMs);
  };
  for (let count = 1; count < 3 * looksUntilHung; count++) {
    await vi.waitFor(() => expect(answers).toBe(count), 10_000);
    await look();
  }
  process.kill(pids[0]!, 'SIGSTOP');
  for (let count = 0; count < 4; count++) await look();
  await vi.waitFor(
    () => expect(manager.info()).toMatchObject({ state: 'silent', silentMs: 3 * askMs }),
    10_000,
  );
  process.kill(pids[0]!, 'SIGCONT');
  await vi.waitFor(() => expect(answers).toBeGreaterThan(3 * looksUntilHung), 10_000);
  await look();
  expect(pids).toHaveLength(1);
  expect(manager.info()).toEqual({ state: 'running' });
  process.kill(pids[0]!, 'SIGUSR2');
  const lives = async () => !['Z', undefined].includes(await processState(pids[0]!));
  while (await lives()) await look();
  await started(2);
  expect(pids[1]).not.toBe(pids[0]);
  expect(manager.info()).toMatchObject({
    state: 'running',
    lastEnd: { reason: expect.stringContaining('did not answer') },
  });
  await manager.stop();
});
