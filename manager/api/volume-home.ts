import { nodeName } from '../../src/spec/node-name.ts';
import { hasHome, isUnderWay, type Volume } from '../../src/spec/resource.ts';
import { isTerminal, taskName, type Task } from '../../src/spec/task.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { VolumeUse } from '../../src/wire/api.ts';
import { released } from '../mover/state.ts';
import { Faults } from '../store/isolate.ts';
import type { Database, View } from '../store/objects.ts';
import { findNode, writeAgain } from './objects.ts';
import { namesIn } from './users.ts';

/** Throws `not_found`. */
export function findVolume(view: View, reference: string): Volume {
  const found =
    view.volumes.get(reference) ?? view.volumes.values().find(({ spec }) => spec?.name === reference);
  if (found !== undefined) return found;
  throw new ShoalError('not_found', `Cannot find a volume called ${JSON.stringify(reference)}`, {
    next: 'See `shoal volume ls`.',
  });
}

/** Throws `failed_precondition`, with what could not be done, while the volume is being moved or copied. */
export function checkNotMoving({ spec, move }: Volume, cannot: string): void {
  if (!isUnderWay(move)) return;
  const doing = move.what === 'copy' ? 'copied' : 'moved';
  throw new ShoalError('failed_precondition', `${cannot}: it is being ${doing} to ${move.to.hostname}`, {
    next: `Wait for it, or take that back with \`shoal volume ${move.what} --cancel ${spec.name}\`.`,
  });
}

/**
 * Makes what a node has of the volume, or nothing, the volume itself. Throws `failed_precondition` while a task has it elsewhere; `force`
 * goes on where that node is away.
 */
export async function useVolume(database: Database, reference: string, wish: VolumeUse): Promise<void> {
  const { id } = findVolume(database.view, reference);
  const write = (change: () => Volume) =>
    writeAgain(database, () => [{ kind: 'volume', action: 'update', object: change() }]);
  checkUse(database.view, id, wish);
  // From here on no placement that was planned before can be written, and none is planned: what is seen now is all there is.
  await write(() => ({ ...findVolume(database.view, id), held: true }));
  let done = false;
  try {
    checkUse(database.view, id, wish);
    await write(() => homed(database.view, findVolume(database.view, id), wish));
    done = true;
  } finally {
    if (!done) await write(() => released(findVolume(database.view, id)));
  }
}

function homed(view: View, volume: Volume, wish: VolumeUse): Volume {
  const node = findNode(view, wish.node);
  const nodeIds = [...new Set([...(volume.nodeIds ?? []), node.id])].filter((id) => view.nodes.has(id));
  return { ...released(volume), home: { nodeId: node.id, hostname: nodeName(node) }, nodeIds };
}

function checkUse(view: View, reference: string, { node: wanted, force }: VolumeUse): void {
  const volume = findVolume(view, reference);
  const { spec, removing } = volume;
  const node = findNode(view, wanted);
  checkNotMoving(volume, `Cannot use volume ${spec.name} on ${nodeName(node)}`);
  if (!hasHome(spec)) {
    throw new ShoalError(
      'failed_precondition',
      `Cannot put volume ${spec.name} on one node: it is not on one`,
    );
  }
  if (removing) {
    throw new ShoalError('failed_precondition', `Cannot use volume ${spec.name}: it is being removed`);
  }
  for (const task of tasksElsewhere(view, spec.name, node.id)) {
    const other = view.nodes.get(task.nodeId!);
    const isAway = other?.status.state !== 'ready';
    if (other === undefined || (isAway && force)) continue;
    const where = `${nodeName(other)}${isAway ? ', which is away' : ''}`;
    throw new ShoalError(
      'failed_precondition',
      `Cannot use volume ${spec.name} on ${nodeName(node)}: ${taskName(task)} has it on ${where}`,
      {
        next: isAway
          ? 'With --force what that node may still write to it is given up.'
          : 'Scale the services that use it to 0, or run `shoal down`, and try again.',
      },
    );
  }
}

/** Tasks that may write to the volume on other nodes, those apart of global services, which have copies of their own. */
function tasksElsewhere(view: View, name: string, nodeId: string): Task[] {
  return new Faults().filter('task', view.tasks.values(), (task) => {
    if (task.nodeId === undefined || task.nodeId === nodeId || isTerminal(task.status.state)) return false;
    if (view.services.get(task.serviceId)?.spec.mode.kind === 'global') return false;
    return namesIn('volume', task.template).includes(name);
  });
}
