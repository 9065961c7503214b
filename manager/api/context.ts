import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Node } from '../../src/spec/node.ts';
import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { KeyedQueue } from '../../src/util/queue.ts';
import type { Random } from '../../src/util/random.ts';
import type { MemberAnswer, MemberBody } from '../../src/wire/members.ts';
import type { StreamRequest } from '../../src/wire/session.ts';
import type { Audit } from '../audit/audit.ts';
import type { Administrators } from '../ca/administrators.ts';
import type { Joiner } from '../ca/join.ts';
import type { LogHub } from '../logs/hub.ts';
import type { Database } from '../store/objects.ts';
import type { ApplicationFeeds } from './feeds.ts';

/** The part of the dispatcher that the API uses. */
export interface AgentStreams {
  openStream(
    nodeId: string,
    request: StreamRequest,
    options?: { awaitsReturn?: boolean },
  ): Promise<WebSocket>;
  admitSession(nodeId: string): void;
  acceptSession(socket: WebSocket, nodeId: string, from: { remoteAddress: string; transport: Duplex }): void;
  expectsStream(streamId: string, nodeId: string): boolean;
  acceptStream(socket: WebSocket, nodeId: string, streamId: string): void;
}

/** Gives managers a place in the store. */
export interface MemberPlaces {
  ask(node: Node, body: MemberBody): Promise<MemberAnswer>;
}

/** What the routes work with. */
export interface ApiContext {
  database: Database;
  clock: Clock;
  random: Random;
  log: Logger;
  agents: AgentStreams;
  joiner: Joiner;
  /** Absent where the store cannot leave this manager. */
  members?: MemberPlaces;
  audit: Audit;
  administrators: Administrators;
  /** Writes of whole applications, and the janitor's, take turns in it. */
  queue: KeyedQueue;
  /** Counts what stays open: watches and execs. */
  streams: StreamCounter;
  /** The same for logs: those who read them keep nobody from running commands. */
  logStreams: StreamCounter;
  logs: LogHub;
  /** What applications tell to those who watch them. */
  feeds: ApplicationFeeds;
  /** Where the managers can be joined, `HOST:PORT`, the leader's first; known once this one listens. */
  addresses: () => string[];
  /** `HOST:PORT` of the manager that leads; undefined while none does. */
  leader: () => string | undefined;
}

/** Long-lived answers at once that one counter takes; more are refused, so that they cannot crowd out everything else. */
const streamsMax = 512;

export class StreamCounter {
  #open = 0;

  /** Counts the work while it runs. Throws `resource_exhausted` when too much is open. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#open >= streamsMax) {
      throw new ShoalError('resource_exhausted', `Cannot keep more than ${streamsMax} streams open`, {
        next: 'End some of the running `logs -f` and `exec` commands.',
      });
    }
    this.#open++;
    try {
      return await work();
    } finally {
      this.#open--;
    }
  }
}
