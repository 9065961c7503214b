import { nodeName } from '../../src/spec/node-name.ts';
import type { Node } from '../../src/spec/node.ts';
import { isUnderWay, type Volume, type VolumeHome, type VolumeMove } from '../../src/spec/resource.ts';
import { isTerminal, type Task } from '../../src/spec/task.ts';
import { volumeNames } from '../../src/spec/volume-names.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { formatBytes } from '../../src/util/text.ts';
import { Faults } from '../store/isolate.ts';
import type { View } from '../store/objects.ts';

/** What a pass that runs beside the tasks may send for the next one to be made with them stopped. */
const smallPassBytes = 64 * 1024 * 1024;
/** Passes beside running tasks: what writes faster than it is copied is stopped then. */
const passesMax = 5;
/** A pass that sends more than this share of what the one before sent does not get closer. */
const shrinkingShare = 0.8;

/** Tasks on nodes that may still write to the volume: those of global services have copies of their own, which move with nobody. */
export function tasksWith(view: View, name: string): Task[] {
  return new Faults().filter('task', view.tasks.values(), (task) => {
    if (task.nodeId === undefined || isTerminal(task.status.state)) return false;
    return volumeNames(task.template).includes(name);
  });
}

/** Whether tasks are to stop now, by what the passes so far have sent (bytes on the disk, in order). */
export function isCloseEnough(sent: readonly number[]): boolean {
  const [last = Infinity, before = Infinity] = sent.toReversed();
  return last < smallPassBytes || sent.length >= passesMax || last > before * shrinkingShare;
}

/** The volume with the move a step further. Throws `overtaken` when that move is over. */
export function advanced(volume: Volume, moveId: string, changes: Partial<VolumeMove>): Volume {
  const { move } = volume;
  if (!isUnderWay(move) || move.id !== moveId) throw new ShoalError('overtaken', 'The move is over');
  return { ...volume, move: { ...move, ...changes } };
}

/** Tasks are told to stop, and none may begin. */
export function stopping(volume: Volume, moveId: string, now: number): Volume {
  const changes = { state: 'stopping' as const, stoppedAt: now, message: 'waiting for its tasks to stop' };
  return { ...advanced(volume, moveId, changes), held: true };
}

/** The move is over: the volume is where it was, and tasks may begin there. */
export function abandoned(
  volume: Volume,
  moveId: string,
  how: { state: 'failed' | 'cancelled'; message: string; now: number },
): Volume {
  const { state, message, now } = how;
  return released(advanced(volume, moveId, { state, message, endedAt: now }));
}

/** The copy stands on the other node: of a move, it is the volume from now on. */
export function arrived(volume: Volume, moveId: string, now: number): Volume {
  const done = released(advanced(volume, moveId, { state: 'done', message: 'done', endedAt: now }));
  const { what, to } = done.move!;
  const nodeIds = [...new Set([...(volume.nodeIds ?? []), to.nodeId])];
  return { ...done, nodeIds, ...(what === 'move' ? { home: to } : {}) };
}

/** Tasks may be placed with it again. */
export function released({ held: _held, ...volume }: Volume): Volume {
  return volume;
}

/** How a move that runs out of time, or waits for a node, says so. */
export function limitOf(move: VolumeMove, now: number): { remainingMs: number; what: string } {
  const { startedAt, stoppedAt, timeoutMs, stopTimeoutMs } = move;
  const whole = {
    remainingMs: startedAt + timeoutMs - now,
    what: `It took longer than ${timeoutMs / 1_000} s`,
  };
  if (stoppedAt === undefined) return whole;
  const stopped = {
    remainingMs: stoppedAt + stopTimeoutMs - now,
    what: `Its tasks would have been stopped for longer than ${stopTimeoutMs / 1_000} s`,
  };
  return stopped.remainingMs < whole.remainingMs ? stopped : whole;
}

/** Which node of the move is not there; undefined when both are. */
export function missingNode(view: View, { from, to }: VolumeMove): string | undefined {
  for (const { nodeId, hostname } of [from, to]) {
    const node = view.nodes.get(nodeId);
    if (node === undefined) return `${hostname} was removed`;
    if (node.status.state !== 'ready') return `${hostname} is ${node.status.state}`;
  }
  return undefined;
}

export function homeOn(node: Node): VolumeHome {
  return { nodeId: node.id, hostname: nodeName(node) };
}

/** `1.2 GiB sent while its tasks run`. */
export function copyingWords(sentBytes: number): string {
  return `${formatBytes(sentBytes)} sent while its tasks run`;
}
