import { EventEmitter } from 'node:events';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { LogLine } from '../../src/wire/session.ts';
import { ManualClock } from '../../test/manual-clock.ts';
import { sampleService, sampleTask } from '../../test/samples.ts';
import { FakeHost, timeOf } from './fake-host.ts';
import { lastOutputMs, reopenMs } from './feed.ts';
import { stallMs, type FollowRequest } from './follower.ts';
import { historiesMax, LogHub } from './hub.ts';
import { watchForSilence, type WatchedSocket } from './lines.ts';
import { lineOverheadBytes, ringBytesMax } from './ring.ts';

const task = sampleTask(sampleService('web'), 1, { nodeId: 'n' });

/** Everything that can go on without a timer has gone on. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
}

interface Reading {
  lines: LogLine[];
  /** Numbers of the lines that came. */
  numbers: () => number[];
  stop: () => Promise<void>;
  done: Promise<void>;
}

class Setting {
  readonly clock = new ManualClock();
  readonly host: FakeHost;
  readonly hub: LogHub;

  constructor(padding = 0) {
    this.host = new FakeHost(padding);
    this.hub = new LogHub({ ...this.host.parts, clock: this.clock });
  }

  /** Follows, and waits for `take` before each line is taken. */
  follow(request: FollowRequest = {}, take: () => Promise<void> = () => Promise.resolve()): Reading {
    const lines: LogLine[] = [];
    const stop = new AbortController();
    const read = async () => {
      for await (const line of this.hub.follow(task, request, stop.signal)) {
        lines.push(line);
        await take();
      }
    };
    const done = read();
    const numbers = () => lines.filter(({ warning }) => !warning).map(({ text }) => Number(text));
    return {
      lines,
      numbers,
      done,
      stop: async () => {
        stop.abort();
        await done;
      },
    };
  }

  /** Nothing is left of those who followed. */
  async expectNothingLeft(): Promise<void> {
    await settle();
    const { streams, listeners } = this.host;
    const { timers } = this.clock;
    expect({ streams, listeners, timers, feeds: this.hub.size }).toEqual({
      streams: 0,
      listeners: 0,
      timers: 0,
      feeds: 0,
    });
  }
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

test('many who follow a task have one stream of its host between them, and the same lines', async () => {
  const setting = new Setting();
  setting.host.write(10);
  const readings = range(0, 60).map(() => setting.follow());
  await settle();
  setting.host.write(90);
  await settle();
  for (const { numbers } of readings) expect(numbers()).toEqual(range(0, 100));
  expect(readings[0]!.lines.every(({ position }) => position === undefined)).toBe(true);
  expect(setting.host).toMatchObject({ streams: 1, live: 1 });
  for (const { stop } of readings.slice(1)) await stop();
  setting.host.write();
  await settle();
  expect(readings[0]!.numbers()).toEqual(range(0, 101));
  await readings[0]!.stop();
  await setting.expectNothingLeft();
});

test('who follows alone sees what is there by its first stream, and opens one more', async () => {
  const setting = new Setting();
  setting.host.write(10);
  const { numbers, stop } = setting.follow({ tail: 3 });
  await settle();
  expect(numbers()).toEqual([7, 8, 9]);
  expect(setting.host.opened).toMatchObject([
    { tail: 3, follow: false },
    { follow: true, after: expect.any(String) as string },
  ]);
  await stop();
});

test.each<[string, FollowRequest, number[]]>([
  ['no line before', { tail: 0 }, [10, 11]],
  ['the last lines', { tail: 2 }, [8, 9, 10, 11]],
  ['lines from a time on', { since: 9_000 }, [9, 10, 11]],
  ['lines from a time on that comes later', { since: 11_000 }, [11]],
])('%s, with the feed open and closed', async (_, request, expected) => {
  const setting = new Setting();
  setting.host.write(10);
  const first = setting.follow(request);
  await settle();
  const second = setting.follow(request);
  await settle();
  setting.host.write(2);
  await settle();
  expect(first.numbers()).toEqual(expected);
  expect(second.numbers()).toEqual(expected);
  await Promise.all([first.stop(), second.stop()]);
});

test('lines from a time on, though the clock of the host was set back and the newest are older', async () => {
  const setting = new Setting();
  setting.host.write(10);
  for (const line of setting.host.log.slice(5)) line.at = timeOf(0);
  const first = setting.follow();
  await settle();
  const second = setting.follow({ since: 3_000 });
  await settle();
  setting.host.write(2);
  await settle();
  expect(first.numbers()).toEqual(range(0, 12));
  expect(second.numbers()).toEqual([3, 4, 10, 11]);
  await Promise.all([first.stop(), second.stop()]);
});

test.each<FollowRequest>([{}, { tail: 0 }, { tail: 5 }, { since: 0 }, { ageMs: 1 }])(
  'a log that is empty, by %j',
  async (request) => {
    const setting = new Setting();
    const readings = [setting.follow(request), setting.follow(request)];
    await settle();
    setting.host.write(3);
    await settle();
    for (const { numbers, stop } of readings) {
      expect(numbers()).toEqual([0, 1, 2]);
      await stop();
    }
    await setting.expectNothingLeft();
  },
);

test('a line that nothing has ended yet is shown once it is whole', async () => {
  const setting = new Setting();
  setting.host.write(1);
  setting.host.unfinished = '1';
  const { numbers, stop } = setting.follow();
  await settle();
  expect(numbers()).toEqual([0]);
  setting.host.unfinished = undefined;
  setting.host.write(1);
  await settle();
  expect(numbers()).toEqual([0, 1]);
  await stop();
});

const kibibyte = 1024 - lineOverheadBytes;

test('who is slow holds up nobody, and has every line all the same', async () => {
  const setting = new Setting(kibibyte);
  const fast = setting.follow();
  let isHeld = true;
  const held: (() => void)[] = [];
  const slow = setting.follow({}, () =>
    isHeld ? new Promise((resolve) => held.push(resolve)) : Promise.resolve(),
  );
  await settle();
  for (let round = 0; round < 30; round++) {
    setting.host.write(100);
    await settle();
  }
  expect(fast.numbers()).toEqual(range(0, 3_000));
  expect(slow.numbers()).toEqual([0]);
  expect(setting.host.streams).toBe(1);
  isHeld = false;
  for (const release of held) release();
  await settle();
  expect(slow.numbers()).toEqual(range(0, 3_000));
  await Promise.all([fast.stop(), slow.stop()]);
  await setting.expectNothingLeft();
});

test('when all are slow the host is read no faster', async () => {
  const setting = new Setting(kibibyte);
  let given = 0;
  setting.host.pause = () => Promise.resolve(void given++);
  const take = () => new Promise<void>(() => undefined);
  const readings = [setting.follow({}, take), setting.follow({}, take)];
  await settle();
  setting.host.write(10_000);
  await settle();
  expect(given).toBeLessThan(ringBytesMax / 1024 + 100);
  expect(readings.map(({ lines }) => lines.length)).toEqual([1, 1]);
});

test('a stalled reader of what was before keeps its place for a while only, and goes on later', async () => {
  const setting = new Setting();
  setting.host.write(10);
  const held: (() => void)[] = [];
  let isHeld = true;
  const take = () => (isHeld ? new Promise<void>((resolve) => held.push(resolve)) : Promise.resolve());
  const stalled = range(0, historiesMax).map(() => setting.follow({}, take));
  await settle();
  const other = setting.follow();
  await settle();
  expect(other.numbers()).toEqual([]);
  setting.clock.advance(stallMs);
  await settle();
  expect(other.numbers()).toEqual(range(0, 10));
  expect(setting.host.streams).toBe(1);
  isHeld = false;
  for (const release of held) release();
  await settle();
  for (const { numbers, stop } of [...stalled, other]) {
    expect(numbers()).toEqual(range(0, 10));
    await stop();
  }
  await setting.expectNothingLeft();
});

test('of many who come at once so many read at a time', async () => {
  const setting = new Setting();
  setting.host.write(100);
  const readings = range(0, 4 * historiesMax).map(() => setting.follow());
  await settle();
  for (const { numbers, stop } of readings) {
    expect(numbers()).toEqual(range(0, 100));
    await stop();
  }
  expect(setting.host.historiesMax).toBe(historiesMax);
});

test('a host that goes away and comes back goes on for all after the last line, with one warning', async () => {
  const setting = new Setting();
  const readings = [setting.follow(), setting.follow()];
  await settle();
  setting.host.write(5);
  await settle();
  setting.host.goAway();
  for (let second = 0; second < 3; second++) {
    await settle();
    setting.clock.advance(reopenMs);
  }
  const late = setting.follow();
  await settle();
  setting.host.isUp = true;
  setting.host.write(5);
  await settle();
  setting.clock.advance(reopenMs);
  await settle();
  for (const { lines, numbers, stop } of [...readings, late]) {
    expect(numbers()).toEqual(range(0, 10));
    expect(lines.filter(({ warning }) => warning)).toHaveLength(1);
    await stop();
  }
  await setting.expectNothingLeft();
});

test('a task that ends ends all who follow it, after its last output', async () => {
  const setting = new Setting();
  const readings = [setting.follow(), setting.follow({ tail: 0 })];
  await settle();
  setting.host.write(5);
  await settle();
  setting.host.end();
  setting.host.write(2);
  await settle();
  const late = setting.follow();
  await settle();
  setting.host.write(1);
  setting.clock.advance(lastOutputMs);
  for (const { done, numbers } of [...readings, late]) {
    await done;
    expect(numbers()).toEqual(range(0, 8));
  }
  await setting.expectNothingLeft();
});

test('a task that has ended is read once', async () => {
  const setting = new Setting();
  setting.host.write(5);
  setting.host.unfinished = '5';
  setting.host.end();
  const { done, numbers } = setting.follow();
  await done;
  expect(numbers()).toEqual(range(0, 6));
  expect(setting.host.opened).toHaveLength(1);
  await setting.expectNothingLeft();
});

test('a task that ends while its host is away ends with a warning', async () => {
  const setting = new Setting();
  const { done, lines } = setting.follow();
  await settle();
  setting.host.goAway();
  await settle();
  setting.host.end();
  setting.clock.advance(lastOutputMs);
  await done;
  expect(lines.every(({ warning }) => warning)).toBe(true);
  expect(lines.length).toBeGreaterThan(0);
  await setting.expectNothingLeft();
});

/** What happens in a run: by how many turns of the event loop apart, and what. */
const steps = fc.array(
  fc.record({
    turns: fc.integer({ min: 0, max: 6 }),
    kind: fc.constantFrom('write', 'write', 'follow', 'leave', 'away', 'time'),
    count: fc.integer({ min: 0, max: 400 }),
    slow: fc.integer({ min: 0, max: 3 }),
  }),
  { minLength: 5, maxLength: 30 },
);

const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate);
};

test('whatever happens when, each who follows has all lines from its first on, each once and in order', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.infiniteStream(fc.integer({ min: 0, max: 3 })), async (script, chance) => {
      const setting = new Setting(4 * kibibyte);
      const { host, clock } = setting;
      const wait = async (of: number) => {
        if (chance.next().value! < of) await turns(1);
      };
      host.pause = () => wait(1);
      const all: { reading: Reading; tail: number; written: number }[] = [];
      const left = new Set<Reading>();
      for (const { turns: apart, kind, count, slow } of script) {
        await turns(apart);
        if (kind === 'write') host.write(count);
        if (kind === 'follow') {
          const reading = setting.follow({ tail: count }, () => wait(slow));
          all.push({ reading, tail: count, written: host.log.length });
        }
        if (kind === 'away') host.goAway();
        if (kind === 'time') {
          host.isUp = true;
          clock.advance(reopenMs);
        }
        const leaving = all[count % (all.length || 1)]?.reading;
        if (kind === 'leave' && leaving) {
          left.add(leaving);
          await leaving.stop();
        }
      }
      host.isUp = true;
      host.pause = () => Promise.resolve();
      host.end();
      for (const { reading } of all) {
        const done = reading.done.then(() => true);
        while (!(await Promise.race([done, turns(5).then(() => false)]))) clock.advance(lastOutputMs);
      }
      for (const { reading, tail, written } of all) {
        const numbers = reading.numbers();
        const [first = 0, last = -1] = [numbers[0], numbers.at(-1)];
        expect(numbers).toEqual(range(first, last + 1));
        if (left.has(reading)) continue;
        if (numbers.length > 0) {
          expect(first).toBeGreaterThanOrEqual(Math.max(0, written - tail));
          expect(last).toBe(host.log.length - 1);
        } else expect(tail === 0 || host.log.length === 0).toBe(true);
      }
      await setting.expectNothingLeft();
    }),
    { numRuns: 60 },
  );
});

class FakeSocket extends EventEmitter {
  isPaused = false;
  pings = 0;
  isTerminated = false;

  ping(): void {
    this.pings++;
  }

  terminate(): void {
    this.isTerminated = true;
  }
}

test('a quiet connection is asked for a sign of life, and broken when none comes', () => {
  const clock = new ManualClock();
  const socket = new FakeSocket();
  const unwatch = watchForSilence(socket as unknown as WatchedSocket, clock);
  clock.advance(15_000);
  expect(socket.pings).toBe(1);
  socket.emit('pong');
  clock.advance(15_000);
  socket.isPaused = true; // whoever reads it is slow: what comes cannot be heard
  clock.advance(15_000);
  clock.advance(15_000);
  socket.isPaused = false;
  clock.advance(15_000);
  expect(socket).toMatchObject({ pings: 3, isTerminated: false });
  clock.advance(15_000);
  expect(socket.isTerminated).toBe(true);
  unwatch();
  expect(clock.timers).toBe(0);
  expect(socket.eventNames()).toEqual([]);
});
