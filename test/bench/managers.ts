import { ShoalError } from '../../src/util/errors.ts';
import { leaderFaults, LeaderLossRig, type LeaderFault, type LeaderLoss } from '../harness/leader-loss.ts';
import { median, renderTable } from './statistics.ts';

const hosts = { 3: 5, 5: 7 } as const;
const replicas = 4;
/** Of a hundred rounds so many may be longer than what is called p99. */
const percentile = 0.99;

export interface ManagersResult {
  managers: number;
  rounds: LeaderLoss[];
}

/**
 * Rounds in which the manager that leads is lost while an application is used: how long until another one accepts a change, which
 * requests failed, and which containers and tasks are others than before. The ways of losing it take turns.
 */
export async function measureManagers(options: {
  rounds: number;
  managers: number;
  only?: string;
}): Promise<ManagersResult> {
  const { rounds, managers, only } = options;
  const chosen = leaderFaults.filter((fault) => only === undefined || fault === only);
  if (chosen.length === 0) {
    throw new ShoalError('invalid_argument', `No such fault. There are: ${leaderFaults.join(', ')}`);
  }
  if (managers !== 3 && managers !== 5) {
    throw new ShoalError('invalid_argument', 'Cannot lose one of so many managers: 3 or 5');
  }
  const note = (line: string) => void process.stderr.write(`${line}\n`);
  const rig = await LeaderLossRig.create({
    hosts: hosts[managers],
    managers,
    replicas,
    onStep: (step) => note(`${step} …`),
  });
  const result: ManagersResult = { managers, rounds: [] };
  try {
    for (let round = 0; round < rounds; round++) {
      const loss = await rig.lose(chosen[round % chosen.length]!);
      result.rounds.push(loss);
      const { fault, writtenMs, requests, failures, touched } = loss;
      note(
        `${round + 1}/${rounds} ${fault}: next change after ${Math.round(writtenMs)} ms, ${requests} requests`,
      );
      for (const line of [...failures, ...touched]) note(`  ${line}`);
    }
    return result;
  } finally {
    await rig.cluster.down();
  }
}

export function managersTable({ managers, rounds }: ManagersResult): string {
  const row = (name: string, some: LeaderLoss[]) => {
    const times = some.map(({ writtenMs }) => writtenMs).toSorted((left, right) => left - right);
    const at = times[Math.ceil(times.length * percentile) - 1] ?? Number.NaN;
    const sum = (count: (loss: LeaderLoss) => number) =>
      String(some.reduce((total, loss) => total + count(loss), 0));
    return [
      name,
      String(some.length),
      median(times).toFixed(0),
      at.toFixed(0),
      sum(({ requests }) => requests),
      sum(({ failures }) => failures.length),
      sum(({ touched }) => touched.length),
    ];
  };
  const of = (fault: LeaderFault) => rounds.filter((loss) => loss.fault === fault);
  return [
    `${managers} managers, the one that leads lost under load; the next change, asked of another one, in milliseconds.`,
    '',
    renderTable([
      ['the leader is', 'rounds', 'median', 'p99', 'requests', 'failed', 'touched'],
      ...leaderFaults.filter((fault) => of(fault).length > 0).map((fault) => row(fault, of(fault))),
      row('all', rounds),
    ]),
  ].join('\n');
}
