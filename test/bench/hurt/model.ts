import { isDeepStrictEqual } from 'node:util';
import { unreachable } from '../../../src/util/errors.ts';

/** The project that is changed under load, as the bench knows it: what its services are, and what may be asked of them. */

export const application = 'hurt';
export const serviceKeys = ['web', 'api', 'store'] as const;
export type ServiceKey = (typeof serviceKeys)[number];
/** Those that have replicas: the store has one volume, and so one task. */
export type ScaledKey = Exclude<ServiceKey, 'store'>;

/** What is refused because it can be told from what is stored. */
export const refusedFaults = ['port', 'constraint', 'reservation', 'secret'] as const;
/** What only shows when tasks are made: the update fails and is rolled back. */
export const lateFaults = ['image', 'health', 'crash', 'memory'] as const;
export type LateFault = (typeof lateFaults)[number];
export type Fault = (typeof refusedFaults)[number] | LateFault;

export function isLate(fault: Fault | undefined): fault is LateFault {
  return lateFaults.some((late) => late === fault);
}

/** One version of a service, as far as it can be seen from outside. */
export interface Variant {
  /** The variable VERSION in its containers. */
  version: string;
  /** A second published port (of web alone). */
  secondPort: boolean;
}

/** What one client does. */
export type Change =
  /** `shoal up` with a file that differs from the one before in one service. */
  | {
      kind: 'up';
      service: ServiceKey;
      /** Of the new template; absent: only what follows changes. */
      version?: string;
      fault?: Fault;
      /** Written into the file, which says nothing of replicas otherwise. */
      replicas?: number;
      /** Opens the second port, or closes it. */
      togglesPort?: true;
    }
  /**
   * `shoal up` with a version of `web` of which a node has room for one task and the cluster not for all; then `shoal rollback`. That it
   * does not fit shows only when tasks are placed.
   */
  | { kind: 'overfill'; service: 'web'; version: string; replicas: number }
  | { kind: 'scale'; service: ScaledKey; replicas: number }
  | { kind: 'rollback' | 'restart'; service: ServiceKey }
  | { kind: 'drain' | 'activate' | 'lose'; node: string };

export interface ServiceState extends Variant {
  replicas: number;
  /** What a rollback returns to; absent: to nothing. */
  target?: Variant;
}

/** All is as asked: every version is completed. */
export interface State {
  services: Record<ServiceKey, ServiceState>;
  /** The node that is drained. */
  drained?: string;
  /** The node that has the store's volume. */
  home: string;
}

export function variantOf({ version, secondPort }: Variant): Variant {
  return { version, secondPort };
}

export function isSameVariant(left: Variant, right: Variant): boolean {
  return isDeepStrictEqual(variantOf(left), variantOf(right));
}

/** Whether the store waits for its node. */
export function isStranded({ drained, home }: Pick<State, 'drained' | 'home'>): boolean {
  return drained === home;
}

/** In one line. */
export function wordsOf(change: Change): string {
  switch (change.kind) {
    case 'up': {
      const { service, version, fault, replicas, togglesPort } = change;
      const parts = [
        version === undefined ? '' : `version ${version}`,
        fault === undefined ? '' : `bad ${fault}`,
        replicas === undefined ? '' : `replicas ${replicas}`,
        togglesPort === undefined ? '' : 'other ports',
      ];
      return `up ${service}: ${parts.filter(Boolean).join(', ')}`;
    }
    case 'overfill':
      return `up web: version ${change.version}, replicas ${change.replicas} that have no room, and rollback`;
    case 'scale':
      return `scale ${change.service}=${change.replicas}`;
    case 'rollback':
    case 'restart':
      return `${change.kind} ${change.service}`;
    case 'drain':
    case 'activate':
    case 'lose':
      return `${change.kind} ${change.node}`;
    default:
      return unreachable(change);
  }
}

/** By which the table counts. */
export function rowOf(change: Change): string {
  if (change.kind === 'overfill') return 'up, no room, and rollback';
  if (change.kind !== 'up') return change.kind;
  if (change.fault !== undefined) return `up, bad ${change.fault}`;
  if (change.replicas !== undefined) return 'up, replicas';
  return change.togglesPort === undefined ? 'up, good version' : 'up, other ports';
}
