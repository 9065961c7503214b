import { lookup } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { VolumeDriverOptions } from '../../src/spec/resource.ts';
import { optionList } from '../../src/spec/volume-options.ts';
import { withDeadline } from '../../src/util/clock.ts';
import { tryCommand, type CommandResult } from '../../src/util/command.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';

/** A server that does not answer is given up after this long. */
const mountMs = 60_000;
const unmountMs = 10_000;
/** What the kernel does not let go of is not waited for longer. */
const slackMs = 2_000;
const networkTypes: ReadonlySet<string> = new Set(['nfs', 'nfs4', 'cifs']);

/** What a volume's options become on a host. */
export interface Mounter {
  isMounted(folder: string): Promise<boolean>;
  /** Throws `failed_precondition` with what mount(8) said. */
  mount(name: string, options: VolumeDriverOptions, folder: string): Promise<void>;
  unmount(folder: string): Promise<void>;
}

/** The host's own mount(8) and umount(8). */
export const systemMounter: Mounter = { isMounted, mount, unmount };

/**
 * The server's name in the options, which the kernel cannot look up itself: `addr=` of network file systems, and of CIFS
 * without it that of `//SERVER/SHARE` (as Docker's local driver does). Undefined for addresses, and where there is none.
 */
export function serverName({ type = '', o, device }: VolumeDriverOptions): string | undefined {
  if (!networkTypes.has(type)) return undefined;
  const given = optionList(o).find((option) => option.startsWith('addr='));
  const [, share] = type === 'cifs' ? (/^(?:cifs:|smb:)?\/\/([^/:]+)/u.exec(device) ?? []) : [];
  const name = given === undefined ? share : given.slice('addr='.length);
  return name === undefined || name === '' || isIP(name) !== 0 ? undefined : name;
}

/**
 * The arguments of mount(8), `address` standing in for the server's name. The mount is made by the kernel alone, without
 * helper programs, as Docker does it.
 */
export function mountArguments(options: VolumeDriverOptions, folder: string, address?: string): string[] {
  const { type = 'none', o = '', device } = options;
  const server = serverName(options);
  const named = address !== undefined && server !== undefined;
  const list = optionList(o);
  const resolved = list.map((option) => (named && option === `addr=${server}` ? `addr=${address}` : option));
  const inDevice = named && !list.includes(`addr=${server}`);
  return [
    '--internal-only',
    '--no-canonicalize',
    '-t',
    type,
    ...(resolved.length === 0 ? [] : ['-o', resolved.join(',')]),
    '--',
    inDevice ? device.replace(server, address) : device,
    folder,
  ];
}

async function mount(name: string, options: VolumeDriverOptions, folder: string): Promise<void> {
  const fail = (why: string) =>
    new ShoalError('failed_precondition', `Cannot mount volume ${name}: ${why}`, {
      next: 'See what its driver_opts say, and whether this host has it.',
    });
  const server = serverName(options);
  let address: string | undefined;
  if (server !== undefined) {
    const found = await lookup(server, { order: 'ipv4first' }).catch((error: NodeJS.ErrnoException) => {
      throw fail(`the address of ${server} cannot be found (${error.code})`);
    });
    address = found.address;
  }
  const result = await run('mount', mountArguments(options, folder, address), mountMs).catch(
    (error: unknown) => {
      throw fail(messageOf(error));
    },
  );
  if (result.exitCode !== 0) throw fail(said(result, folder));
}

/** What was not flushed yet is flushed before this returns, unless that takes too long. */
async function unmount(folder: string): Promise<void> {
  const options = ['--internal-only', '--no-canonicalize'];
  const first = await run('umount', [...options, folder], unmountMs).catch(() => undefined); // tried once more below
  if (first?.exitCode === 0) return;
  const second = await run('umount', [...options, '--lazy', folder], unmountMs);
  if (second.exitCode === 0 || !(await isMounted(folder))) return;
  throw new ShoalError('internal', `Cannot unmount ${folder}: ${said(second, folder)}`);
}

async function isMounted(folder: string): Promise<boolean> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  const octal = (text: string) =>
    text.replaceAll(/\\(\d{3})/gu, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
  return lines.some((line) => octal(line.split(' ')[4] ?? '') === folder);
}

async function run(program: string, args: string[], timeoutMs: number): Promise<CommandResult> {
  // Killing a program that hangs in the kernel does not end it.
  return await withDeadline(timeoutMs + slackMs, program, () => tryCommand(program, args, { timeoutMs }));
}

/** What the program said, in one line, without our own folder and without a password. */
function said({ stderr, exitCode }: CommandResult, folder: string): string {
  const [line = ''] = stderr.trim().split('\n');
  const plain = line.replace(/^u?mount: /u, '').replace(`${folder}: `, '');
  return plain === ''
    ? `mount ended with ${exitCode}`
    : plain.replaceAll(/pass(?:word)?=[^,\s]*/gu, 'password=…');
}
