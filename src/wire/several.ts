import net from 'node:net';
import { managerPort } from '../spec/defaults.ts';
import { systemClock } from '../util/clock.ts';
import { codeOf } from '../util/errors.ts';
import { connect, type Client, type ConnectOptions } from './client.ts';

/** The next manager is tried as well when one has not taken the connection within this. */
const nextMs = 250;
/** One that has not by then is not there. */
const connectMs = 5_000;

/** Resolves when somebody takes a connection at `tcp://HOST:PORT`; throws when nobody does within `connectMs`, or `signal` aborts. */
export function reach(host: string, signal: AbortSignal): Promise<void> {
  const { hostname, port } = new URL(host.replace(/^tcp:/, 'https:'));
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: hostname, port: Number(port || managerPort) });
    const end = (how: () => void) => {
      cancel();
      signal.removeEventListener('abort', stop);
      socket.destroy();
      how();
    };
    const stop = () => end(() => reject(new Error('no longer of interest')));
    const late = () => end(() => reject(new Error(`no answer within ${connectMs / 1_000} s`)));
    const cancel = systemClock.after(connectMs, late);
    signal.addEventListener('abort', stop, { once: true });
    socket.once('connect', () => end(resolve));
    socket.once('error', (error) => end(() => reject(error)));
  });
}

/**
 * The first of the hosts that takes a connection. Each is tried a moment after the one before it, or at once when that one refuses
 * (as RFC 8305 has it for addresses). Undefined when none does.
 */
export async function firstReachable(hosts: readonly string[]): Promise<string | undefined> {
  const over = new AbortController();
  const attempts: Promise<string>[] = [];
  try {
    for (const host of hosts) {
      const attempt = reach(host, over.signal).then(() => host);
      attempts.push(attempt);
      const wait = systemClock.sleep(nextMs, over.signal).then(() => undefined);
      const found = await Promise.race([attempt, wait]).catch(() => undefined); // refused: the next one, at once
      if (found !== undefined) return found;
    }
    return await Promise.any(attempts).catch(() => undefined); // none of them, which the caller tells
  } finally {
    over.abort();
    await Promise.allSettled(attempts);
  }
}

/**
 * A client for whichever of the hosts (`tcp://HOST:PORT`) can be reached, the first ones first. When that one is lost another is
 * chosen for what comes next, and a question is asked once more; of a change nobody could tell whether it was made.
 */
export function connectAny(hosts: readonly string[], options: ConnectOptions): Client {
  let chosen: Promise<Client> | undefined;
  let used: Client | undefined;
  const choose = () =>
    (chosen ??= firstReachable(hosts).then((host) => (used = connect(host ?? hosts[0]!, options))));
  const forget = (error: unknown) => {
    if (codeOf(error) !== 'unavailable') return false;
    used?.close();
    chosen = undefined;
    return true;
  };
  const tried = async <T>(work: (client: Client) => Promise<T>): Promise<T> => {
    try {
      return await work(await choose());
    } catch (error) {
      forget(error);
      throw error;
    }
  };
  return {
    get host() {
      return used?.host ?? hosts.join(', ');
    },
    get warning() {
      return used?.warning;
    },
    request: async (method, path, body, settings) => {
      const client = await choose();
      try {
        return await client.request(method, path, body, settings);
      } catch (error) {
        if (!forget(error) || method !== 'GET' || settings?.signal?.aborted) throw error;
      }
      return await tried((other) => other.request(method, path, body, settings));
    },
    async *stream<T>(path: string, signal?: AbortSignal) {
      try {
        yield* (await choose()).stream<T>(path, signal);
      } catch (error) {
        forget(error);
        throw error;
      }
    },
    exec: (task, request) => tried((client) => client.exec(task, request)),
    volumeStream: (volume, what, query) => tried((client) => client.volumeStream(volume, what, query)),
    close: () => used?.close(),
  };
}
