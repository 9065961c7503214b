import { chmod, chown, mkdir, readdir, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RuntimeMount } from '../engine/engine.ts';
import type { FileReference } from '../../src/spec/service.ts';
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
    { name: 'hosts', target: '/etc/hosts', text: hostsText(task) },
    { name: 'resolv.conf', target: '/etc/resolv.conf', text: resolverText(dnsServer) },
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

/** `/etc/hosts` as Docker writes it: the usual names, and the container's own name on each of its addresses. */
export function hostsText(task: TaskAssignment): string {
  const lines = [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::0\tip6-localnet',
    'ff00::0\tip6-mcastprefix',
    'ff02::1\tip6-allnodes',
    'ff02::2\tip6-allrouters',
    ...task.attachments.map(({ address }) => `${address}\t${hostnameOf(task)}`),
  ];
  return `${lines.join('\n')}\n`;
}

/** `/etc/resolv.conf`: the host's DNS server for the task's networks; without a network there is nobody to ask. */
export function resolverText(dnsServer: string | undefined): string {
  return dnsServer === undefined ? '# no network\n' : `nameserver ${dnsServer}\noptions ndots:0\n`;
}
