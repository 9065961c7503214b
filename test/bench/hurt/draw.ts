import { unreachable } from '../../../src/util/errors.ts';
import { seededRandom, type Random } from '../../../src/util/random.ts';
import {
  isStranded,
  lateFaults,
  refusedFaults,
  type Change,
  type ScaledKey,
  type ServiceKey,
  type State,
} from './model.ts';

/** Chance of each kind, in parts of their sum. */
const weights = {
  refused: 20,
  late: 22,
  good: 16,
  ports: 6,
  replicas: 6,
  scale: 12,
  rollback: 6,
  restart: 5,
  node: 16,
  overfill: 5,
};
/** How often both clients change something at once. */
const pairShare = 0.7;
/** How often a bad version of `web` has other ports. */
const otherPortsShare = 0.4;
/** The second client begins this much later than the first, at most. */
const laterMsMax = 3_000;
const replicasMin = 2;
const replicasMax = 5;

export interface Draw {
  /** One of each client. */
  changes: Change[];
  /** When the second client begins after the first. */
  laterMs: number;
}

/**
 * What a round does, from the seed, its number and the state before alone, so that one round can be run by itself. `lossy`: the
 * nodes that may be lost.
 */
export function drawRound(seed: number, round: number, state: State, lossy: readonly string[]): Draw {
  const random = seededRandom(seed * 1_000 + round);
  random.next(); // the first number of neighbouring seeds is much the same
  const isPair = random.next() < pairShare;
  const laterMs = Math.floor(random.next() * laterMsMax);
  const first = drawChange(random, state, `${round}a`, lossy);
  if (!isPair || first.kind === 'overfill') return { changes: [first], laterMs: 0 };
  for (;;) {
    const second = drawChange(random, state, `${round}b`, lossy);
    // one node at a time, as two of three away is another test; and what has no room is judged by itself
    if (second.kind !== 'overfill' && !('node' in first && 'node' in second))
      return { changes: [first, second], laterMs };
  }
}

function drawChange(random: Random, state: State, version: string, lossy: readonly string[]): Change {
  const kind = pickWeighted(random, weights);
  const service = pickService(random, state);
  const scaled = pick(random, ['web', 'web', 'api'] as const satisfies ScaledKey[]);
  const replicas = replicasMin + Math.floor(random.next() * (replicasMax - replicasMin + 1));
  switch (kind) {
    case 'refused':
      return { kind: 'up', service: 'web', version, fault: pick(random, refusedFaults) };
    case 'late':
      return lateUp(random, service, version);
    case 'good':
      return { kind: 'up', service, version };
    case 'ports':
      return { kind: 'up', service: 'web', togglesPort: true };
    case 'replicas':
      return { kind: 'up', service: scaled, version, replicas };
    case 'scale':
      return { kind: 'scale', service: scaled, replicas };
    case 'rollback':
    case 'restart':
      return { kind, service };
    case 'overfill':
      return { kind, service: 'web', version, replicas: replicasMax };
    case 'node':
      return drawNode(random, state, lossy);
    default:
      return unreachable(kind);
  }
}

/** A bad version, some of which would have had other ports as well. */
function lateUp(random: Random, service: ServiceKey, version: string): Change {
  const fault = pick(random, lateFaults);
  const isOther = random.next() < otherPortsShare;
  return { kind: 'up', service, version, fault, ...(isOther && service === 'web' && { togglesPort: true }) };
}

function drawNode(random: Random, state: State, lossy: readonly string[]): Change {
  const isLoss = random.next() < 0.5;
  const lost = pick(random, lossy);
  const drained = pick(random, [state.home, ...lossy]);
  if (state.drained !== undefined) return { kind: 'activate', node: state.drained };
  return isLoss ? { kind: 'lose', node: lost } : { kind: 'drain', node: drained };
}

/** A store that waits for its node is left alone: what becomes of its changes shows only once the node is back. */
function pickService(random: Random, state: State): ServiceKey {
  const service = pick(random, ['web', 'web', 'web', 'api', 'api', 'store'] as const satisfies ServiceKey[]);
  return service === 'store' && isStranded(state) ? 'api' : service;
}

function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[Math.floor(random.next() * items.length)]!;
}

function pickWeighted<Name extends string>(random: Random, parts: Record<Name, number>): Name {
  const entries = Object.entries(parts) as [Name, number][];
  let left = random.next() * entries.reduce((sum, [, part]) => sum + part, 0);
  for (const [name, part] of entries) {
    left -= part;
    if (left < 0) return name;
  }
  return entries.at(-1)![0];
}
