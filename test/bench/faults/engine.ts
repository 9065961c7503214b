import {
  EngineFaultRig,
  engineFaults,
  type EngineFault,
  type EngineRound,
} from '../../harness/faults-engine.ts';
import { median, secondsOf } from '../statistics.ts';
import { restartedIn, type FaultKind } from './kind.ts';

export const engine: FaultKind<EngineFault, EngineRound> = {
  faults: engineFaults,
  create: ({ random, replicas, onStep }) => EngineFaultRig.create(random, replicas, onStep),
  rows: (rounds) => [
    ['', 'rounds', 'reached', 'told', 'restarted', 'refused', 'median s', 'longest s', 'up s', 'shims MiB'],
    ...engineFaults.flatMap((fault) => {
      const some = rounds.filter((round) => round.fault === fault);
      if (some.length === 0) return [];
      const reached = some.filter(({ failure }) => failure === undefined);
      const isStop = fault === 'shim' || fault === 'containerd';
      return [
        [
          fault,
          String(some.length),
          String(reached.length),
          isStop ? String(some.filter(({ told }) => told).length) : '',
          restartedIn(some),
          String(some.reduce((sum, { refused = 0 }) => sum + refused, 0)),
          ...secondsOf(reached.map(({ tookMs }) => tookMs)),
          ...crowdCells(reached),
        ],
      ];
    }),
  ],
};

/** Of rounds that scale: the way up, and what the shims take for each container at the top. */
function crowdCells(rounds: EngineRound[]): string[] {
  const ups = rounds.flatMap(({ upMs }) => upMs ?? []);
  const sizes = rounds.flatMap(({ shimBytes }) => shimBytes ?? []);
  if (ups.length === 0) return [];
  return [secondsOf(ups)[0], (median(sizes) / 1024 ** 2).toFixed(2)];
}
