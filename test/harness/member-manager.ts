import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { initialiseCluster } from '../../manager/ca/cluster.ts';
import { MemberHost } from '../../manager/members/host.ts';
import { openManagerStore } from '../../manager/members/open.ts';
import { createMembersLoop, type MembersLoop } from '../../manager/members/members.ts';
import type { ClusterStore } from '../../manager/store/cluster-store.ts';
import { openDatabase, type OpenDatabase } from '../../manager/store/database.ts';
import type { Database } from '../../manager/store/objects.ts';
import { openSqliteStore } from '../../manager/store/sqlite.ts';
import type { Node } from '../../src/spec/node.ts';
import { systemClock } from '../../src/util/clock.ts';
import { codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import { createLogger } from '../../src/util/log.ts';
import { systemRandom } from '../../src/util/random.ts';
import type { MemberAnswer } from '../../src/wire/members.ts';
import { sampleNode } from '../samples.ts';

/**
 * A manager that has its store and its members and nothing else, as a process that a test can kill anywhere:
 * `node member-manager.ts OPTIONS`. It kills itself at what `crashFile` says next.
 */
export interface MemberManagerOptions {
  folder: string;
  nodeId: string;
  ports: { client: number; peer: number };
  /** The first manager, which makes the cluster with these nodes. */
  first?: string[];
  /** Holds `Crash[]` in JSON; who crashes takes it off the list. */
  crashFile: string;
}

/** When a line of the log begins so, so many ms later. */
export interface Crash {
  message: string;
  afterMs: number;
}

/** What a test asks of it, and what it asks of the others. */
export type Question =
  | { type: 'ask'; body: Parameters<MembersLoop['ask']>[1]; nodeId: string }
  | { type: 'role'; nodeId: string; role: Node['role'] }
  | { type: 'write'; key: string }
  | { type: 'look' };
export interface Look {
  leads: boolean;
  backend: 'embedded' | 'etcd';
  nodes: { id: string; role: string; phase: string | undefined; problem: string | undefined }[];
  keys: string[];
}

const address = '127.0.0.1';
const options = JSON.parse(process.argv[2]!) as MemberManagerOptions;
const { folder, nodeId } = options;

function crashAt(line: string): void {
  const { message } = JSON.parse(line) as { message: string };
  const [next, ...rest] = JSON.parse(readFileSync(options.crashFile, 'utf8')) as Crash[];
  if (next === undefined || !message.startsWith(next.message)) return;
  writeFileSync(options.crashFile, JSON.stringify(rest));
  process.stderr.write(`{"message":"${nodeId} crashes ${next.afterMs} ms after: ${message}"}\n`);
  const end = () => process.kill(process.pid, 'SIGKILL');
  if (next.afterMs === 0) end();
  else systemClock.after(next.afterMs, end);
}

const log = createLogger({
  level: 'debug',
  now: () => systemClock.now(),
  fields: { manager: nodeId },
  write: (line) => {
    process.stderr.write(line);
    crashAt(line);
  },
});

let leading: { loop: MembersLoop; database: Database } | undefined;
const waiting = new Map<number, PromiseWithResolvers<unknown>>();
let asked = 0;

/** By way of the test, which asks whoever leads. */
function askOthers(question: Question): Promise<unknown> {
  const answer = Promise.withResolvers<unknown>();
  waiting.set(++asked, answer);
  process.send?.({ id: asked, question });
  return answer.promise;
}

async function answer(question: Question, store: ClusterStore, opened: OpenDatabase): Promise<unknown> {
  if (question.type === 'look') return look(store, opened);
  if (leading === undefined) throw new ShoalError('unavailable', 'it does not lead');
  const { loop, database } = leading;
  if (question.type === 'write') {
    const object = { ...sampleNode(question.key), role: 'worker' as const };
    await database.write([[{ kind: 'node', action: 'create', object }]]);
    return true;
  }
  const node = database.view.nodes.get(question.nodeId);
  if (node === undefined) throw new ShoalError('not_found', 'no such node');
  if (question.type === 'ask') return await loop.ask(node, question.body);
  const object = { ...node, role: question.role };
  return await database.write([[{ kind: 'node', action: 'update', object }]]);
}

function look(store: ClusterStore, { view }: OpenDatabase): Look {
  const nodes = [...view.nodes.values()];
  return {
    leads: leading !== undefined,
    backend: store.backend,
    nodes: nodes.map(({ id, role, manager }) => ({
      id,
      role,
      phase: manager?.member?.phase,
      problem: manager?.problem,
    })),
    keys: nodes.map(({ id }) => id),
  };
}

async function lead(store: ClusterStore, opened: OpenDatabase, host: MemberHost): Promise<void> {
  for (;;) {
    const leadership = await store.campaign(nodeId, new AbortController().signal);
    await opened.reached(leadership.revision);
    const database = opened.fenced(leadership);
    const over = new Promise((resolve) =>
      leadership.signal.addEventListener('abort', resolve, { once: true }),
    );
    if (options.first !== undefined) await makeCluster(database);
    const clock = systemClock;
    const loop = createMembersLoop({ database, store, host, clock, log, selfId: () => nodeId });
    loop.start();
    leading = { loop, database };
    log.info('it leads');
    if (!leadership.signal.aborted) await over;
    leading = undefined;
    log.info('it leads no more');
    await loop.stop();
    await leadership.resign();
  }
}

async function makeCluster(database: Database): Promise<void> {
  await initialiseCluster(database, {}, { clock: systemClock, random: systemRandom });
  for (const id of options.first!) {
    if (database.view.nodes.has(id)) continue;
    const object = sampleNode(id, { role: 'manager', approvedAddress: address });
    await database.write([[{ kind: 'node', action: 'create', object }]]);
  }
}

async function main(): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const openEmbedded = (path: string) => openSqliteStore(path);
  const parts = { folder, clock: systemClock, log };
  const host = new MemberHost({ ...parts, address, ports: options.ports, openEmbedded });
  void host.ended.then((why) => {
    log.info(`the member was ${why}`);
    process.exit(why === 'removed' ? 0 : 1);
  });
  const signal = new AbortController().signal;
  const ask = async (body: Parameters<MembersLoop['ask']>[1]) =>
    (await askOthers({ type: 'ask', body, nodeId })) as MemberAnswer;
  const store = await openManagerStore({
    ...parts,
    ports: options.ports,
    host,
    openEmbedded,
    signal,
    joining:
      options.first === undefined || existsSync(join(folder, 'store.json')) ? { nodeId, ask } : undefined,
  });
  const opened = await openDatabase(store, systemClock);
  process.on('message', (message: { id: number; question?: Question; answer?: unknown }) => {
    if (message.question === undefined) return;
    void answer(message.question, store, opened).then(
      (value) => process.send?.({ id: message.id, answer: value }),
      (error: unknown) => process.send?.({ id: message.id, error: [codeOf(error), messageOf(error)] }),
    );
  });
  process.send?.({ type: 'ready' });
  await lead(store, opened, host);
}

process.on(
  'message',
  (message: { id: number; question?: Question; answer?: unknown; error?: [string, string] }) => {
    if (message.question !== undefined) return;
    const answered = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error === undefined) answered?.resolve(message.answer);
    else answered?.reject(new ShoalError(message.error[0] as 'unavailable', message.error[1]));
  },
);
process.on('disconnect', () => process.exit(1));

try {
  await main();
} catch (error) {
  process.stderr.write(
    `${JSON.stringify({ message: `${nodeId} failed: ${messageOf(error)}`, stack: error instanceof Error ? error.stack : '' })}\n`,
  );
  // It was removed, and is to be a worker.
  process.exit(codeOf(error) === 'permission_denied' ? 0 : 1);
}
