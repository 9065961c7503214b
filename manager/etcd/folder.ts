import { mkdir, readdir, readFile, rename, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { tryCommand } from '../../src/util/command.ts';
import { replaceDurably, syncFolder } from '../../src/util/durable.ts';

/** Kept so that etcd has room to go on when the disk is full: then it is removed. */
export const reserveBytes = 64 * 1024 * 1024;
/** The reserve is made again once the disk has this much room. */
const roomBytes = 4 * reserveBytes;

/** Which member this folder's data is of. */
export interface MemberNote {
  name: string;
  address: string;
  ports: { client: number; peer: number };
  /** As another member has added it; absent for the first member. */
  memberId?: string;
  /** It has answered once, so it has data that others count on. */
  isStarted: boolean;
}

/** A member's folder (mode 0700): its data, what is known of it, a lock, and a reserve of space. */
export class EtcdFolder {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async open(path: string): Promise<EtcdFolder> {
    await mkdir(path, { recursive: true, mode: 0o700 });
    return new EtcdFolder(path);
  }

  get data(): string {
    return join(this.path, 'data');
  }

  get lock(): string {
    return join(this.path, 'lock');
  }

  /** Whether etcd would go on from what is there. */
  async hasData(): Promise<boolean> {
    const names = await readdir(join(this.data, 'member', 'wal')).catch(missingIsEmpty);
    return names.some((name) => name.endsWith('.wal'));
  }

  async note(): Promise<MemberNote | undefined> {
    try {
      return JSON.parse(await readFile(join(this.path, 'member.json'), 'utf8')) as MemberNote;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  async writeNote(note: MemberNote): Promise<void> {
    await replaceDurably(join(this.path, 'member.json'), `${JSON.stringify(note, null, 2)}\n`);
  }

  /** Makes place for another member's data. What was there last is kept in `aside`. */
  async setAside(): Promise<void> {
    const aside = join(this.path, 'aside');
    const names = await readdir(this.data).catch(missingIsEmpty);
    if (names.length > 0) {
      await rm(aside, { recursive: true, force: true });
      await rename(this.data, aside);
    }
    await rm(join(this.path, 'member.json'), { force: true });
    await syncFolder(this.path);
  }

  /** Makes the reserve where it is missing and the disk has room. Throws what the file system says. */
  async keepReserve(): Promise<void> {
    if ((await readdir(this.path)).includes('reserve')) return;
    const { bavail, bsize } = await statfs(this.path);
    if (bavail * bsize < roomBytes) return;
    const path = join(this.path, 'reserve.new');
    const made = await tryCommand('fallocate', ['--posix', '--length', String(reserveBytes), path]);
    if (made.exitCode === 0) await rename(path, join(this.path, 'reserve'));
    else await rm(path, { force: true });
  }

  /** Gives the reserve's room to etcd; tells whether there was any. */
  async freeReserve(): Promise<boolean> {
    const path = join(this.path, 'reserve');
    return await rm(path).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return false;
        throw error;
      },
    );
  }
}

function missingIsEmpty(error: NodeJS.ErrnoException): string[] {
  if (error.code !== 'ENOENT') throw error;
  return [];
}
