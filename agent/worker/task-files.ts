import { chmod, chown, mkdir, readdir, readFile, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { JoinedContainers, RuntimeMount } from '../engine/engine.ts';
import type { FileReference } from '../../src/spec/service.ts';
import type { NameSettings } from '../../src/spec/settings.ts';
import type { AssignedTask } from '../../src/wire/session.ts';
import { runCommand, tryCommand } from '../../src/util/command.ts';
import { hostnameOf } from './container.ts';

/** `f_type` of a tmpfs (statfs(2)). */
const tmpfsMagic = 0x01021994;
const filesBytesMax = '512m';
const sharedMemoryName = 'shm';
/** What a container has that says nothing, as with Docker. */
const sharedMemoryBytesDefault = 64 * 1024 * 1024;

export interface FileContent {
  reference: FileReference;
  content: Buffer;
}

/** The small files that a task sees: its secrets, configs, and the three that name hosts. They live in memory only. */
export interface TaskFiles {
  /**
   * Writes the task's files anew and gives the mounts that show them to it. A task that joins another's network has that
   * one's files that name hosts, and one that joins another's IPC namespace its shared memory; `join` has their ids.
   */
  write(
    task: AssignedTask,
    dnsServer: string | undefined,
    files: FileContent[],
    join: JoinedContainers,
  ): Promise<RuntimeMount[]>;
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
    write: async (task, dnsServer, files, joined) => {
      const folderOf = (taskId: string) => join(directory, taskId);
      await removeFolder(folderOf(task.id));
      await mkdir(folderOf(task.id), { mode: 0o700 });
      return [
        ...(await hostFiles(task, dnsServer, folderOf, joined.network)),
        ...(await sharedMemory(task, folderOf, joined.ipc)),
        ...(await contentFiles(folderOf(task.id), files)),
      ];
    },
    remove: (taskId) => removeFolder(join(directory, taskId)),
    list: () => readdir(directory),
    purge: async () => {
      for (const taskId of await readdir(directory)) await removeFolder(join(directory, taskId));
      await tryCommand('umount', [directory]); // it says so when nothing is mounted there, which is as good
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function isTmpfs(directory: string): Promise<boolean> {
  return (await statfs(directory)).type === tmpfsMagic;
}

async function removeFolder(folder: string): Promise<void> {
  const memory = join(folder, sharedMemoryName);
  // Containers that have it keep it.
  if (await isMountpoint(memory)) await runCommand('umount', ['--lazy', memory]);
  await rm(folder, { recursive: true, force: true });
}

/** Whether another file system begins there; false when there is nothing. */
async function isMountpoint(path: string): Promise<boolean> {
  const [here, above] = await Promise.all(
    [path, dirname(path)].map((one) => stat(one).catch(() => undefined)),
  );
  return here !== undefined && above !== undefined && here.dev !== above.dev;
}

/** The three files that name hosts: of its own, or of the task whose network it joins. */
async function hostFiles(
  task: AssignedTask,
  dnsServer: string | undefined,
  folderOf: (taskId: string) => string,
  owner: string | undefined,
): Promise<RuntimeMount[]> {
  const folder = folderOf(owner ?? task.id);
  const names = ['hostname', 'hosts', 'resolv.conf'];
  if (owner === undefined) {
    const texts = [`${hostnameOf(task)}\n`, hostsText(task, dnsServer), await resolverFile(task, dnsServer)];
    for (const [index, name] of names.entries()) {
      const source = join(folder, name);
      await writeFile(source, texts[index]!, { mode: 0o644 });
      await chmod(source, 0o644);
    }
  }
  return names.map((name) => bind(join(folder, name), `/etc/${name}`, ['rw']));
}

/** Shared memory that other tasks may have as well lies on the host; any other is the container's own affair. */
async function sharedMemory(
  task: AssignedTask,
  folderOf: (taskId: string) => string,
  owner: string | undefined,
): Promise<RuntimeMount[]> {
  const { settings } = task.template.container;
  if (owner === undefined && settings?.ipc !== 'shareable') return [];
  const source = join(folderOf(owner ?? task.id), sharedMemoryName);
  if (owner === undefined) {
    await mkdir(source);
    const size = settings?.sharedMemoryBytes ?? sharedMemoryBytesDefault;
    const options = `nosuid,nodev,noexec,mode=1777,size=${size}`;
    await runCommand('mount', ['-t', 'tmpfs', '-o', options, 'shm', source]);
  }
  return [bind(source, '/dev/shm', ['rw', 'nosuid', 'nodev', 'noexec'])];
}

async function contentFiles(folder: string, files: FileContent[]): Promise<RuntimeMount[]> {
  const mounts: RuntimeMount[] = [];
  for (const [index, { reference, content }] of files.entries()) {
    const source = join(folder, `file-${index}`);
    await writeFile(source, content, { mode: 0o600 });
    await chown(source, reference.uid, reference.gid);
    await chmod(source, reference.mode);
    mounts.push(bind(source, reference.target, ['ro']));
  }
  return mounts;
}

function bind(source: string, target: string, options: string[]): RuntimeMount {
  return { source, target, type: 'bind', options: ['rbind', 'rprivate', ...options] };
}

/**
 * `/etc/hosts` as Docker writes it: the usual names, the container's own name on each of its addresses, and what the service
 * adds. `gateway` is the host's address on the task's first network.
 */
export function hostsText(task: AssignedTask, gateway: string | undefined): string {
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
async function resolverFile(task: AssignedTask, dnsServer: string | undefined): Promise<string> {
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
