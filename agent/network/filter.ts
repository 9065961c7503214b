/** The packet filter of this host: what was loaded, what changes, and whether the kernel still has it. */
import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { assert, messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { elementCommands, reloadCommands } from './commands.ts';
import { dropRuleset, listChains, listTables, nft } from './kernel.ts';
import type { IsolationPorts } from './isolation.ts';
import { ruleset } from './rules.ts';
import { parseTables, tableDifferences, type FoundTables } from './read-filter.ts';
import type { Elements } from './state.ts';

/** Two loads tell how an unknown nft writes rules; the third is for somebody who flushed them meanwhile. */
const loadAttempts = 3;

export interface PacketFilterOptions {
  ports: IsolationPorts;
  /** Remembers how the rules that were loaded read, so that the next process knows them when it sees them. */
  file: string;
  log: Logger;
}

export class PacketFilter {
  readonly #options: PacketFilterOptions;
  /** What the kernel has, as far as we applied it; absent when it must be read again. */
  #elements: Elements | undefined;
  #local: Elements = new Map();
  /** Of the rules as the kernel gives them back, without elements. */
  #rules: string | undefined;
  /** They were seen to be gone or changed: there is no need to look again. */
  #isLost = false;
  /** Names of our chains, as the kernel gives them. */
  #chains = '';
  /** Until it is seen that this `nft` writes elements in another way than is known here. */
  #readsElements = true;

  constructor(options: PacketFilterOptions) {
    this.#options = options;
  }

  /** Whether it was applied, and not forgotten since. */
  get isKnown(): boolean {
    return this.#elements !== undefined;
  }

  /** What the kernel has is not known any more: the next `apply` reads and loads all of it. */
  forget(): void {
    this.#elements = undefined;
  }

  /** Makes the kernel match. Throws `network_failed`. */
  async apply(wanted: Elements, local: Elements): Promise<void> {
    try {
      if (this.#elements) {
        await nft(elementCommands(this.#elements, wanted) + elementCommands(this.#local, local));
      } else await this.#load(new Map([...wanted, ...local]));
    } catch (error) {
      this.forget();
      throw error;
    }
    this.#elements = wanted;
    this.#local = local;
  }

  /** The same for elements that belong to tasks of this host. */
  async applyLocal(local: Elements): Promise<void> {
    if (this.#elements) await this.apply(this.#elements, local);
  }

  /** Removes both tables. */
  async drop(): Promise<void> {
    this.forget();
    await dropRuleset();
    await rm(this.#options.file, { force: true });
  }

  /** What the kernel has not, or not so, in words; only chains are looked at unless `all`, which costs far less. */
  async differences(all: boolean): Promise<string[]> {
    assert(this.#elements, 'what is not known cannot be compared');
    if (!all) {
      const chains = ownChains(await listChains());
      if (chains === this.#chains) return [];
      this.#isLost = true;
      return ['chains of the packet filter are gone or changed'];
    }
    return this.#compare(parseTables(await listTables()), new Map([...this.#elements, ...this.#local]));
  }

  #compare(found: FoundTables, wanted: Elements): string[] {
    if (hashOf(found.rules) !== this.#rules) {
      this.#isLost = true;
      return ['rules of the packet filter are gone or changed'];
    }
    return tableDifferences(found.elements, wanted, this.#readsElements);
  }

  /** Loads what is missing, in one transaction, and reads it back. */
  async #load(wanted: Elements): Promise<void> {
    const rules = ruleset(this.#options.ports);
    const known = await this.#knownHash(rules.version);
    const isThere = !this.#isLost && known !== '' && known === hashOf(parseTables(await listTables()).rules);
    const text = (isThere ? '' : rules.text) + reloadCommands(wanted);
    const { elements, hash } = await this.#loadUntilRead(text, known);
    this.#rules = hash;
    this.#isLost = false;
    if (hash !== known) await this.#remember(rules.version, hash);
    const wrong = tableDifferences(elements, wanted, true);
    const [lost] = tableDifferences(elements, wanted, false);
    if (lost !== undefined) throw changedMeanwhile(lost);
    // As many as were loaded a moment ago: what reads otherwise is written otherwise.
    if (wrong.length > 0 && this.#readsElements) {
      this.#options.log.warn(
        'This nft writes elements in a way that is not known: only their number is checked',
        { first: wrong[0] },
      );
    }
    this.#readsElements = wrong.length === 0;
  }

  /**
   * Somebody may flush the packet filter between our writing and our reading. Rules that read as they did before are ours; by an
   * nft that is not known yet they have to read the same twice.
   */
  async #loadUntilRead(text: string, known: string): Promise<{ elements: Elements; hash: string }> {
    let expected = known;
    for (let attempt = 1; attempt <= loadAttempts; attempt++) {
      await nft(text);
      // Chains first: what was read before tables that are right was right.
      const chains = ownChains(await listChains());
      const { rules, elements } = parseTables(await listTables());
      const hash = hashOf(rules);
      if (hash === expected && rules !== '') {
        this.#chains = chains;
        return { elements, hash };
      }
      expected = hash;
    }
    throw changedMeanwhile('its rules read otherwise each time');
  }

  /** Of the rules of this version, as they were read when they were loaded last; '' when they never were. */
  async #knownHash(version: string): Promise<string> {
    const text = await readFile(this.#options.file, 'utf8').catch(() => ''); // absent: nothing was loaded yet
    const [of, hash = ''] = text.trim().split(' ');
    return of === version ? hash : '';
  }

  async #remember(version: string, hash: string): Promise<void> {
    try {
      await writeFile(this.#options.file, `${version} ${hash}\n`, { mode: 0o600 });
    } catch (error) {
      // The next process then loads the rules again, which is the safe side.
      this.#options.log.warn('Cannot remember the rules that were loaded', { error: messageOf(error) });
    }
  }
}

function changedMeanwhile(what: string): ShoalError {
  return new ShoalError(
    'network_failed',
    `The packet filter was changed by somebody else while it was set up: ${what}`,
    { next: 'Look for a program on that host that changes the tables named shoal.' },
  );
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** The part of `nft list chains` that is about tables of ours. */
function ownChains(text: string): string {
  return text
    .split(/^(?=table )/mu)
    .filter((table) => /^table (inet|bridge) shoal \{/u.test(table))
    .join('');
}
