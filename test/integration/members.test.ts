import { fork, type ChildProcess } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock, withDeadline } from '../../src/util/clock.ts';
import type { Crash, Look, MemberManagerOptions, Question } from '../harness/member-manager.ts';
import { freePort } from '../harness/registry.ts';

const program = join(import.meta.dirname, '../harness/member-manager.ts');
const address = '127.0.0.1';
const answerMs = 5_000;
const pollMs = 100;

/** A manager's process, started again whenever it dies, unless its member was removed. */
class Manager {
  readonly options: MemberManagerOptions;
  readonly #relay: (question: Question) => Promise<unknown>;
  readonly #logPath: string;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #child: ChildProcess | undefined;
  #asked = 0;
  #isStopped = false;
  ends: string[] = [];

  constructor(
    options: MemberManagerOptions,
    logPath: string,
    relay: (question: Question) => Promise<unknown>,
  ) {
    this.options = options;
    this.#logPath = logPath;
    this.#relay = relay;
    this.#start();
  }

  async ask(question: Question): Promise<unknown> {
    const answer = Promise.withResolvers<unknown>();
    const id = ++this.#asked;
    this.#waiting.set(id, answer);
    if (!this.#child?.connected) answer.reject(new Error('it does not run'));
    else this.#child.send({ id, question }, () => undefined);
    return await withDeadline(answerMs, 'the answer of a manager', () => answer.promise);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    const child = this.#child;
    if (child === undefined) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  #start(): void {
    const child = fork(program, [JSON.stringify(this.options)], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    this.#child = child;
    child.stderr!.pipe(createWriteStream(this.#logPath, { flags: 'a' }));
    child.on('message', (message: { id: number; question?: Question; answer?: unknown; error?: unknown }) => {
      const { id, question } = message;
      if (question === undefined) {
        const answer = this.#waiting.get(id);
        this.#waiting.delete(id);
        if (message.error === undefined) answer?.resolve(message.answer);
        else answer?.reject(new Error(JSON.stringify(message.error)));
        return;
      }
      const send = (answer: object) =>
        void (child.connected && child.send({ id, ...answer }, () => undefined));
      void this.#relay(question).then(
        (answer) => send({ answer }),
        (error: unknown) => {
          const code = String(error).includes('permission_denied') ? 'permission_denied' : 'unavailable';
          send({ error: [code, String(error)] });
        },
      );
    });
    child.once('exit', (code, signal) => {
      this.#child = undefined;
      this.ends.push(signal ?? String(code));
      for (const answer of this.#waiting.values()) answer.reject(new Error('it has ended'));
      this.#waiting.clear();
      if (!this.#isStopped && code !== 0) this.#start();
    });
  }
}

let folder: string;
let managers: Map<string, Manager>;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-members-'));
  managers = new Map();
});
afterEach(async ({ task }) => {
  for (const manager of managers.values()) await manager.stop();
  if (task.result?.state === 'fail' && process.env.SHOAL_KEEP) return;
  await rm(folder, { recursive: true, force: true });
});

/** Whoever leads answers. */
async function askLeader(question: Question): Promise<unknown> {
  let failure: unknown = new Error('there is no manager');
  for (const manager of managers.values()) {
    try {
      return await manager.ask(question);
    } catch (error) {
      failure = error;
      if (String(error).includes('permission_denied')) throw error;
    }
  }
  throw failure;
}

async function run(nodeId: string, first?: string[]): Promise<void> {
  const ports = { client: await freePort(address), peer: await freePort(address) };
  const crashFile = join(folder, 'crashes.json');
  const options = { folder: join(folder, nodeId), nodeId, ports, crashFile, ...(first && { first }) };
  managers.set(nodeId, new Manager(options, join(folder, `${nodeId}.log`), askLeader));
}

async function crashes(list: Crash[]): Promise<void> {
  await writeFile(join(folder, 'crashes.json'), JSON.stringify(list));
}

async function left(): Promise<Crash[]> {
  return JSON.parse(await readFile(join(folder, 'crashes.json'), 'utf8')) as Crash[];
}

/** Asks again until it is so at the leader; `what` is for the message of the test's own limit. */
async function settled(isSo: (look: Look) => boolean): Promise<Look> {
  for (;;) {
    for (const manager of managers.values()) {
      const look = (await manager.ask({ type: 'look' }).catch(() => undefined)) as Look | undefined;
      if (look?.leads === true && isSo(look)) return look;
    }
    await systemClock.sleep(pollMs);
  }
}

/** Writes until told to stop; gives what was acknowledged. */
async function writeAlways(signal: AbortSignal): Promise<string[]> {
  const acknowledged: string[] = [];
  for (let count = 0; !signal.aborted; count++) {
    const key = `written-${count}`;
    const done = await askLeader({ type: 'write', key }).catch(() => false);
    if (done === true) acknowledged.push(key);
    await systemClock.sleep(20);
  }
  return acknowledged;
}

/** In the order of their ids: a view has them in that of their last changes. */
const phases = ({ nodes }: Look) =>
  nodes
    .filter(({ id }) => /^[abc]$/.test(id))
    .map(({ id, phase }) => `${id} ${phase ?? 'none'}`)
    .sort();
const isDone = (wanted: string[]) => (look: Look) => phases(look).join() === wanted.join();
const after = (message: string, ...times: number[]): Crash[] =>
  times.map((afterMs) => ({ message, afterMs }));

async function changeRole(nodeId: string, role: 'manager' | 'worker'): Promise<void> {
  for (;;) {
    const done = await askLeader({ type: 'role', nodeId, role }).catch(() => undefined);
    if (done !== undefined && (done as { conflicts: number }).conflicts === 0) return;
    await systemClock.sleep(pollMs);
  }
}

test(
  'three managers come to be, and one again, whatever is killed on the way',
  { timeout: 300_000 },
  async () => {
    await crashes([
      ...after('members: move store', 0, 300, 900),
      ...after('the store has moved', 0),
      ...after('members: add', 0, 30),
      ...after('this manager has a place', 0, 400),
      ...after('the member of this manager has started', 0),
      ...after('members: note', 0, 20),
      ...after('members: promote', 0, 20),
    ]);
    await run('a', ['a', 'b', 'c']);
    const over = new AbortController();
    const writing = writeAlways(over.signal);
    await run('b');
    await run('c');
    await settled(isDone(['a voting', 'b voting', 'c voting']));
    expect(await left()).toEqual([]);

    await crashes([...after('members: hand over', 0, 20), ...after('members: remove', 0, 20)]);
    const leader = await settled(() => true).then(async () => await leaderId());
    await changeRole(leader, 'worker');
    const two = await settled(({ nodes }) => nodes.find(({ id }) => id === leader)?.phase === undefined);
    expect(two.nodes.filter(({ phase }) => phase === 'voting')).toHaveLength(2);
    await crashes(after('members: move store', 0, 300));
    const other = await otherManager(two);
    await changeRole(other, 'worker');
    const one = await settled(({ backend }) => backend === 'embedded');
    expect(await left()).toEqual([]);
    over.abort();
    const acknowledged = await writing;
    const { keys } = await settled(() => true);
    expect(acknowledged.length).toBeGreaterThan(50);
    expect(acknowledged.filter((key) => !keys.includes(key))).toEqual([]);
    expect(one.nodes.filter(({ role, id }) => role === 'manager' && /^[abc]$/.test(id))).toHaveLength(1);
  },
);

async function leaderId(): Promise<string> {
  for (;;) {
    for (const [id, manager] of managers) {
      const look = (await manager.ask({ type: 'look' }).catch(() => undefined)) as Look | undefined;
      if (look?.leads === true) return id;
    }
    await systemClock.sleep(pollMs);
  }
}

async function otherManager({ nodes }: Look): Promise<string> {
  const leader = await leaderId();
  return nodes.find(({ id, phase }) => phase === 'voting' && id !== leader)!.id;
}
