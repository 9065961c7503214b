import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { seededRandom, systemRandom } from '../../src/util/random.ts';
import { FaultRig, parts } from '../harness/faults.ts';

/**
 * Parts of hosts are killed (SIGKILL) in the middle of an `up`, a scale and an update. The cluster must reach what was
 * asked all the same, with nothing left over, and no healthy container may be restarted.
 *
 * `SHOAL_FAULT_ROUNDS` rounds for each part (default 1); `SHOAL_FAULT_SEED` replays the moments and hosts of a run.
 */
const rounds = Number(process.env['SHOAL_FAULT_ROUNDS'] ?? 1);
const seed = Number(process.env['SHOAL_FAULT_SEED'] ?? Math.floor(systemRandom.next() * 1e9));
const roundLimitMs = 240_000;

let rig: FaultRig;

beforeAll(async () => {
  process.stderr.write(`SHOAL_FAULT_SEED=${seed}\n`);
  rig = await FaultRig.create(seededRandom(seed));
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(await rig.cluster.troubles());
});

afterAll(async () => {
  expect(await rig?.down()).toEqual([]);
  expect(await rig?.cluster.leftovers()).toEqual([]);
});

for (const part of parts) {
  for (let number = 1; number <= rounds; number++) {
    test(
      `a killed ${part} keeps the cluster from nothing that was asked of it (round ${number})`,
      async () => {
        for (const fault of await rig.round(part)) {
          const context = `${fault.operation}, host ${fault.host}, after ${fault.atMs} ms`;
          const { failure, restarted, leftovers } = fault;
          expect({ failure, restarted, leftovers }, context).toEqual({
            failure: undefined,
            restarted: [],
            leftovers: [],
          });
        }
      },
      roundLimitMs,
    );
  }
}
