import { nodeName } from '../../src/spec/node-name.ts';
import type { Node } from '../../src/spec/node.ts';
import type { Volume } from '../../src/spec/resource.ts';
import { withDeadline } from '../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { ApiContext } from './context.ts';
import { askHost } from './host-stream.ts';

/** A host moves the data out of the way at once, and deletes it afterwards. */
const answerMs = 15_000;

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
      const work = (limit: AbortSignal) => askHost(context, node.id, { kind: 'remove-volume', name }, limit);
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
