/** Other packet filters of this host (Docker, ufw, firewalld, an administrator's): which may drop what is ours, and a way through them. Pure. */
import type { PathResult } from './path-probe.ts';

/** A chain of another table that the kernel asks about packets. */
export interface ForeignChain {
  family: string;
  table: string;
  name: string;
  hook: 'forward' | 'input';
  policy: string;
}

/** What nft takes as a name without quotes. */
const namePattern = /^[\w.-]+$/u;
/** By which our rules are known to people. */
const comment = 'shoal';
/** In the chain that Docker leaves to others, which it asks before its own. */
const dockerChain = 'DOCKER-USER';

/** Reads `nft list chains`. */
export function parseChains(text: string): { chains: ForeignChain[]; names: ReadonlySet<string> } {
  const chains: ForeignChain[] = [];
  const names = new Set<string>();
  let [family, table, name] = ['', '', ''];
  for (const line of text.split('\n')) {
    const head = /^table (\S+) (\S+) \{/u.exec(line);
    if (head) [, family = '', table = ''] = head;
    const chain = /^\tchain (\S+) \{/u.exec(line)?.[1];
    if (chain !== undefined) {
      name = chain;
      names.add(`${family} ${table} ${name}`);
    }
    const base = /^\t\ttype filter hook (forward|input) .*policy (\w+);/u.exec(line);
    if (!base || table === 'shoal' || !['ip', 'inet'].includes(family)) continue;
    chains.push({ family, table, name, hook: base[1] as ForeignChain['hook'], policy: base[2]! });
  }
  return { chains: chains.filter((each) => namePattern.test(`${each.table}${each.name}`)), names };
}

/** The chains that may drop what did not pass. */
export function suspects(chains: readonly ForeignChain[], result: PathResult): ForeignChain[] {
  return chains.filter(({ hook }) => (hook === 'input' ? !result.dns : !result.outward || !result.inward));
}

/** The chain that our rules belong into, so that they are asked before whatever the other filter has. */
export function entranceOf(chain: ForeignChain, names: ReadonlySet<string>): string {
  const isDocker = chain.hook === 'forward' && names.has(`${chain.family} ${chain.table} ${dockerChain}`);
  return `${chain.family} ${chain.table} ${isDocker ? dockerChain : chain.name}`;
}

const ourRule = /^\t\t[io]ifname "shb\*" .*\baccept\b.*# handle (\d+)$/u;

/**
 * Text for `nft -f` that lets through what is ours at the head of a chain: all that goes from or to our bridges, which our
 * own table decides about, and questions to the DNS servers. `listing` is what `nft -a list chain` says of it; '' when our
 * rules are at its head already, so that it is not what drops.
 */
export function openingText(
  hook: ForeignChain['hook'],
  entrance: string,
  listing: string,
  dnsPorts: string,
): string {
  const rules =
    hook === 'forward'
      ? ['iifname "shb*"', 'oifname "shb*"']
      : ['udp', 'tcp'].map((protocol) => `iifname "shb*" ${protocol} dport ${dnsPorts}`);
  const present = listing.split('\n').filter((line) => /^\t\t.*# handle \d+$/u.test(line));
  if (rules.every((_, index) => ourRule.test(present[index] ?? ''))) return '';
  const stale = present.flatMap((line) => ourRule.exec(line)?.[1] ?? []);
  return [
    ...stale.map((handle) => `delete rule ${entrance} handle ${handle}\n`),
    ...rules.map((rule) => `insert rule ${entrance} ${rule} counter accept comment "${comment}"\n`),
  ].join('');
}

/** Text that removes our rules from the tables of others, from `nft -a list ruleset`; '' when there are none. */
export function closingText(ruleset: string): string {
  let [table, chain] = ['', ''];
  const lines: string[] = [];
  for (const line of ruleset.split('\n')) {
    table = /^table (\S+ \S+) \{/u.exec(line)?.[1] ?? table;
    chain = /^\tchain (\S+) \{/u.exec(line)?.[1] ?? chain;
    const handle = ourRule.exec(line)?.[1];
    if (handle === undefined || table.endsWith(' shoal')) continue;
    lines.push(`delete rule ${table} ${chain} handle ${handle}\n`);
  }
  return lines.join('');
}

/** Whose chain that is, for a person. */
function ownerOf({ family, table }: ForeignChain, names: ReadonlySet<string>): string {
  if (table === 'firewalld') return 'firewalld';
  if (names.has(`${family} ${table} ufw-before-forward`)) return 'ufw';
  if (names.has(`${family} ${table} ${dockerChain}`)) return 'Docker';
  return family === 'ip' && table === 'filter' ? 'iptables' : 'nftables';
}

/**
 * What a person is told when something does not pass even so. `closed`: chains that took no rule of ours; `legacy`: tables of
 * the older iptables, which nft does not show.
 */
export function firewallMessage(
  result: PathResult,
  closed: readonly ForeignChain[],
  names: ReadonlySet<string>,
  legacy: readonly string[],
): string {
  const what = [
    ...(result.outward ? [] : ['packets from containers to the outside']),
    ...(result.inward ? [] : ['packets from outside to published ports']),
    ...(result.dns ? [] : ['questions of containers to the DNS server of this host']),
  ];
  const where = [
    ...closed.map(
      (chain) => `chain ${chain.name} of table ${chain.family} ${chain.table} (${ownerOf(chain, names)})`,
    ),
    ...(legacy.length > 0 ? [`iptables-legacy (table ${legacy.join(', ')})`] : []),
  ];
  const who = where.length > 0 ? where.join(' or ') : 'another packet filter of this host';
  return `${what.join(', ')} are dropped by ${who}; accept there what comes in or goes out by interfaces whose names begin with shb`;
}
