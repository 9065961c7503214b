import type { Engine } from '../engine/engine.ts';
import type { HostNetwork } from '../network/network.ts';
import type { TaskLogs } from '../worker/parts.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { DaemonSettings } from './daemon.ts';

/** What a daemon is made of beside its own logic. */
export interface DaemonParts {
  /** Where the engine is, or will be. */
  engineAddress(): string;
  /** Makes sure that there is an engine and connects to it. May be called again after it threw. */
  startEngine(): Promise<Engine>;
  createNetwork(hostAddress: string): HostNetwork;
  createLogs(): Promise<TaskLogs>;
  close(): Promise<void>;
}

export function productionParts(settings: DaemonSettings): DaemonParts {
  throw new ShoalError('not_supported', `Cannot run tasks yet in ${settings.stateDirectory}`);
}
