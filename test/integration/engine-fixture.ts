import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HostConditions } from '../../agent/conditions/conditions.ts';
import { createContainerdEngine } from '../../agent/engine/containerd.ts';
import type { ContainerCreate, Engine, ExecSession, Image } from '../../agent/engine/engine.ts';
import { ensureContainerd, type ContainerdProcess } from '../../agent/engine/process.ts';
import { readLogs } from '../../agent/logs/reader.ts';
import { LogWriter } from '../../agent/logs/writer.ts';
import { systemClock } from '../../src/util/clock.ts';
import { tryCommand } from '../../src/util/command.ts';
import { silentLogger } from '../../src/util/log.ts';
import { Limiter } from '../../src/util/queue.ts';
import { systemRandom } from '../../src/util/random.ts';
import { startRegistry, type Registry } from '../harness/registry.ts';

/** A containerd with root, state and socket of its own, a registry, and the engine on both. */
export interface EngineFixture {
  directory: string;
  cgroupParent: string;
  registry: Registry;
  containerd: ContainerdProcess;
  conditions: HostConditions;
  engine: Engine;
  /** Another engine on the same containerd, as after a restart of the daemon. */
  another(): Engine;
  /** What to create, with sensible settings for what is not given. */
  container(image: Image, args: string[], extra?: Partial<ContainerCreate>): ContainerCreate;
  sink(id: string): LogWriter;
  /** Processes of shims. */
  shims(): Promise<number[]>;
  /** What has been kept of a container's output: `STREAM TEXT`. */
  log(id: string): Promise<string[]>;
  stop(): Promise<void>;
}

const conditionLimitMs = 20_000;

/** Waits until `condition` holds; throws when it does not in time. */
export async function until(what: string, condition: () => Promise<boolean> | boolean): Promise<void> {
  const limit = systemClock.now() + conditionLimitMs;
  while (!(await condition())) {
    if (systemClock.now() > limit) throw new Error(`${what}: not within ${conditionLimitMs} ms`);
    await systemClock.sleep(20);
  }
}

/** Starts everything; `stop` removes every trace, whatever the tests have left. */
export async function startEngineFixture(): Promise<EngineFixture> {
  const directory = await mkdtemp('/tmp/shoal-engine-');
  const cgroupParent = `/${directory.split('/').at(-1)!}`;
  const address = join(directory, 'run/c.sock');
  const common = { clock: systemClock, log: silentLogger };
  const conditions = new HostConditions(silentLogger);
  const engines: Engine[] = [];
  const another = () => {
    const stateDirectory = join(directory, 'engine');
    const options = {
      address,
      namespace: 'shoal',
      runtimeDirectory: join(directory, 'run/containerd'),
      contentDirectory: join(directory, 'state/containerd'),
      stateDirectory,
      cgroupParent,
      conditions,
      insecureRegistries: [],
      deviceDirectories: [join(directory, 'cdi')],
      ...common,
    };
    engines.push(createContainerdEngine(options));
    return engines.at(-1)!;
  };
  const containerd = await ensureContainerd({
    address,
    stateDirectory: join(directory, 'state'),
    runDirectory: join(directory, 'run'),
    ...common,
  });
  const registry = await startRegistry({ directory: join(directory, 'registry') });
  const engine = another();
  const logs = join(directory, 'logs');
  return {
    directory,
    cgroupParent,
    registry,
    containerd,
    conditions,
    engine,
    another,
    container: (image, args, extra = {}) => {
      const id = extra.id ?? systemRandom.id();
      return { ...emptyContainer, id, hostname: id, image, args, group: 'tests', ...extra };
    },
    sink: (taskId) => new LogWriter({ directory: logs, taskId, limiter: new Limiter(2), ...common }),
    shims: () => processesNaming(directory, 'containerd-shim'),
    log: async (id) => {
      const lines = await Array.fromAsync(readLogs(logs, id));
      return lines.map(({ stream, text }) => `${stream} ${text}`);
    },
    stop: async () => {
      const left = await engine.list().catch(() => []);
      await Promise.all(left.map(({ id }) => engine.remove(id).catch(() => undefined)));
      await containerd.stop();
      await Promise.all(engines.map((each) => each.close()));
      await registry.stop();
      await removeTraces(directory, cgroupParent);
    },
  };
}

const emptyContainer: Omit<ContainerCreate, 'id' | 'image' | 'hostname' | 'args'> = {
  environment: [],
  workingDirectory: '',
  user: '',
  labels: {},
  mounts: [],
  limits: {},
  reservations: {},
  tty: false,
  group: '',
};

/** Runs an exec to its end and gives what it printed. */
export async function finish(
  session: ExecSession,
): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const collect = async (stream: NodeJS.ReadableStream | undefined) => {
    let text = '';
    for await (const chunk of stream ?? []) text += chunk.toString();
    return text;
  };
  const [stdout, stderr, { exitCode }] = await Promise.all([
    collect(session.stdout),
    collect(session.stderr),
    session.exit,
  ]);
  return { stdout, stderr, exitCode };
}

/** Ends every process started for this folder, then unmounts and removes it. */
async function removeTraces(directory: string, cgroupParent: string): Promise<void> {
  await until('processes end', async () => {
    const pids = await processesNaming(directory);
    for (const pid of pids) kill(pid);
    return pids.length === 0;
  });
  const mounts = (await readFile('/proc/mounts', 'utf8')).split('\n').map((line) => line.split(' ')[1] ?? '');
  for (const mount of mounts.filter((path) => path.startsWith(`${directory}/`))) {
    await tryCommand('umount', ['--lazy', mount]);
  }
  await rm(directory, { recursive: true, force: true });
  for (const hierarchy of await readdir('/sys/fs/cgroup')) {
    await tryCommand('find', [
      join('/sys/fs/cgroup', hierarchy, cgroupParent),
      '-depth',
      '-type',
      'd',
      '-delete',
    ]);
  }
}

/** Processes, this one apart, on whose command line the folder appears: containerd and its shims, or those of one name. */
async function processesNaming(directory: string, name = 'containerd'): Promise<number[]> {
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 0 && pid !== process.pid);
  const named = await Promise.all(
    pids.map(async (pid) => {
      const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      const program = line.split('\0')[0]!.split('/').at(-1)!;
      return program.startsWith(name) && line.includes(directory);
    }),
  );
  return pids.filter((_, index) => named[index]);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
