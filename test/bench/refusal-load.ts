import module from 'node:module';
import { hostileRows } from '../../src/compose/hostile-rows.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { median } from './statistics.ts';

/** Has the hostile file of this number refused five times and prints how long that took, as JSON. */

module.enableCompileCache(); // as the command line does
const { loadApplication } = await import('../../src/compose/load.ts');

const [name, content] = hostileRows[Number(process.argv[2])]!;
const took: number[] = [];
const residentBytes = process.memoryUsage.rss();
for (let round = 0; round < 5; round++) {
  const from = performance.now();
  try {
    await loadApplication({ files: [{ content }], environment: {}, projectDirectory: '/nowhere' });
    throw new Error(`it was not refused: ${name}`);
  } catch (error) {
    if (!(error instanceof ShoalError) || !['invalid_file', 'not_supported'].includes(error.code))
      throw error;
  }
  took.push(performance.now() - from);
}
const [firstMs, ...later] = took;
const grownBytes = process.resourceUsage().maxRSS * 1024 - residentBytes;
process.stdout.write(
  JSON.stringify({ name, characters: content.length, firstMs, laterMs: median(later), grownBytes }),
);
