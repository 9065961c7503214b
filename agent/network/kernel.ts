/** The thin part that runs `ip`, `bridge` and `nft`, and reads what the kernel has. */
import { readdir, writeFile } from 'node:fs/promises';
import { runCommand, tryCommand } from '../../src/util/command.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { emptyLinks, type LinkState } from './state.ts';

export const namespaceFolder = '/run/netns';
export const namespacePrefix = 'shoal-';
const linkPrefixes = ['shb', 'shx', 'shv'];
/** A full reload of a large rule set takes about a second for 10,000 services. */
const commandTimeoutMs = 30_000;

/** Runs lines through `ip -batch`; all are tried, and those that failed are given with what was said, by line index. */
export async function ipBatch(lines: readonly string[]): Promise<Map<number, string>> {
  return batch('ip', lines);
}

/** The same for `bridge -batch`. */
export async function bridgeBatch(lines: readonly string[]): Promise<Map<number, string>> {
  return batch('bridge', lines);
}

async function batch(program: string, lines: readonly string[]): Promise<Map<number, string>> {
  const failures = new Map<number, string>();
  if (lines.length === 0) return failures;
  const result = await tryCommand(program, ['-force', '-batch', '-'], {
    input: `${lines.join('\n')}\n`,
    timeoutMs: commandTimeoutMs,
  });
  if (result.exitCode === 0) return failures;
  return parseFailures(result.stderr, lines.length);
}

/** `Command failed -:3` follows what was said about line 3 (counted from 1). Anything else is about line 0. */
export function parseFailures(stderr: string, lineCount: number): Map<number, string> {
  const failures = new Map<number, string>();
  let said: string[] = [];
  for (const line of stderr.split('\n')) {
    const match = /^Command failed -:(\d+)$/.exec(line);
    if (match) {
      failures.set(Math.min(Number(match[1]), lineCount) - 1, said.join(' ') || 'no reason given');
      said = [];
    } else if (line.trim() !== '') said.push(line.trim());
  }
  if (said.length > 0 || failures.size === 0) failures.set(0, said.join(' ') || 'no reason given');
  return failures;
}

/** Runs one nftables transaction; throws `network_failed`. */
export async function nft(text: string): Promise<void> {
  if (text === '') return;
  const result = await tryCommand('nft', ['-f', '-'], { input: text, timeoutMs: commandTimeoutMs });
  if (result.exitCode !== 0) {
    throw new ShoalError(
      'network_failed',
      `Cannot change the packet filter: ${result.stderr.trim().slice(0, 2_000)}`,
      { next: 'Run `shoal doctor`: the kernel may lack nftables.' },
    );
  }
}

/** Whether the rule set of this version is loaded. */
export async function hasRuleset(version: string): Promise<boolean> {
  const result = await tryCommand('nft', ['list', 'chain', 'inet', 'shoal', `version_${version}`]);
  const bridge = await tryCommand('nft', ['list', 'map', 'bridge', 'shoal', 'peer_macs']);
  return result.exitCode === 0 && bridge.exitCode === 0;
}

/** Removes both tables; no error when there are none. */
export async function dropRuleset(): Promise<void> {
  await nft('table inet shoal\ndelete table inet shoal\ntable bridge shoal\ndelete table bridge shoal\n');
}

interface LinkRow {
  ifname: string;
  mtu: number;
  address?: string;
  addr_info?: { family: string; local: string; prefixlen: number }[];
  master?: string;
  linkinfo?: { info_kind?: string; info_data?: { id?: number; local?: string; port?: number } };
}

export interface FoundLinks {
  /** Bridges and VXLAN ports with our name prefix, with what is known of them. `networkId` and `virtualSubnet` are ''. */
  links: LinkState;
  /** Host ends of tasks' interfaces. */
  veths: string[];
}

/** Whether a link with this name is of ours. */
export function isOwnLink(name: string): boolean {
  return linkPrefixes.some((prefix) => name.startsWith(prefix));
}

/** Reads our links, neighbours and forwarding entries. */
export async function readLinks(): Promise<FoundLinks> {
  const [addresses, neighbours, forwards] = await Promise.all([
    runCommand('ip', ['-j', '-d', 'addr', 'show']),
    runCommand('ip', ['-j', '-4', 'neigh', 'show', 'nud', 'permanent']),
    runCommand('bridge', ['-j', 'fdb', 'show']),
  ]);
  const rows = parseRows<LinkRow>(addresses);
  const links = emptyLinks();
  for (const row of rows) {
    if (row.ifname.startsWith('shb')) links.bridges.set(row.ifname, bridgeOf(row));
    if (row.ifname.startsWith('shx')) links.vxlans.set(row.ifname, vxlanOf(row));
  }
  for (const row of parseRows<{ dst: string; dev: string; lladdr?: string }>(neighbours)) {
    if (row.dev.startsWith('shb')) links.neighbours.set(`${row.dev} ${row.dst}`, row.lladdr ?? '');
  }
  for (const row of parseRows<{ mac: string; ifname: string; dst?: string }>(forwards)) {
    if (row.ifname.startsWith('shx') && row.dst) links.forwards.set(`${row.ifname} ${row.mac}`, row.dst);
  }
  const veths = rows.map((row) => row.ifname).filter((name) => name.startsWith('shv'));
  return { links, veths };
}

function parseRows<T>(text: string): T[] {
  return text.trim() === '' ? [] : (JSON.parse(text) as T[]);
}

function bridgeOf(row: LinkRow) {
  const address = row.addr_info?.find(({ family }) => family === 'inet');
  return {
    networkId: '',
    address: address ? `${address.local}/${address.prefixlen}` : '',
    mac: row.address ?? '',
    mtu: row.mtu,
    virtualSubnet: '',
  };
}

function vxlanOf(row: LinkRow) {
  const data = row.linkinfo?.info_data;
  return {
    bridge: row.master ?? '',
    vni: data?.id ?? 0,
    local: data?.local ?? '',
    port: data?.port ?? 0,
    mtu: row.mtu,
  };
}

/** Names of every link of ours. */
export async function listOwnLinks(): Promise<string[]> {
  const rows = parseRows<LinkRow>(await runCommand('ip', ['-j', 'link', 'show']));
  return rows.map((row) => row.ifname).filter(isOwnLink);
}

/** The MTU of every link by name. */
export async function linkMtus(): Promise<Map<string, number>> {
  const rows = parseRows<LinkRow>(await runCommand('ip', ['-j', 'link', 'show']));
  return new Map(rows.map(({ ifname, mtu }) => [ifname, mtu]));
}

/** Ids of the tasks that have a namespace. */
export async function listNamespaces(): Promise<string[]> {
  const names = await readdir(namespaceFolder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []; // no namespace was ever named on this machine
    throw error;
  });
  return names
    .filter((name) => name.startsWith(namespacePrefix))
    .map((name) => name.slice(namespacePrefix.length));
}

/** Runs lines through `ip -batch` inside a namespace. Throws with what it said about the first that failed. */
export async function ipInside(namespace: string, lines: readonly string[]): Promise<void> {
  await runCommand('ip', ['-n', namespace, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

/** Forwarding on, and bridge netfilter present. Throws `failed_precondition` when the kernel lacks it. */
export async function prepareHost(): Promise<void> {
  await writeFile('/proc/sys/net/ipv4/ip_forward', '1');
  const bridgeNetfilter = '/proc/sys/net/bridge';
  const present = () =>
    readdir(bridgeNetfilter).then(
      () => true,
      () => false,
    );
  if (await present()) return;
  const loaded = await tryCommand('modprobe', ['br_netfilter']).catch((error: unknown) => ({
    exitCode: 1,
    stderr: String(error),
  }));
  if (loaded.exitCode !== 0 || !(await present())) {
    throw new ShoalError(
      'failed_precondition',
      `Cannot use the kernel's bridge netfilter: ${loaded.stderr.trim()}`,
      { next: 'Load the module br_netfilter (`modprobe br_netfilter`) and start again.' },
    );
  }
}

/** The switches of one bridge: 127.0.0.1 may reach it (published ports on localhost), and replies may come another way. */
export async function prepareBridge(name: string): Promise<void> {
  const folder = `/proc/sys/net/ipv4/conf/${name}`;
  await writeFile(`${folder}/route_localnet`, '1');
  await writeFile(`${folder}/rp_filter`, '2');
}
