import module from 'node:module';
import { largeFile } from './large-file.ts';
import { median } from './statistics.ts';

/** Loads a made-up file of so many services five times and prints how long that took, as JSON. */

module.enableCompileCache(); // as the command line does
const { loadApplication } = await import('../../src/compose/load.ts');

const services = Number(process.argv[2]);
const text = largeFile(services);
const took: number[] = [];
let firstCpuMs = 0;
for (let round = 0; round < 5; round++) {
  const cpu = process.cpuUsage();
  const from = performance.now();
  await loadApplication({ files: [{ content: text }], environment: {}, projectDirectory: '/nowhere' });
  took.push(performance.now() - from);
  const { user, system } = process.cpuUsage(cpu);
  if (round === 0) firstCpuMs = (user + system) / 1000;
}
const [firstMs, ...later] = took;
process.stdout.write(
  JSON.stringify({ services, characters: text.length, firstMs, firstCpuMs, laterMs: median(later) }),
);
