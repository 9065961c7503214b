/** The thin part that runs `ip`, `bridge` and `nft`, and reads what the kernel has. */
import { readdir, writeFile } from 'node:fs/promises';
import { runCommand, tryCommand } from '../../src/util/command.ts';
import { assert, ShoalError } from '../../src/util/errors.ts';

export const namespaceFolder = '/run/netns';
export const namespacePrefix = 'shoal-';
/** The end that stands for the outside of the pair that `path-probe.ts` sends over; the other one goes with it. */
export const outsideLink = 'shoal-probe';
const linkPrefixes = ['shb', 'shx', 'shv', outsideLink];
/** A full reload of a large rule set takes about a second for 10,000 services. */
const commandTimeoutMs = 30_000;
/** About 40 bytes for each element: for a million and a half of them. */
const tableBytesMax = 64 * 1024 * 1024;

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
  for (const line of lines) checkLine(line);
  const result = await tryCommand(program, ['-force', '-batch', '-'], {
    input: `${lines.join('\n')}\n`,
    timeoutMs: commandTimeoutMs,
  });
  if (result.exitCode === 0) return failures;
  return parseFailures(result.stderr, lines.length);
}

/** One line is one command: what holds another one was made from text that nobody parsed. */
function checkLine(line: string): void {
  assert(/^[\x20-\x7e]+$/u.test(line), `a command has to be one line: ${JSON.stringify(line)}`);
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

/** All chains of all tables with what they are hooked to: 5 ms of the processor, however many elements sets have. */
export async function listChains(): Promise<string> {
  return await runCommand('nft', ['list', 'chains'], { timeoutMs: commandTimeoutMs });
}

/** One chain, named as `FAMILY TABLE CHAIN`, with the numbers by which rules are deleted. */
export async function listChain(name: string): Promise<string> {
  return await runCommand('nft', ['-a', 'list', 'chain', ...name.split(' ')], {
    timeoutMs: commandTimeoutMs,
  });
}

/** Everything that the packet filter of this host holds, with the numbers by which rules are deleted. */
export async function listRuleset(): Promise<string> {
  return await runCommand('nft', ['-a', 'list', 'ruleset'], { timeoutMs: commandTimeoutMs });
}

/** Our tables with rules and elements; '' for one that is not there. About 20 ms for each 1,000 elements. */
export async function listTables(): Promise<string> {
  const tables = await Promise.all(
    ['inet', 'bridge'].map(async (family) => {
      const listed = await tryCommand('nft', ['--stateless', 'list', 'table', family, 'shoal'], {
        timeoutMs: commandTimeoutMs,
        outputBytesMax: tableBytesMax,
      });
      if (listed.exitCode !== 0 && !listed.stderr.includes('No such file')) {
        throw new ShoalError('network_failed', `Cannot read the packet filter: ${listed.stderr.trim()}`);
      }
      return listed.exitCode === 0 ? listed.stdout : '';
    }),
  );
  return tables.join('');
}

/** Removes both tables; no error when there are none. */
export async function dropRuleset(): Promise<void> {
  await nft('table inet shoal\ndelete table inet shoal\ntable bridge shoal\ndelete table bridge shoal\n');
}

/** Whether a link with this name is of ours. */
export function isOwnLink(name: string): boolean {
  return linkPrefixes.some((prefix) => name.startsWith(prefix));
}

/** Names of every link of ours. */
export async function listOwnLinks(): Promise<string[]> {
  return [...(await linkMtus()).keys()].filter(isOwnLink);
}

/** The MTU of every link by name. */
export async function linkMtus(): Promise<Map<string, number>> {
  const rows = JSON.parse(await runCommand('ip', ['-j', 'link', 'show'])) as {
    ifname: string;
    mtu: number;
  }[];
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
  for (const line of lines) checkLine(line);
  await runCommand('ip', ['-n', namespace, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

/** Sees to it that bridge netfilter is there. Throws `failed_precondition` when the kernel lacks it. */
export async function loadBridgeNetfilter(): Promise<void> {
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
