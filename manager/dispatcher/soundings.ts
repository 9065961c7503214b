import net from 'node:net';
import { heartbeatIntervalMs, managerPort } from '../../src/spec/defaults.ts';

/** Whether anything at the address answers; resolves soon, whatever is there. */
export type Sound = (address: string) => Promise<boolean>;

/** Hosts in one network answer within milliseconds. */
const soundMsMax = 500;
/** An answer to a question of this long ago says nothing of now. */
export const answerMsMax = heartbeatIntervalMs * 2;

/**
 * A host that is on says yes or no to a connection, whatever its programs do: the kernel answers for them. The port is the one
 * that hosts may use among each other anyway. Where a packet filter drops the question, nothing is learnt.
 */
export function soundKernel(address: string, port = managerPort): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: address, port, timeout: soundMsMax });
    const end = (isThere: boolean) => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.on('error', ({ code }: NodeJS.ErrnoException) => end(code === 'ECONNREFUSED'));
  });
}

/** Asks silent hosts, one question each at a time, and remembers who has answered. Times are monotonic, in ms. */
export class Soundings {
  readonly #sound: Sound;
  readonly #asking = new Set<string>();
  /** When the last question that was answered was asked. */
  readonly #answered = new Map<string, number>();

  constructor(sound: Sound) {
    this.#sound = sound;
  }

  ask(nodeId: string, address: string, now: number): void {
    if (this.#asking.has(nodeId)) return;
    this.#asking.add(nodeId);
    void this.#sound(address)
      .catch(() => false) // as good as no answer
      .then((isThere) => {
        this.#asking.delete(nodeId);
        if (isThere) this.#answered.set(nodeId, now);
        else this.#answered.delete(nodeId);
      });
  }

  /** Whether the node's host has answered lately. */
  hasAnswered(nodeId: string, now: number): boolean {
    const at = this.#answered.get(nodeId);
    return at !== undefined && now - at <= answerMsMax;
  }

  /** Forgets all nodes but these. */
  keep(nodeIds: { has(nodeId: string): boolean }): void {
    for (const nodeId of this.#answered.keys()) if (!nodeIds.has(nodeId)) this.#answered.delete(nodeId);
  }
}
