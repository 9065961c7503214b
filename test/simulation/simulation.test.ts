import { expect, test } from 'vitest';
import { simulate } from './simulation.ts';

/**
 * `SIMULATION_SEED=N` replays one seed; `SIMULATION_SEEDS=N` runs that many, from `SIMULATION_FIRST` (1) on.
 */
const only = process.env['SIMULATION_SEED'];
const count = Number(process.env['SIMULATION_SEEDS'] ?? 20);
const first = Number(process.env['SIMULATION_FIRST'] ?? 1);
const seeds =
  only === undefined ? Array.from({ length: count }, (_, index) => first + index) : [Number(only)];
/** Far more than a seed takes. */
const timeoutMsPerSeed = 10_000;

test(
  'whatever fails, nothing unsafe happens, and once nothing fails the cluster becomes what was asked for',
  async () => {
    for (const seed of seeds) await simulate(seed);
  },
  seeds.length * timeoutMsPerSeed,
);

test(
  'the same seed does exactly the same again',
  async () => {
    const seed = seeds[0]!;
    expect(await simulate(seed)).toEqual(await simulate(seed));
  },
  4 * timeoutMsPerSeed,
);
