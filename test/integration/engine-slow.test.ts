import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { ContainerCreate, ContainerState, Engine, Image } from '../../agent/engine/engine.ts';
import { shimContainersMax } from '../../agent/engine/shim-groups.ts';
import { shimCommandsMax } from '../../agent/engine/shim-budget.ts';
import { systemClock } from '../../src/util/clock.ts';
import { busyboxImage } from '../harness/image.ts';
import { pushImage } from '../harness/registry.ts';
import { finish, startEngineFixture, until, type EngineFixture } from './engine-fixture.ts';
import { readProcess } from '../harness/processes.ts';

/** Shims and a containerd that do not answer, and more at once than a shim has places for. */

let fixture: EngineFixture;
let engine: Engine;
let image: Image;

beforeAll(async () => {
  fixture = await startEngineFixture();
  engine = fixture.engine;
  const directory = join(fixture.directory, 'images');
  await mkdir(directory);
  await pushImage(fixture.registry.name, 'box:1', await busyboxImage(directory));
  image = await engine.pull(`${fixture.registry.name}/box:1`, {});
});

afterAll(async () => {
  await fixture?.stop();
});

afterEach(async () => {
  await until('all is removed', async () => {
    const left = await engine.list();
    await Promise.allSettled(left.map(({ id }) => engine.remove(id)));
    return left.length === 0;
  });
});

async function start(id: string, extra: Partial<ContainerCreate> = {}): Promise<number> {
  const container = fixture.container(image, ['sleep', '100000'], { id, ...extra });
  await engine.create(container, fixture.sink(id));
  return (await engine.start(id)).pid;
}

const exec = (id: string, script: string, extra: object = {}) =>
  engine.exec(id, { command: ['sh', '-c', script], tty: false, environment: [], stdin: false, ...extra });

async function stateOf(id: string): Promise<ContainerState | undefined> {
  return (await engine.list()).find((one) => one.id === id)?.state;
}

/** The shim is the parent of a container's first process. */
async function shimOf(pid: number): Promise<number> {
  return Number(/^PPid:\s*(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))![1]);
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Stops a process (SIGSTOP) while `work` is done. */
async function whileStopped<T>(pid: number, work: () => Promise<T>): Promise<T> {
  process.kill(pid, 'SIGSTOP');
  try {
    await until('it has stopped', async () => / T /.test(await readFile(`/proc/${pid}/stat`, 'utf8')));
    return await work();
  } finally {
    sendSignal(pid, 'SIGCONT');
  }
}

const slowWords = () => fixture.conditions.list().find(({ type }) => type === 'EngineSlow')?.message;

test('of containers whose shim does not answer nothing is known; others are as they are; the condition names the shim', async () => {
  const [first] = [await start('a'), await start('b'), await start('other', { group: 'others' })];
  const shim = await shimOf(first);
  await whileStopped(shim, async () => {
    const states = new Map((await engine.list()).map(({ id, state }) => [id, state]));
    expect(Object.fromEntries(states)).toEqual({ a: 'unknown', b: 'unknown', other: 'running' });
    await until('the condition holds', () => slowWords() !== undefined);
    expect(slowWords()).toBe(`the shim ${shim} of a, b does not answer`);
  });
  await until('it is known again', async () => (await stateOf('a')) === 'running');
  expect(slowWords()).toBeUndefined();
});

test('a check that a hanging shim cannot tell of is judged by the kernel, and one that it cannot begin is not known', async () => {
  const shim = await shimOf(await start('checked'));
  const good = await exec('checked', 'sleep 0.3; exit 3', { timeoutMs: 1_000 });
  await whileStopped(shim, async () => {
    expect(await good.exit).toEqual({ exitCode: 3 });
    await expect(exec('checked', 'true')).rejects.toMatchObject({ code: 'deadline_exceeded' });
  });
  await until('it is known again', async () => (await stateOf('checked')) === 'running');
  expect((await finish(await exec('checked', 'exit 4'))).exitCode).toBe(4);
});

test('a container can be ended although its shim hangs, its end is seen, and the shim is ended when it never answers', async () => {
  const shim = await shimOf(await start('doomed'));
  await whileStopped(shim, async () => {
    expect(await stateOf('doomed')).toBe('unknown');
    await engine.kill('doomed', 9);
    await until('the kernel tells', async () => (await stateOf('doomed')) === 'stopped');
    expect((await engine.list()).find(({ id }) => id === 'doomed')).toMatchObject({ exitCode: 137 });
    await expect(engine.remove('doomed')).rejects.toMatchObject({ code: 'deadline_exceeded' });
    while ((await engine.list()).length > 0) {
      await engine.remove('doomed').catch(() => undefined);
      await systemClock.sleep(500);
    }
  });
  // the first process of a machine may be slow to collect what has ended
  const left = await readProcess(shim);
  expect(left?.state ?? 'Z').toBe('Z');
  await until('the condition is over', () => slowWords() === undefined);
});

test('a containerd that does not answer is called slow, and nothing is said of containers', async () => {
  await start('standing');
  await whileStopped(fixture.containerd.pid()!, async () => {
    await Promise.all([
      expect(engine.list()).rejects.toMatchObject({ code: 'deadline_exceeded' }),
      engine.kill('standing', 0), // sent by the agent itself
    ]);
    expect(slowWords()).toMatch(/^containerd at \S+ does not answer$/);
  });
  await until('it answers', async () => (await stateOf('standing').catch(() => undefined)) === 'running');
  expect(slowWords()).toBeUndefined();
});

test('many commands at once in one container all end, and it lives', async () => {
  const pid = await start('busy');
  const begin = systemClock.monotonic();
  const codes = await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      const { exitCode, stdout } = await finish(await exec('busy', `sleep 0.1; echo ${index}; exit 7`));
      return `${exitCode} ${stdout.trim()}`;
    }),
  );
  expect(codes).toEqual(codes.map((_, index) => `7 ${index}`));
  expect(systemClock.monotonic() - begin).toBeLessThan(60_000);
  expect(await readdir(`/proc/${pid}`)).toContain('stat');
  expect(slowWords()).toBeUndefined();
});

test('checks have places of their own beside commands that do not end', async () => {
  await start('occupied');
  const long = await Promise.all(
    Array.from({ length: shimCommandsMax }, () => exec('occupied', 'sleep 1000')),
  );
  const waiting = exec('occupied', 'exit 5');
  expect((await finish(await exec('occupied', 'exit 6', { purpose: 'check' }))).exitCode).toBe(6);
  await long[0]!.kill(9);
  expect((await finish(await waiting)).exitCode).toBe(5);
});

test('containers that end all at once are spread over shims, and can be removed', async () => {
  const ids = Array.from({ length: 2 * shimContainersMax + 5 }, (_, index) => `many${index}`);
  const pids: number[] = [];
  for (const id of ids) pids.push(await start(id, { group: 'crowd' }));
  const shims = Map.groupBy(await Promise.all(pids.map(shimOf)), (shim) => shim);
  expect([...shims.values()].map(({ length }) => length)).toEqual([shimContainersMax, shimContainersMax, 5]);
  const again = fixture.another(); // knows from the engine alone who shares a shim
  await again.list();
  const next = fixture.container(image, ['sleep', '1000'], { id: 'next', group: 'crowd' });
  await again.create(next, fixture.sink('next'));
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await Promise.all([...ids, 'next'].map((id) => again.remove(id)));
  expect(await again.list()).toEqual([]);
});
