import { createContainerdEngine } from '../../agent/engine/containerd.ts';
import type { ContainerCreate } from '../../agent/engine/engine.ts';
import { dirname, join } from 'node:path';
import { systemClock } from '../../src/util/clock.ts';
import { runCommand } from '../../src/util/command.ts';
import { silentLogger } from '../../src/util/log.ts';
import { Limiter } from '../../src/util/queue.ts';

/**
 * The floor under every start and stop: the engine alone, each container with a network namespace and a veth, and nothing
 * that decides, records or reports. Runs inside a test host and prints what it took as JSON:
 *
 *     node floor.ts SOCKET STATE_FOLDER CGROUP_PARENT REGISTRY IMAGE COUNT
 */
export interface Floor {
  startMs: number;
  removeMs: number;
}

const atOnce = 4;
const signalKill = 9;
const bridge = 'floor';

const [address = '', stateDirectory = '', cgroupParent = '', registry = '', reference = '', count = ''] =
  process.argv.slice(2);

const ip = async (...commands: string[]) => {
  await runCommand('ip', ['-batch', '-'], { input: commands.join('\n') });
};

async function main(): Promise<Floor> {
  const engine = createContainerdEngine({
    address,
    runtimeDirectory: join(dirname(address), 'containerd'),
    contentDirectory: stateDirectory,
    stateDirectory,
    cgroupParent,
    namespace: 'floor',
    insecureRegistries: [registry],
    clock: systemClock,
    log: silentLogger,
  });
  const image = await engine.pull(reference, {});
  const ids = Array.from({ length: Number(count) }, (_, index) => `floor${index}`);
  await ip(`link add ${bridge} type bridge`, `link set ${bridge} up`);
  const start = async (id: string) => {
    await ip(`netns add ${id}`, `link add v${id} master ${bridge} up type veth peer name eth0 netns ${id}`);
    const output = { write: () => undefined, end: () => undefined };
    const container: ContainerCreate = {
      id,
      image,
      args: ['sleep', '86400'],
      environment: image.config.environment,
      workingDirectory: image.config.workingDirectory || '/',
      user: image.config.user,
      hostname: id,
      labels: {},
      mounts: [],
      networkNamespace: `/run/netns/${id}`,
      limits: {},
      reservations: {},
      tty: false,
      group: 'floor',
    };
    await engine.create(container, output);
    await engine.start(id);
  };
  const remove = async (id: string) => {
    await engine.kill(id, signalKill);
    await engine.remove(id);
    await ip(`netns delete ${id}`); // the veth goes with it
  };
  const timeAll = async (work: (id: string) => Promise<void>) => {
    const limiter = new Limiter(atOnce);
    const from = performance.now();
    await Promise.all(ids.map((id) => limiter.run(() => work(id))));
    return performance.now() - from;
  };
  const floor = { startMs: await timeAll(start), removeMs: await timeAll(remove) };
  await ip(`link delete ${bridge}`);
  await engine.close();
  return floor;
}

process.stdout.write(JSON.stringify(await main()));
process.exit(0); // the engine's connection would keep it here
