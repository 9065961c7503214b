/** Sees to it that other packet filters of this host let pass what is ours, and says so when one does not. */
import { readFile } from 'node:fs/promises';
import type { ConditionReporter } from '../conditions/conditions.ts';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { Loop } from '../../src/util/loop.ts';
import { dnsPorts } from '../dns/servers.ts';
import {
  closingText,
  entranceOf,
  firewallMessage,
  openingText,
  parseChains,
  suspects,
  type ForeignChain,
} from './foreign-firewall.ts';
import { listChain, listChains, listRuleset, nft } from './kernel.ts';
import { probePaths, type PathResult } from './path-probe.ts';

/** Rules of others change many at a time. */
const gatherMs = 500;
/** Without a change that was heard of: rules of the older iptables, which nft does not tell of. */
const probeIntervalMs = 60_000;
/** What of our own is gone is put right within this time, mostly. */
const doubtMs = 1_000;
/** However often rules change. */
const restMs = 2_000;
const dnsPortRange = `${dnsPorts.first}-${dnsPorts.last}`;

export interface FirewallWatchOptions {
  clock: Clock;
  log: Logger;
  conditions: ConditionReporter;
}

export class FirewallWatch {
  readonly #options: FirewallWatchOptions;
  readonly #loop: Loop;
  /** Our own rules are loaded: without them nothing passes, whatever others do. */
  #isReady = false;
  #looking = Promise.resolve();

  constructor(options: FirewallWatchOptions) {
    this.#options = options;
    const { clock, log } = options;
    this.#loop = new Loop({
      name: 'probing the way through this host',
      clock,
      log,
      debounceMs: gatherMs,
      intervalMs: probeIntervalMs,
      tick: async (signal) => {
        await (this.#looking = this.#look());
        await clock.sleep(restMs, signal).catch(() => undefined);
      },
    });
  }

  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  /** Our rules were loaded, or those of others have changed. */
  changed({ isReady = this.#isReady }: { isReady?: boolean } = {}): void {
    this.#isReady = isReady;
    this.#loop.poke();
  }

  /** Our rules are about to go: nothing is probed until they are loaded again. */
  async pause(): Promise<void> {
    this.#isReady = false;
    await this.#looking.catch(() => undefined); // it is told by the loop
  }

  async #look(): Promise<void> {
    if (!this.#isReady) return;
    const { clock, conditions } = this.#options;
    let result = await probePaths(clock);
    if (!passes(result)) {
      // Something of our own may be gone just now: rules of others are not touched for that.
      await clock.sleep(doubtMs);
      result = await probePaths(clock);
    }
    if (!passes(result)) {
      const { chains, names } = parseChains(await listChains());
      // Flushed with all else: it is loaded again in a moment, and this is done once more then.
      if (!names.has('inet shoal forward')) return;
      const closed = await this.#open(suspects(chains, result), names);
      result = await probePaths(clock);
      // Something may have been going on just then.
      if (!passes(result)) {
        await clock.sleep(restMs);
        result = await probePaths(clock);
      }
      if (!passes(result)) {
        const message = firewallMessage(result, closed, names, await readLegacyTables());
        conditions.set('ForeignFirewall', 'probe', message);
      }
    }
    if (passes(result)) conditions.clear('ForeignFirewall', 'probe');
  }

  /** Adds our rules to these chains. Gives those that did not take them. */
  async #open(chains: readonly ForeignChain[], names: ReadonlySet<string>): Promise<ForeignChain[]> {
    const { log } = this.#options;
    const closed: ForeignChain[] = [];
    for (const chain of chains) {
      const entrance = entranceOf(chain, names);
      try {
        const text = openingText(chain.hook, entrance, await listChain(entrance), dnsPortRange);
        await nft(text);
        if (text !== '')
          log.warn('Another packet filter may drop what is ours; rules were added to it', { entrance });
      } catch (error) {
        closed.push(chain);
        log.warn('Another packet filter takes no rules', { entrance, error: messageOf(error) });
      }
    }
    return closed;
  }
}

function passes({ outward, inward, dns }: PathResult): boolean {
  return outward && inward && dns;
}

/** Tables of the older iptables that hold rules in this kernel (its /proc file); none where it has none. */
async function readLegacyTables(): Promise<string[]> {
  const text = await readFile('/proc/net/ip_tables_names', 'utf8').catch(() => '');
  return text.split('\n').filter((name) => name !== '');
}

/** Removes every rule of ours from the tables of others. */
export async function closeForeignFirewalls(): Promise<void> {
  await nft(closingText(await listRuleset()));
}
