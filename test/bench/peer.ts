import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '../../src/util/command.ts';
import { shoalCommand } from '../harness/cluster.ts';
import { largeFile } from './large-file.ts';
import { median, renderTable } from './statistics.ts';

/** `shoal config --quiet` beside `docker compose config --quiet`: whole commands, one after the other in each round. */
export interface PeerResult {
  services: number;
  /** Milliseconds from the start of the command to its end, medians of the rounds. */
  shoalMs: number;
  peerMs: number;
}

/** With more services docker compose takes minutes. */
const sizes = [10, 100, 500, 1000];

/** Measures how long both take to check files of several sizes. `binary` is the program of docker compose (version 2). */
export async function measurePeer(rounds: number, binary: string): Promise<PeerResult[]> {
  const results: PeerResult[] = [];
  const folder = await mkdtemp(join(tmpdir(), 'shoal-peer-'));
  try {
    for (const services of sizes) {
      const file = join(folder, `${services}.yaml`);
      await writeFile(file, largeFile(services));
      const time = async ([program, ...words]: [string, ...string[]]) => {
        const from = performance.now();
        await runCommand(program, words, { timeoutMs: 120_000 });
        return performance.now() - from;
      };
      const took = { shoal: [] as number[], peer: [] as number[] };
      for (let round = 0; round < rounds; round++) {
        took.shoal.push(await time(shoalCommand(['config', '--quiet', '-f', file])));
        took.peer.push(await time([binary, '-f', file, 'config', '--quiet']));
      }
      results.push({ services, shoalMs: median(took.shoal), peerMs: median(took.peer) });
    }
  } finally {
    await rm(folder, { recursive: true });
  }
  return results;
}

export function peerTable(results: PeerResult[]): string {
  const rows = results.map(({ services, shoalMs, peerMs }) => [
    String(services),
    shoalMs.toFixed(0),
    peerMs.toFixed(0),
    (shoalMs / peerMs).toFixed(2),
  ]);
  return renderTable([['services', 'shoal ms', 'docker compose ms', 'ratio'], ...rows]);
}
