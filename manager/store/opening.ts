import { access, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { createClusterStore, type Backend, type ClusterStore, type MoveTarget } from './cluster-store.ts';
import { readPlace, writePlace, type Place } from './place.ts';
import type { Store } from './store.ts';

export type EtcdPlace = Extract<Place, { backend: 'etcd' }>;

/** In the manager's folder: the embedded store, the same once the store has moved to etcd, and the folder of the own member. */
export const embeddedFile = 'store.sqlite';
const asideFile = 'store.sqlite.before-etcd';
export const etcdFolder = 'etcd';
/** SQLite's log stands beside its file, with the same name before it. */
const suffixes = ['', '-wal'];

export interface OpeningParts {
  clock: Clock;
  log: Logger;
  /** The path is of a file in the manager's folder. */
  openEmbedded: (path: string) => Promise<Store>;
  openEtcd: (place: EtcdPlace) => Promise<Store>;
}

/**
 * Opens the store that the manager's folder names, after what an interrupted move has left is gone. Throws what `readPlace` and the
 * opening of the store throw.
 */
export async function openClusterStore(folder: string, parts: OpeningParts): Promise<ClusterStore> {
  const { clock, log, openEmbedded, openEtcd } = parts;
  const place = await readPlace(folder);
  const tidy = (backend: Backend) =>
    tidyFolder(folder, backend).catch((error: unknown) => {
      // On a disk that refuses, the store is read all the same.
      log.warn('what a move of the store left is still there', { folder, error: messageOf(error) });
    });
  await tidy(place.backend);
  const store =
    place.backend === 'etcd' ? await openEtcd(place) : await openEmbedded(join(folder, embeddedFile));
  // etcd's own folder is put aside by whoever stops the member.
  const retired = (left: Backend) => (left === 'embedded' ? tidy('etcd') : Promise.resolve());
  return createClusterStore(store, place.backend, { clock, log, retired });
}

/**
 * With the embedded store, a folder of etcd is a copy that was never finished: it goes. With etcd, the embedded store is put
 * aside, once; another one is a copy on the way back that was never finished, and goes.
 */
async function tidyFolder(folder: string, backend: Backend): Promise<void> {
  if (backend === 'embedded') return await rm(join(folder, etcdFolder), { recursive: true, force: true });
  if (await putAside(folder)) return;
  await removeFile(join(folder, embeddedFile));
}

/** Gives whether there was something to put aside, and nothing there yet. */
async function putAside(folder: string): Promise<boolean> {
  const [from, to] = [join(folder, embeddedFile), join(folder, asideFile)];
  if (await exists(to)) return false;
  // Its log first: once the file itself has the other name, all is done.
  for (const suffix of suffixes.toReversed()) {
    if (await exists(`${from}${suffix}`)) await rename(`${from}${suffix}`, `${to}${suffix}`);
  }
  return true;
}

async function removeFile(path: string): Promise<void> {
  for (const suffix of suffixes) await rm(`${path}${suffix}`, { force: true });
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** To etcd: `open` opens the member of this manager, which begins empty. */
export function etcdTarget(folder: string, place: EtcdPlace, open: () => Promise<Store>): MoveTarget {
  return {
    backend: 'etcd',
    open: async () => {
      // Of a move before this one: the store of now is put aside in its place.
      await removeFile(join(folder, asideFile));
      return await open();
    },
    settled: () => writePlace(folder, place),
  };
}

/** Back from etcd, when this manager has the only member. */
export function embeddedTarget(folder: string, openEmbedded: (path: string) => Promise<Store>): MoveTarget {
  return {
    backend: 'embedded',
    open: async () => {
      await removeFile(join(folder, embeddedFile));
      return await openEmbedded(join(folder, embeddedFile));
    },
    settled: () => writePlace(folder, { backend: 'embedded' }),
  };
}
