import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Image } from '../../agent/engine/engine.ts';
import { systemClock } from '../../src/util/clock.ts';
import { runCommand } from '../../src/util/command.ts';
import { busyboxImage } from '../harness/image.ts';
import { pushImage } from '../harness/registry.ts';
import { finish, startEngineFixture, until, type EngineFixture } from './engine-fixture.ts';

let fixture: EngineFixture;
let image: Image;

beforeAll(async () => {
  fixture = await startEngineFixture();
  const directory = join(fixture.directory, 'images');
  await mkdir(directory);
  await pushImage(fixture.registry.name, 'box:1', await busyboxImage(directory));
  image = await fixture.engine.pull(`${fixture.registry.name}/box:1`, {});
});

afterAll(async () => {
  await fixture?.stop();
});

const counting = ['sh', '-c', 'i=0; while true; do echo $i; i=$((i+1)); sleep 0.01; done'];
const numbers = (lines: string[]) => lines.map((line) => Number(line.split(' ')[1]));

test('the output of a running container goes on unbroken when the daemon is another one', async () => {
  const first = fixture.another();
  const container = fixture.container(image, counting);
  await first.create(container, fixture.sink(container.id));
  await first.start(container.id);
  const lines = () => fixture.log(container.id);
  await until('output comes', async () => (await lines()).length > 20);
  await first.close();
  const before = (await lines()).length;
  const second = fixture.another();
  await second.reattach(container.id, fixture.sink(container.id));
  await until('output goes on', async () => (await lines()).length > before + 20);
  const seen = numbers(await lines());
  expect(seen).toEqual(seen.map((_, index) => index));
  const session = await second.exec(container.id, {
    command: ['true'],
    tty: false,
    environment: [],
    stdin: false,
  });
  expect((await finish(session)).exitCode).toBe(0);
  await second.remove(container.id);
});

test('taking up the output of a container that has stopped meanwhile ends at once', async () => {
  const first = fixture.another();
  const container = fixture.container(image, ['sh', '-c', 'read x < /dev/zero; echo never']);
  await first.create(container, fixture.sink(container.id));
  await first.start(container.id);
  await first.close();
  const second = fixture.another();
  await second.kill(container.id, 9);
  await until('it has stopped', async () => (await second.list())[0]?.state === 'stopped');
  const ended = Promise.withResolvers<void>();
  await second.reattach(container.id, { write: () => undefined, end: () => ended.resolve() });
  await ended.promise;
  await second.remove(container.id);
});

test('a containerd that is killed comes back, and containers have not noticed', async () => {
  const { engine, containerd } = fixture;
  const container = fixture.container(image, counting);
  await engine.create(container, fixture.sink(container.id));
  const { pid } = await engine.start(container.id);
  const exits = engine.exits(new AbortController().signal);
  const watching = Array.fromAsync(exits);
  watching.catch(() => undefined); // looked at below
  await engine.list();
  const killed = containerd.pid()!;
  process.kill(killed, 'SIGKILL');
  await expect(watching).rejects.toMatchObject({ code: 'unavailable' });
  await until('another containerd runs', () => containerd.pid() !== killed);
  await until('it knows the container', async () => (await engine.list().catch(() => [])).length === 1);
  expect(await engine.list()).toMatchObject([{ id: container.id, state: 'running', pid }]);
  const lines = (await fixture.log(container.id)).length;
  await until('output goes on', async () => (await fixture.log(container.id)).length > lines + 10);
  const seen = numbers(await fixture.log(container.id));
  expect(seen).toEqual(seen.map((_, index) => index));
  await engine.remove(container.id);
});

test('what a creation left behind that was cut short is cleared by the next one and by remove', async () => {
  const { engine } = fixture;
  const container = fixture.container(image, ['sleep', '1000']);
  const cut = fixture.another();
  const creating = cut.create(container, fixture.sink(container.id));
  creating.catch(() => undefined); // it may fail or succeed
  await cut.close();
  await creating.catch(() => undefined);
  await engine.create(container, fixture.sink(container.id));
  await engine.start(container.id);
  expect(await engine.list()).toMatchObject([{ id: container.id, state: 'running' }]);
  await engine.remove(container.id);
  await engine.remove(container.id);
  expect(await engine.list()).toEqual([]);
});

test('a bundle that a killed containerd left is no hindrance and does not stay', async () => {
  const { engine, containerd, directory } = fixture;
  const bundles = join(directory, 'run/containerd/io.containerd.runtime.v2.task/shoal');
  const [again, away] = [fixture.container(image, ['sleep', '1000']), fixture.container(image, ['true'])];
  for (const { id } of [again, away]) await mkdir(join(bundles, id), { recursive: true });
  const killed = containerd.pid()!;
  process.kill(killed, 'SIGKILL');
  await until(
    'the engine is seen to be away',
    async () =>
      await engine.list().then(
        () => false,
        () => true,
      ),
  );
  await until('another containerd runs', () => containerd.pid() !== killed);
  await until(
    'it answers',
    async () =>
      await engine.info().then(
        () => true,
        () => false,
      ),
  );
  for (const { id } of [again, away]) await mkdir(join(bundles, id), { recursive: true });
  for (const { id } of [again, away]) await utimes(join(bundles, id), 1, 1);
  await engine.create(again, fixture.sink(again.id));
  await engine.start(again.id);
  expect(await engine.list()).toMatchObject([{ id: again.id, state: 'running' }]);
  await engine.remove(again.id);
  await engine.remove(away.id);
  expect(await readdir(bundles)).toEqual([]);
});

test('a lease that could not be deleted in time is deleted by the next look', async () => {
  const { directory } = fixture;
  const ctr = (...words: string[]) =>
    runCommand('ctr', ['-a', join(directory, 'run/c.sock'), '-n', 'shoal', 'leases', ...words]);
  await ctr('create', '--id', 'shoal-view-left');
  await fixture.another().list();
  expect(await ctr('list', '-q')).toBe('');
});

/** A program that starts shims as the real one does, and then stands still for a moment: long enough to be ended in it. */
const slowStart = `#!/bin/sh
case " $* " in
  *' start '*) /usr/bin/containerd-shim-runc-v2 "$@"; code=$?; sleep 1; exit $code ;;
esac
exec /usr/bin/containerd-shim-runc-v2 "$@"
`;

test('a shim whose start was cut short, and that no bundle names any more, is ended', async () => {
  const programs = await mkdtemp('/tmp/shoal-programs-');
  await writeFile(join(programs, 'containerd-shim-runc-v2'), slowStart, { mode: 0o755 });
  const path = process.env['PATH'];
  process.env['PATH'] = `${programs}:${path}`;
  const slow = await startEngineFixture().finally(() => (process.env['PATH'] = path));
  try {
    await pushImage(slow.registry.name, 'box:1', await busyboxImage(slow.directory));
    const box = await slow.engine.pull(`${slow.registry.name}/box:1`, {});
    const [address, id] = [join(slow.directory, 'run/c.sock'), 'cut'];
    const words = ['run', '--detach', box.reference, id, 'sleep', '1000'];
    const client = spawn('/usr/bin/ctr', ['--address', address, '--namespace', 'shoal', ...words]);
    await until('a shim has been started', async () => (await slow.shims()).length > 0);
    await systemClock.sleep(300);
    client.kill('SIGKILL'); // as the daemon may be
    await until('its record is cleared', async () => {
      await slow.engine.remove(id);
      return (await slow.engine.list()).length === 0;
    });
    const stray = await slow.shims();
    const other = slow.container(box, ['sleep', '1000']);
    await slow.engine.create(other, slow.sink(other.id));
    await slow.engine.start(other.id);
    expect(stray).toHaveLength(1);
    await until('the stray one is ended', async () => {
      await slow.engine.list();
      return !(await slow.shims()).includes(stray[0]!);
    });
    expect(await slow.engine.list()).toMatchObject([{ id: other.id, state: 'running' }]);
  } finally {
    await slow.stop();
    await rm(programs, { recursive: true });
  }
});
