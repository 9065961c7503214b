import { nodeName } from '../../src/spec/node-name.ts';
import type { Node } from '../../src/spec/node.ts';
import type { Volume } from '../../src/spec/resource.ts';
import { taskName } from '../../src/spec/task.ts';
import { withDeadline } from '../../src/util/clock.ts';
import { codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import type { ApiContext } from './context.ts';
import { tasksWith } from '../mover/state.ts';
import { askHost } from './host-stream.ts';
import { writeAgain } from './objects.ts';
import { checkNotMoving, findVolume } from './volume-home.ts';

/** A host moves the data out of the way at once, and deletes it afterwards. */
const answerMs = 15_000;

/** Has the volume's host take what it has under that name for the volume's. One that cannot be reached is known to have nothing. */
export async function adoptCopy(context: ApiContext, { id, spec, home }: Volume): Promise<void> {
  const request = { kind: 'settle-volume', name: spec.name, id, moveId: id, how: 'adopt' } as const;
  const work = (limit: AbortSignal) => askHost(context, home?.nodeId ?? '', request, limit);
  try {
    await withDeadline(answerMs, `Taking the copy of volume ${spec.name}`, work);
  } catch (error) {
    if (codeOf(error) !== 'unavailable') throw error;
  }
}

/**
 * Has one host remove the copy of a volume that it does not need any more. Throws `failed_precondition` for the volume itself and for what a
 * task has, and after a move while no task has run with the new copy, which only `force` allows.
 */
export async function removeVolumeCopy(
  context: ApiContext,
  volume: Volume,
  node: Node,
  { force, signal }: { force: boolean; signal: AbortSignal },
): Promise<void> {
  const { id, spec, home } = volume;
  const { name } = spec;
  const cannot = `Cannot remove the copy of volume ${name} on ${nodeName(node)}`;
  checkNotMoving(volume, cannot);
  if (home === undefined || home.nodeId === node.id) {
    const why = home === undefined ? 'it may be the only one' : 'it is the volume itself';
    throw new ShoalError('failed_precondition', `${cannot}: ${why}`, {
      next: `\`shoal volume rm ${name}\` removes the volume.`,
    });
  }
  const tasks = tasksWith(context.database.view, name);
  const user = tasks.find(({ nodeId }) => nodeId === node.id);
  if (user !== undefined) throw new ShoalError('failed_precondition', `${cannot}: ${taskName(user)} has it`);
  const isProven = tasks.some(
    ({ nodeId, status }) => nodeId === home.nodeId && status.startedAt !== undefined,
  );
  if (!isProven && !force) {
    throw new ShoalError(
      'failed_precondition',
      `${cannot}: no task runs with the one on ${home.hostname} yet`,
      {
        next: 'Wait until one does; --force removes it nevertheless.',
      },
    );
  }
  const work = (limit: AbortSignal) => askHost(context, node.id, { kind: 'remove-volume', name, id }, limit);
  await withDeadline(answerMs, `Removing the data on ${nodeName(node)}`, work, signal);
  const without = () => {
    const now = findVolume(context.database.view, id);
    return { ...now, nodeIds: (now.nodeIds ?? []).filter((each) => each !== node.id) };
  };
  await writeAgain(context.database, () => [{ kind: 'volume', action: 'update', object: without() }]);
}

/**
 * Has every host that is there remove what it has of the volume; gives the names of those where data stays, which only
 * `force` allows. Throws `failed_precondition`, before anything is removed, when a host that has data is away, and what a
 * host answers.
 */
export async function removeVolumeData(
  context: ApiContext,
  volume: Volume,
  force: boolean,
  signal: AbortSignal,
): Promise<string[]> {
  const { name } = volume.spec;
  const nodes = [...context.database.view.nodes.values()];
  const holds = (node: Node) => volume.nodeIds?.includes(node.id) === true;
  const away = nodes.filter((node) => node.status.state !== 'ready' && holds(node)).map(nodeName);
  if (away.length > 0 && !force) {
    throw new ShoalError(
      'failed_precondition',
      `Cannot remove volume ${name}: its data is on ${away.join(', ')}, which cannot be reached`,
      { next: 'Try again when the host is back; with --force its data stays there.' },
    );
  }
  const ready = nodes.filter((node) => node.status.state === 'ready');
  const removals = ready.map(async (node) => {
    try {
      const work = (limit: AbortSignal) =>
        askHost(context, node.id, { kind: 'remove-volume', name, id: volume.id }, limit);
      await withDeadline(answerMs, `Removing the data on ${nodeName(node)}`, work, signal);
      return [];
    } catch (cause) {
      if (force) return [nodeName(node)];
      throw new ShoalError(
        'unavailable',
        `Cannot remove volume ${name} from host ${nodeName(node)}: ${messageOf(cause)}`,
        {
          cause,
          next: 'Try again, or leave its data there with --force.',
        },
      );
    }
  });
  const left = await Promise.allSettled(removals);
  for (const result of left) if (result.status === 'rejected') throw result.reason;
  return [...away, ...left.flatMap((result) => (result.status === 'fulfilled' ? result.value : []))];
}
