import { codeOf } from '../../src/util/errors.ts';

/** In which order a host tries the managers that it knows: the one that worked last comes first, and one that failed last. */
export class ManagerOrder {
  #first: string | undefined;
  #last: string | undefined;

  /** The addresses in the order in which to try them; each of them is there once. */
  of(addresses: readonly string[]): string[] {
    const known = new Set(addresses);
    const first = this.#first !== undefined && known.delete(this.#first) ? [this.#first] : [];
    const last = this.#last !== undefined && known.delete(this.#last) ? [this.#last] : [];
    return [...first, ...known, ...last];
  }

  worked(address: string): void {
    this.#first = address;
    if (this.#last === address) this.#last = undefined;
  }

  failed(address: string): void {
    this.#last = address;
    if (this.#first === address) this.#first = undefined;
  }
}

/** Whether another manager may do what this one could not: it was not reached, or has no leader to turn to. */
function isWorthAnother(error: unknown): boolean {
  return ['unavailable', 'deadline_exceeded'].includes(codeOf(error));
}

/**
 * Asks one manager after another until one answers, whatever its answer is. Throws that answer when it is a refusal, and what the
 * last one failed with when none could be reached.
 */
export async function askManagers<T>(
  addresses: readonly string[],
  ask: (address: string) => Promise<T>,
  order = new ManagerOrder(),
): Promise<T> {
  let failure: unknown = new Error('no manager is known');
  for (const address of order.of(addresses)) {
    try {
      const answer = await ask(address);
      order.worked(address);
      return answer;
    } catch (error) {
      if (!isWorthAnother(error)) throw error;
      order.failed(address);
      failure = error;
    }
  }
  throw failure;
}

/**
 * Where this host connects to for each manager: its own one it reaches however its address has changed, and tries it even when nobody has
 * told of it. `own`: `HOST:PORT` as others know it, and as it is reached from here.
 */
export function dialled(
  addresses: readonly string[],
  own: { address: string; local: string } | undefined,
): string[] {
  if (own === undefined) return [...addresses];
  return [
    ...new Set([...addresses.map((address) => (address === own.address ? own.local : address)), own.local]),
  ];
}
