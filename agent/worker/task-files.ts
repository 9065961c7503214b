import { chmod, chown, mkdir, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RuntimeMount } from '../engine/engine.ts';
import type { FileReference } from '../../src/spec/service.ts';
import type { NameSettings } from '../../src/spec/settings.ts';
import type { TaskAssignment } from '../../src/wire/session.ts';
import { runCommand, tryCommand } from '../../src/util/command.ts';
import { hostnameOf } from './container.ts';

/** `f_type` of a tmpfs (statfs(2)). */
const tmpfsMagic = 0x01021994;
const filesBytesMax = '512m';

export interface FileContent {
  reference: FileReference;
  content: Buffer;
}

/** The small files that a task sees: its secrets, configs, and the three that name hosts. They live in memory only. */
export interface TaskFiles {
  /** Writes the task's files anew and gives the mounts that show them to it. */
  write(task: TaskAssignment, dnsServer: string | undefined, files: FileContent[]): Promise<RuntimeMount[]>;
  remove(taskId: string): Promise<void>;
  /** Ids of the tasks that have files here. */
  list(): Promise<string[]>;
  /** Takes away what `createTaskFiles` put up. */
  purge(): Promise<void>;
}

/**
 * Keeps task files under `directory` (0700), which becomes a tmpfs of its own unless it lies on one already, so that no
 * secret reaches a disk.
 */
export async function createTaskFiles(directory: string): Promise<TaskFiles> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
  if (!(await isTmpfs(directory))) {
    const options = `mode=0700,size=${filesBytesMax},nosuid,nodev`; // a config may be a script to run
    await runCommand('mount', ['-t', 'tmpfs', '-o', options, 'shoal-files', directory]);
  }
  return {
    write: (task, dnsServer, files) => writeTaskFiles(join(directory, task.id), task, dnsServer, files),
    remove: (taskId) => rm(join(directory, taskId), { recursive: true, force: true }),
    list: () => readdir(directory),
    purge: async () => {
      await tryCommand('umount', [directory]); // it says so when nothing is mounted there, which is as good
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function isTmpfs(directory: string): Promise<boolean> {
  return (await statfs(directory)).type === tmpfsMagic;
}

async function writeTaskFiles(
  folder: string,
  task: TaskAssignment,
  dnsServer: string | undefined,
  files: FileContent[],
): Promise<RuntimeMount[]> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { mode: 0o700 });
  const named = [
    { name: 'hostname', target: '/etc/hostname', text: `${hostnameOf(task)}\n` },
    { name: 'hosts', target: '/etc/hosts', text: hostsText(task, dnsServer) },
    {
      name: 'resolv.conf',
      target: '/etc/resolv.conf',
      text: await resolverFile(task, dnsServer),
    },
  ];
  const mounts: RuntimeMount[] = [];
  for (const { name, target, text } of named) {
    const source = join(folder, name);
    await writeFile(source, text, { mode: 0o644 });
    await chmod(source, 0o644);
    mounts.push({ source, target, type: 'bind', options: ['rbind', 'rprivate', 'rw'] });
  }
  for (const [index, { reference, content }] of files.entries()) {
    const source = join(folder, `file-${index}`);
    await writeFile(source, content, { mode: 0o600 });
    await chown(source, reference.uid, reference.gid);
    await chmod(source, reference.mode);
    mounts.push({ source, target: reference.target, type: 'bind', options: ['rbind', 'rprivate', 'ro'] });
  }
  return mounts;
}

/**
 * `/etc/hosts` as Docker writes it: the usual names, the container's own name on each of its addresses, and what the service
 * adds. `gateway` is the host's address on the task's first network.
 */
export function hostsText(task: TaskAssignment, gateway: string | undefined): string {
  const { names, settings } = task.template.container;
  const own = hostnameOf(task);
  const called = settings?.domainName === undefined ? own : `${own}.${settings.domainName} ${own}`;
  const extra = (names?.extraHosts ?? []).map(({ name, address }) => {
    if (address !== 'host-gateway') return `${address}\t${name}`;
    return gateway === undefined ? `# no network\t${name}` : `${gateway}\t${name}`;
  });
  const lines = [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::0\tip6-localnet',
    'ff00::0\tip6-mcastprefix',
    'ff02::1\tip6-allnodes',
    'ff02::2\tip6-allrouters',
    ...extra,
    ...task.attachments.map(({ address }) => `${address}\t${called}`),
  ];
  return `${lines.join('\n')}\n`;
}

/** In the network of the host the host's own resolvers are asked, unless the service names others. */
async function resolverFile(task: TaskAssignment, dnsServer: string | undefined): Promise<string> {
  const { names, settings } = task.template.container;
  if (settings?.network !== 'host' || names?.dnsServers) return resolverText(dnsServer, names);
  return await readFile('/etc/resolv.conf', 'utf8').catch(() => resolverText(undefined, names)); // a host may have none
}

/**
 * `/etc/resolv.conf`: the host's DNS server for the task's networks; without a network there is nobody to ask but the
 * servers that the service names. With networks those are asked by the host's server, which knows the cluster's names.
 */
export function resolverText(dnsServer: string | undefined, names: NameSettings = {}): string {
  const { dnsServers = [], dnsSearch = [], dnsOptions = [] } = names;
  const servers = dnsServer === undefined ? dnsServers : [dnsServer];
  if (servers.length === 0) return '# no network\n';
  const dots = dnsOptions.some((option) => option.startsWith('ndots:')) ? [] : ['ndots:0'];
  // a lone dot is how Docker writes that there shall be no search
  const search = dnsSearch.filter((domain) => domain !== '.');
  const lines = [
    ...servers.map((server) => `nameserver ${server}`),
    ...(search.length > 0 ? [`search ${search.join(' ')}`] : []),
    `options ${[...dots, ...dnsOptions].join(' ')}`,
  ];
  return `${lines.join('\n')}\n`;
}
