import type { ChildProcess } from 'node:child_process';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf, ShoalError, unreachable } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { systemRandom } from '../../src/util/random.ts';
import { backoffMs } from '../../src/util/retry.ts';
import { EtcdMember, type EtcdTls } from '../store/etcd/client.ts';
import type { OwnMember } from './begin.ts';
import { exitMeaning, type ExitMeaning } from './exit.ts';
import type { EtcdFolder } from './folder.ts';
import { endOf, launchEtcd } from './launch.ts';
import { EtcdOutput } from './output.ts';

const pollMs = 50;
const statusMs = 300;
/** How often the log says that it still does not answer. */
const waitingMs = 10_000;
/** A full disk is tried again so often. */
const noSpaceMs = 10_000;
/** Before its first answer so many starts may fail in a row for a reason that nobody knows to pass. */
const firstFailuresMax = 6;
/** After this long without an end the next one is a first one again. */
const steadyMs = 10_000;
const handOverMs = 1_000;
/** After SIGTERM, which lets another member lead too. */
const stopMs = 2_500;
const certificateCheckMs = 24 * 60 * 60 * 1000;

/** Why a member has ended for good. */
export type EtcdEnd = 'removed' | 'damaged';

export interface SupervisorOptions {
  own: OwnMember;
  folder: EtcdFolder;
  program: string;
  flags: readonly string[];
  /** Makes the member's certificate anew when it is time. */
  certify: () => Promise<void>;
  /** With what etcd is asked. */
  tls: () => Promise<EtcdTls>;
  clock: Clock;
  log: Logger;
}

/** Keeps etcd running: starts it again when it ends, unless its end is for good. */
export class EtcdSupervisor {
  readonly endpoint: string;
  readonly ended: Promise<EtcdEnd>;
  readonly #options: SupervisorOptions;
  readonly #output: EtcdOutput;
  readonly #stop = new AbortController();
  readonly #end = Promise.withResolvers<EtcdEnd>();
  readonly #ready = Promise.withResolvers<void>();
  #isReady = false;
  #child: ChildProcess | undefined;
  #done: Promise<unknown> = Promise.resolve();

  constructor(options: SupervisorOptions) {
    const { own, clock, log } = options;
    this.#options = options;
    this.#output = new EtcdOutput(log, clock);
    this.endpoint = `${own.address}:${own.ports.client}`;
    this.ended = this.#end.promise;
    void this.#ready.promise.catch(() => undefined); // whoever starts it hears of it
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when it answers for the first time. Throws when it will not. */
  async start(signal?: AbortSignal): Promise<void> {
    const giveUp = () => this.#ready.reject(signal?.reason);
    signal?.addEventListener('abort', giveUp, { once: true });
    if (signal?.aborted) giveUp();
    const keeping = [this.#keep(), this.#watchReadiness(), this.#keepCertified()];
    this.#done = Promise.all(keeping);
    try {
      await this.#ready.promise;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }

  async stop(): Promise<void> {
    if (!this.#stop.signal.aborted) {
      if (this.#isReady) await this.#handOver();
      this.#stop.abort(new ShoalError('unavailable', 'etcd was stopped'));
      this.#ready.reject(this.#stop.signal.reason);
    }
    const child = this.#child;
    if (child !== undefined) {
      const cancel = this.#options.clock.after(stopMs, () => child.kill('SIGKILL'));
      child.kill('SIGTERM');
      await this.#done;
      cancel();
    }
    await this.#done;
  }

  async #keep(): Promise<void> {
    const { clock, log } = this.#options;
    let failures = 0;
    while (!this.#stop.signal.aborted) {
      const startedAt = clock.monotonic();
      const meaning = await this.#run();
      if (this.#stop.signal.aborted) return;
      if (clock.monotonic() - startedAt > steadyMs) failures = 0;
      failures++;
      const waitMs = await this.#answer(meaning, failures).catch((error: unknown) => {
        log.error('cannot deal with the end of etcd', { error: messageOf(error) });
        return backoffMs(failures, systemRandom);
      });
      if (waitMs === undefined) return;
      await clock.sleep(waitMs, this.#stop.signal).catch(() => undefined); // stopped: the loop ends
    }
  }

  /** One process of etcd, from its start to its end. */
  async #run(): Promise<ExitMeaning> {
    const { folder, program, flags, certify } = this.#options;
    this.#output.restart();
    try {
      await certify();
      await folder.keepReserve();
      const child = launchEtcd({
        program,
        flags,
        lockPath: folder.lock,
        onOutput: (text) => this.#output.take(text),
      });
      this.#child = child;
      if (this.#stop.signal.aborted) child.kill('SIGKILL');
      const { code, signal, cause } = await endOf(child);
      if (cause !== undefined) return { kind: 'other', why: messageOf(cause) };
      return exitMeaning(code, signal, this.#output.lines);
    } catch (error) {
      const isFull = (error as NodeJS.ErrnoException).code === 'ENOSPC';
      return isFull ? { kind: 'no space' } : { kind: 'other', why: messageOf(error) };
    } finally {
      this.#child = undefined;
    }
  }

  /** What is done about an end: gives how long to wait before the next start (ms), or nothing when there is none. */
  async #answer(meaning: ExitMeaning, failures: number): Promise<number | undefined> {
    const { folder, log } = this.#options;
    const again = backoffMs(failures, systemRandom);
    const isLast = !this.#isReady && failures >= firstFailuresMax;
    switch (meaning.kind) {
      case 'removed':
      case 'damaged':
        log.error(`the member of etcd was ${meaning.kind}; its data is kept in ${folder.path}/aside`, {
          why: meaning.kind === 'damaged' ? meaning.why : 'the other managers have removed it',
        });
        await folder.setAside();
        this.#end.resolve(meaning.kind);
        this.#ready.reject(endedForGood(meaning));
        return undefined;
      case 'no space': {
        const isFreed = await folder.freeReserve();
        log.error('etcd has ended: the disk is full', { path: folder.path, freedReserve: isFreed });
        return isFreed ? again : noSpaceMs;
      }
      case 'bind':
        log.error('etcd cannot listen', { why: meaning.why });
        return isLast ? this.#giveUp(cannotListen(meaning.why)) : again;
      case 'locked':
        log.error('etcd cannot start: another one uses its folder', { path: folder.path });
        return isLast ? this.#giveUp(inUse(folder.path)) : again;
      case 'other':
        log.error('etcd has ended and is started again', {
          why: meaning.why,
          failures,
          ...this.#output.counts,
        });
        return isLast ? this.#giveUp(notUp(meaning.why)) : again;
      default:
        return unreachable(meaning);
    }
  }

  #giveUp(error: ShoalError): undefined {
    this.#ready.reject(error);
  }

  /** Asks until it answers, after each start. */
  async #watchReadiness(): Promise<void> {
    const { tls, clock, log, folder } = this.#options;
    const { signal } = this.#stop;
    const member = new EtcdMember(this.endpoint, { endpoints: [], tls: await tls(), clock });
    const since = clock.monotonic();
    let toldAt = since;
    while (!signal.aborted && !this.#isReady) {
      this.#isReady = await answers(member);
      if (this.#isReady) break;
      if (clock.monotonic() - toldAt > waitingMs) {
        toldAt = clock.monotonic();
        const waitedMs = Math.round(toldAt - since);
        log.warn('etcd waits: more than half of the managers must be up', { waitedMs, path: folder.path });
      }
      await clock.sleep(pollMs, signal).catch(() => undefined); // stopped: the loop ends
    }
    member.close();
    if (this.#isReady) this.#ready.resolve();
  }

  async #keepCertified(): Promise<void> {
    const { certify, clock, log } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await clock.sleep(certificateCheckMs, signal).catch(() => undefined); // stopped: the loop ends
      if (signal.aborted) return;
      await certify().catch((error: unknown) => {
        log.error("cannot renew the certificate of etcd's member", { error: messageOf(error) });
      });
    }
  }

  /** Lets another member lead, so that nobody waits for an election. etcd tries the same as it ends. */
  async #handOver(): Promise<void> {
    const { tls, clock, log } = this.#options;
    const member = new EtcdMember(this.endpoint, { endpoints: [], tls: await tls(), clock });
    try {
      const moved = await moveLeader(member, handOverMs);
      if (moved !== undefined) log.info('another member leads etcd', { member: moved });
    } catch (error) {
      log.warn('no other member could be made the leader of etcd', { error: messageOf(error) });
    } finally {
      member.close();
    }
  }
}

/** Makes another voter the raft leader when this member is; gives its id. Throws gRPC's errors. */
export async function moveLeader(member: EtcdMember, timeoutMs: number): Promise<string | undefined> {
  const { leader, header } = await member.call('Maintenance.Status', {}, statusMs);
  if (leader === '0' || leader !== header.memberId) return undefined;
  const { members } = await member.call('Cluster.MemberList', {}, timeoutMs);
  let failure: unknown;
  for (const { id, isLearner, name } of members) {
    if (id === leader || isLearner || name === '') continue;
    try {
      await member.call('Maintenance.MoveLeader', { target: id }, timeoutMs);
      return id;
    } catch (error) {
      failure = error; // that one is away: the next
    }
  }
  if (failure !== undefined) throw failure;
  return undefined;
}

async function answers(member: EtcdMember): Promise<boolean> {
  try {
    const { leader } = await member.call('Maintenance.Status', {}, statusMs);
    if (leader === '0') return false;
    await member.call('KV.Range', { key: Buffer.from('m/'), serializable: true }, statusMs);
    return true;
  } catch {
    return false; // asked again in a moment
  }
}

function endedForGood(meaning: { kind: 'removed' } | { kind: 'damaged'; why: string }): ShoalError {
  const why = meaning.kind === 'removed' ? 'the other managers have removed its member' : meaning.why;
  return new ShoalError('failed_precondition', `Cannot start etcd: ${why}`, {
    details: { reason: meaning.kind },
  });
}

function cannotListen(why: string): ShoalError {
  return new ShoalError('port_taken', `Cannot start etcd: ${why}`, {
    next: 'If another etcd runs on this host, end it: `systemctl disable --now etcd`.',
  });
}

function inUse(path: string): ShoalError {
  return new ShoalError('failed_precondition', `Cannot start etcd: another process uses ${path}`, {
    next: `End it: \`fuser ${path}/lock\` names it.`,
  });
}

function notUp(why: string): ShoalError {
  return new ShoalError('unavailable', `Cannot start etcd: it has ended with ${why}`, {
    next: 'The log of the manager has what it said.',
  });
}
