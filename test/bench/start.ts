import { systemClock } from '../../src/util/clock.ts';
import { runCommand } from '../../src/util/command.ts';
import { shoalCommand } from '../harness/cluster.ts';
import { median, renderTable } from './statistics.ts';

export interface StartResult {
  /** Milliseconds of the whole command, the median of the rounds. */
  versionMs: number;
  helpMs: number;
  /** Node alone, doing nothing: the floor. */
  nodeMs: number;
}

/** Starts the command line again and again. */
export async function measureStart(rounds: number): Promise<StartResult> {
  const time = async (command: [string, ...string[]]) => {
    const took: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const from = performance.now();
      await runCommand(command[0], command.slice(1));
      took.push(performance.now() - from);
      await systemClock.sleep(10);
    }
    return median(took);
  };
  return {
    versionMs: await time(shoalCommand(['version'])),
    helpMs: await time(shoalCommand(['up', '--help'])),
    nodeMs: await time([process.execPath, '-e', '0']),
  };
}

export function startTable({ versionMs, helpMs, nodeMs }: StartResult): string {
  const row = (name: string, ms: number) => [name, ms.toFixed(0), (ms / nodeMs).toFixed(1)];
  return renderTable([
    ['', 'ms', '× node'],
    row('shoal version', versionMs),
    row('shoal up --help', helpMs),
    row('node, doing nothing', nodeMs),
  ]);
}
