import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { AsyncQueue } from '../../src/util/queue.ts';
import { systemRandom } from '../../src/util/random.ts';
import type { ContainerdClient } from './client.ts';
import type { ContainerExit } from './engine.ts';
import type { Envelope, TaskExit, Timestamp } from './messages.ts';
import { decode } from './protocol.ts';

/** Exits that nobody has read yet; more than a machine runs. */
const queuedMax = 100_000;
const probeTopic = '/shoal/probe';
const probeIntervalMs = 5;
const probesMax = 1000;

export interface ExitWatch {
  exits: AsyncIterable<ContainerExit>;
  /** Resolves when every exit from now on will be seen, or the subscription has failed. */
  subscribed: Promise<void>;
}

/**
 * Subscribes to the exits of containers. containerd does not say when a subscription holds, so events of our own are
 * published until one comes back.
 */
export function watchExits(options: {
  client: ContainerdClient;
  namespace: string;
  clock: Clock;
  signal: AbortSignal;
  wasKilledForMemory: (id: string) => boolean;
}): ExitWatch {
  const { client, namespace, clock, signal, wasKilledForMemory } = options;
  const queue = new AsyncQueue<ContainerExit>(queuedMax);
  const probe = systemRandom.id();
  const ready = new AbortController();
  const outOfMemory = new Set<string>();
  let failure: Error | undefined;
  const topics = ['/tasks/exit', '/tasks/oom', probeTopic];
  const filters = topics.map((topic) => `namespace==${namespace},topic=="${topic}"`);
  const call = client.open('Events.Subscribe', { filters });
  const stop = (error: Error | undefined) => {
    failure ??= error;
    call.cancel();
    queue.close();
    ready.abort();
    signal.removeEventListener('abort', abort);
  };
  const abort = () => stop(undefined);
  call.on('data', (envelope: Envelope) => {
    try {
      if (envelope.topic === probeTopic) {
        if (Buffer.from(envelope.event?.value ?? []).toString() === probe) ready.abort();
        return;
      }
      const exit = readEvent(envelope, outOfMemory, wasKilledForMemory);
      if (exit) queue.push(exit);
    } catch (error) {
      stop(error as Error);
    }
  });
  const gone = (error?: unknown) =>
    stop(
      signal.aborted
        ? undefined
        : new ShoalError('unavailable', 'Cannot watch containers: containerd went away', { cause: error }),
    );
  call.on('error', gone);
  call.on('end', () => gone());
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  return {
    exits: iterate(
      queue,
      () => failure,
      () => stop(undefined),
    ),
    subscribed: sendProbes(client, clock, probe, ready.signal).catch((error: unknown) =>
      stop(error as Error),
    ),
  };
}

async function* iterate(
  queue: AsyncQueue<ContainerExit>,
  failure: () => Error | undefined,
  stop: () => void,
): AsyncGenerator<ContainerExit> {
  try {
    yield* queue;
    const error = failure();
    if (error) throw error;
  } finally {
    stop();
  }
}

async function sendProbes(
  client: ContainerdClient,
  clock: Clock,
  probe: string,
  ready: AbortSignal,
): Promise<void> {
  const event = { typeUrl: 'shoal.probe', value: Buffer.from(probe) };
  for (let sent = 0; !ready.aborted; sent++) {
    if (sent >= probesMax)
      throw new ShoalError('unavailable', 'Cannot watch containers: containerd sends no events');
    await client.call('Events.Publish', { topic: probeTopic, event });
    await clock.sleep(probeIntervalMs, ready).catch(() => undefined); // woken early: it is ready
  }
}

/** The exit of a container that this event tells of, if it does. Ends of execs are not exits of containers. */
function readEvent(
  envelope: Envelope,
  outOfMemory: Set<string>,
  wasKilledForMemory: (id: string) => boolean,
): ContainerExit | undefined {
  const bytes = envelope.event?.value ?? new Uint8Array();
  if (envelope.topic === '/tasks/oom') {
    outOfMemory.add(decode<{ containerId: string }>('TaskOom', bytes).containerId);
    return undefined;
  }
  const { containerId, id, exitStatus, exitedAt } = decode<TaskExit>('TaskExit', bytes);
  if (id !== '' && id !== containerId) return undefined;
  const noted = outOfMemory.delete(containerId);
  const killed = exitStatus === 137 && (noted || wasKilledForMemory(containerId));
  return {
    id: containerId,
    exitCode: exitStatus,
    // a process that never started has no time of exit
    at: toMs(exitedAt && exitedAt.seconds > 0 ? exitedAt : envelope.timestamp),
    outOfMemory: killed,
  };
}

function toMs(time: Timestamp | null): number {
  return time ? time.seconds * 1000 + Math.floor(time.nanos / 1e6) : 0;
}
