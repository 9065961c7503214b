import { readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HostConditions } from '../conditions/conditions.ts';
import { DiskWatch } from '../disk/watch.ts';
import { createContainerdEngine } from '../engine/containerd.ts';
import type { Engine } from '../engine/engine.ts';
import { ensureContainerd, presenceAt, type ContainerdProcess } from '../engine/process.ts';
import { fileLogs } from '../logs/files.ts';
import { createHostNetwork } from '../network/host-network.ts';
import type { HostNetwork } from '../network/network.ts';
import type { TaskLogs } from '../worker/parts.ts';
import { defaultPaths } from '../../src/spec/defaults.ts';
import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { DaemonOptions } from './options.ts';

/** Everything of ours in containerd lives in this namespace of it. */
const engineNamespace = 'shoal';
const defaultCgroupParent = '/shoal';

/** `root` of a machine's own containerd, unless its configuration says otherwise. */
const machineContent = '/var/lib/containerd';

/** What a daemon is made of beside its own logic. */
export interface DaemonParts {
  /** What is wrong with this host; the other parts report there. */
  conditions: HostConditions;
  /** Where the engine is, or will be. */
  engineAddress(): string;
  /** Makes sure that there is an engine and connects to it. May be called again after it threw. */
  startEngine(): Promise<Engine>;
  /** `managerPorts`: where managers listen. */
  createNetwork(hostAddress: string, managerPorts: number[]): HostNetwork;
  /** Watches over the disks that state, logs and images are on. */
  createDiskWatch(): DiskWatch;
  /** `onTrouble` is called when output could not be written. */
  createLogs(onTrouble: (error: unknown) => void): TaskLogs;
  /** Stops watching over the engine, which lives on. */
  close(): Promise<void>;
}

/** What the real parts are made from. */
export interface PartSettings extends DaemonOptions {
  clock: Clock;
  log: Logger;
}

/** The real parts: containerd, the kernel's network, logs in files. */
export function productionParts(settings: PartSettings): DaemonParts {
  const { stateDirectory, runDirectory, dataPort, clock, log } = settings;
  const ownAddress = join(runDirectory, 'containerd.sock');
  let address = settings.engine ?? defaultPaths.engine;
  let containerd: ContainerdProcess | undefined;
  const contentOf = (socket: string) =>
    socket === ownAddress ? join(stateDirectory, 'containerd') : machineContent;
  const conditions = new HostConditions(log);
  const connectTo = (socket: string) =>
    createContainerdEngine({
      address: socket,
      namespace: engineNamespace,
      // a machine's own containerd has its socket there by default
      runtimeDirectory: socket === ownAddress ? join(runDirectory, 'containerd') : dirname(socket),
      contentDirectory: contentOf(socket),
      stateDirectory: join(runDirectory, 'engine'),
      cgroupParent: settings.cgroupParent ?? defaultCgroupParent,
      insecureRegistries: settings.insecureRegistries,
      conditions,
      clock,
      log,
    });
  return {
    conditions,
    createDiskWatch: () =>
      new DiskWatch({
        disks: [
          { name: 'state', path: stateDirectory },
          { name: 'images', path: contentOf(address) },
          { name: 'run', path: runDirectory },
        ],
        conditions,
        clock,
        log,
      }),
    engineAddress: () => address,
    startEngine: async () => {
      address = settings.engine ?? (await chooseEngine(stateDirectory, ownAddress, clock));
      if (address === ownAddress) {
        containerd ??= await ensureContainerd({ address, stateDirectory, runDirectory, clock, log });
      }
      const engine = connectTo(address);
      try {
        await engine.info();
        return engine;
      } catch (error) {
        await engine.close();
        throw error;
      }
    },
    createNetwork: (hostAddress, managerPorts) =>
      createHostNetwork({
        hostAddress,
        managerPorts,
        stateDirectory: join(stateDirectory, 'network'),
        clock,
        log,
        conditions,
        vxlanPort: dataPort,
      }),
    createLogs: (onTrouble) => fileLogs({ directory: join(stateDirectory, 'logs'), clock, log, onTrouble }),
    close: async () => await containerd?.stop(),
  };
}

/**
 * The machine's containerd when it answers, else one of our own. What was chosen once is kept, for a host's containers
 * are in the one they were made in.
 */
async function chooseEngine(stateDirectory: string, ownAddress: string, clock: Clock): Promise<string> {
  const path = join(stateDirectory, 'engine');
  const kept = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  if (kept !== undefined) return kept.trim() === 'own' ? ownAddress : kept.trim();
  const presence = await presenceAt(defaultPaths.engine, clock);
  if (presence === 'slow') {
    throw new ShoalError(
      'unavailable',
      `Cannot choose an engine: containerd at ${defaultPaths.engine} does not answer`,
      {
        next: 'Start it again, or name another socket with --engine.',
      },
    );
  }
  const isThere = presence === 'answers';
  await writeFile(`${path}.new`, isThere ? defaultPaths.engine : 'own', { mode: 0o600, flush: true });
  await rename(`${path}.new`, path);
  return isThere ? defaultPaths.engine : ownAddress;
}
