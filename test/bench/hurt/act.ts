import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandResult } from '../../../src/util/command.ts';
import { systemClock } from '../../../src/util/clock.ts';
import { isTerminal } from '../../../src/spec/task.ts';
import { unreachable } from '../../../src/util/errors.ts';
import { nodesReady, type Cluster } from '../../harness/cluster.ts';
import { writeComposeFile } from '../../harness/compose.ts';
import { until } from '../../harness/until.ts';
import { application, type Change, type State } from './model.ts';
import { fileFor, type Images } from './project.ts';
import { askStored, nodeCalled, targetsOn } from './reality.ts';

/** How a client does what was drawn. */

const commandLimitMs = 90_000;
const waitSeconds = '60';
/** How long a lost node stays away once it was found. */
const awayMs = 3_000;

/** When a node was away without a warning (monotonic ms): requests that it had, or was sent until `toldMs`, may fail. */
export interface Outage {
  node: string;
  fromMs: number;
  /** When the manager called it down. */
  foundMs: number;
  /** When the kernel of no other host sent anything there any more. */
  toldMs: number;
}

export interface Actor {
  cluster: Cluster;
  images: Images;
  /** Told when a node is about to be lost and when it is there again. */
  onOutage: (outage: Outage) => void;
}

/** Does it and gives what the command ended with. `name` tells files apart. */
export async function act(
  actor: Actor,
  change: Change,
  { state, name }: { state: State; name: string },
): Promise<CommandResult> {
  const { cluster, images } = actor;
  const shoal = (args: string[]) => cluster.shoal(args, { timeoutMs: commandLimitMs });
  const waits = ['-p', application, '--timeout', waitSeconds];
  switch (change.kind) {
    case 'up':
      return await shoal([
        'up',
        '-f',
        await writeFileOf(cluster, fileFor(images, state, change), name),
        '--timeout',
        waitSeconds,
      ]);
    case 'overfill':
      return await overfill(actor, change, { state, name });
    case 'scale':
      return await shoal(['scale', ...waits, `${change.service}=${change.replicas}`]);
    case 'rollback':
    case 'restart':
      return await shoal([change.kind, ...waits, change.service]);
    case 'lose':
      return await lose(actor, change.node);
    case 'drain':
      return await shoal(['node', 'update', '--availability', 'drain', '--yes', change.node]);
    case 'activate':
      return await shoal(['node', 'update', '--availability', 'active', change.node]);
    default:
      return unreachable(change);
  }
}

/** Of a node's memory that each task reserves: there is room for one. */
const largeShare = 0.6;

/** Asks for more than there is room for, and takes it back; the exit code is that of the `up`, or -2 when the rollback failed. */
async function overfill(
  { cluster, images }: Actor,
  change: Extract<Change, { kind: 'overfill' }>,
  { state, name }: { state: State; name: string },
): Promise<CommandResult> {
  const { description } = await nodeCalled(cluster, cluster.manager.name);
  const reservedBytes = Math.floor((description?.memoryBytes ?? 0) * largeShare);
  const text = fileFor(images, state, { ...change, kind: 'up' }, reservedBytes);
  const options = { timeoutMs: commandLimitMs };
  const path = await writeFileOf(cluster, text, name);
  const up = await cluster.shoal(['up', '-f', path, '--timeout', waitSeconds], options);
  const back = await cluster.shoal(['rollback', '-p', application, '--timeout', waitSeconds, 'web'], options);
  return {
    exitCode: back.exitCode === 0 ? up.exitCode : -2,
    stdout: `${up.stdout}${back.stdout}`,
    stderr: `${up.stderr}${back.stderr}`,
  };
}

/** Both clients have the same folder, as two people have with the same repository. */
export async function writeFileOf(cluster: Cluster, text: string, name: string): Promise<string> {
  const main = await writeComposeFile(cluster, application, text);
  const path = join(main, '..', `compose-${name}.yaml`);
  await writeFile(path, text);
  return path;
}

/** Pulls the cable of a host until it was found and its tasks were replaced, and puts it back. */
async function lose({ cluster, onOutage }: Actor, node: string): Promise<CommandResult> {
  const host = cluster.host(node);
  const { id } = await nodeCalled(cluster, node);
  const { tasks } = await askStored(cluster);
  const there = tasks.filter(({ nodeId, status }) => nodeId === id && !isTerminal(status.state));
  const addresses = there.flatMap(({ attachments }) => attachments.map(({ address }) => address));
  const never = Number.POSITIVE_INFINITY;
  const outage: Outage = { node, fromMs: systemClock.monotonic(), foundMs: never, toldMs: never };
  onOutage(outage);
  await host.cut();
  try {
    await until(
      `${node} being called down`,
      async () => (await nodeCalled(cluster, node)).status.state === 'down',
    );
    outage.foundMs = systemClock.monotonic();
    const others = cluster.hosts.filter((each) => each !== host);
    await until(`no host sending to ${node}`, async () => {
      const known = (await Promise.all(others.map(targetsOn))).flat();
      return !addresses.some((address) => known.includes(address));
    });
    outage.toldMs = systemClock.monotonic();
    await systemClock.sleep(awayMs);
  } finally {
    await host.heal();
  }
  await nodesReady(cluster.manager, cluster.hosts.length);
  return { exitCode: 0, stdout: '', stderr: '' };
}
