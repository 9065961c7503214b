import { join } from 'node:path';
import type { Clock } from '../../src/util/clock.ts';
import { codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { systemRandom } from '../../src/util/random.ts';
import { backoffMs } from '../../src/util/retry.ts';
import { connect } from '../../src/wire/client.ts';
import { memberPath, type MemberAnswer, type MemberBody } from '../../src/wire/members.ts';
import { keepAuthority } from '../etcd/certificates.ts';
import { EtcdFolder } from '../etcd/folder.ts';
import { writeSealingKeys } from '../sealing/key-file.ts';
import { etcdFolder, type EtcdPlace } from '../store/opening.ts';
import { writePlace } from '../store/place.ts';
import type { MemberHost } from './host.ts';

const askMs = 10_000;
/** A place comes within seconds of the asking; the pauses between questions are short. */
const pauses = { minMs: 200, maxMs: 2_000 };

export interface JoinStoreOptions {
  /** The manager's folder. */
  folder: string;
  nodeId: string;
  ports: { client: number; peer: number };
  host: MemberHost;
  /** Asks the managers for a place; throws what they say. */
  ask: (body: MemberBody, signal: AbortSignal) => Promise<MemberAnswer>;
  /** Told of each reason why there is no place yet. */
  onWait?: (why: string) => void;
  clock: Clock;
  log: Logger;
  signal: AbortSignal;
}

/**
 * What a manager does that has no store yet: asks for a place until it has one, starts its member, and says durably where its store
 * is. Killed anywhere in between, it does the same again. Throws what the managers say when it will never get one, and
 * the signal's reason.
 */
export async function joinStore(options: JoinStoreOptions): Promise<EtcdPlace> {
  const { folder, nodeId, host, clock, log, signal } = options;
  let lost: string | undefined;
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    try {
      const answer = await askOnce(options, lost);
      lost = await lostMember(folder, answer);
      if (lost === undefined) return await takePlace(options, answer);
      log.warn('this manager has lost the data of its member, and asks for another place', { member: lost });
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (isFinal(error)) throw error;
      options.onWait?.(messageOf(error));
      log.info('this manager has no place in the store yet', { nodeId, why: messageOf(error) });
      await host.stop();
    }
    await clock.sleep(backoffMs(attempt, systemRandom, pauses), signal);
  }
}

/** Asks the managers at these addresses (`HOST:PORT`) in turn, the last that answered first. Certificates may be replaced meanwhile. */
export function askManagers(
  addresses: readonly string[],
  credentials: () => { ca: string; cert: string; key: string },
): JoinStoreOptions['ask'] {
  let first = 0;
  return async (body, signal) => {
    let failure: unknown = new ShoalError('unavailable', 'Cannot ask for a place: no manager is known');
    for (let count = 0; count < addresses.length; count++) {
      const index = (first + count) % addresses.length;
      const client = connect(`tcp://${addresses[index]}`, { credentials: credentials() });
      try {
        const answer = await client.request<MemberAnswer>('POST', memberPath, body, {
          signal,
          timeoutMs: askMs,
        });
        first = index;
        return answer;
      } catch (error) {
        failure = error;
        if (isFinal(error)) throw error;
      } finally {
        client.close();
      }
    }
    throw failure;
  };
}

async function askOnce(
  { ports, ask, signal }: JoinStoreOptions,
  lost: string | undefined,
): Promise<MemberAnswer> {
  return await ask({ ports, ...(lost !== undefined && { lost }) }, signal);
}

/** The id of the own member when it has promised what this host does not remember. */
async function lostMember(
  folder: string,
  { memberId, isStarted }: MemberAnswer,
): Promise<string | undefined> {
  if (!isStarted) return undefined;
  const own = await EtcdFolder.open(join(folder, etcdFolder));
  const isHere = (await own.note())?.memberId === memberId && (await own.hasData());
  return isHere ? undefined : memberId;
}

async function takePlace(
  { folder, nodeId, host, log, signal }: JoinStoreOptions,
  answer: MemberAnswer,
): Promise<EtcdPlace> {
  const { generation, authority, sealing, memberId, members } = answer;
  log.info('this manager has a place in the store', { nodeId, member: memberId });
  const own = host.endpoint;
  const endpoints = [own, ...answer.endpoints.filter((endpoint) => endpoint !== own)];
  const place: EtcdPlace = { backend: 'etcd', generation, endpoints, nodeId };
  await keepAuthority(join(folder, etcdFolder), authority);
  if (sealing !== undefined) await writeSealingKeys(folder, sealing);
  await host.start(place, authority, { state: 'existing', memberId, members }, signal);
  await writePlace(folder, place);
  log.info('the member of this manager has started', { nodeId, member: memberId });
  return place;
}

/** Whether asking again would not help. */
function isFinal(error: unknown): boolean {
  return ['permission_denied', 'unauthenticated', 'not_supported', 'invalid_argument', 'port_taken'].includes(
    codeOf(error),
  );
}
