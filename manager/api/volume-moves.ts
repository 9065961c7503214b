import { nodeSatisfies, parseConstraint } from '../../src/spec/constraint.ts';
import { nodeName } from '../../src/spec/node-name.ts';
import type { Node } from '../../src/spec/node.ts';
import { hasHome, isUnderWay, type Volume, type VolumeMove } from '../../src/spec/resource.ts';
import type { Service } from '../../src/spec/service.ts';
import { taskName } from '../../src/spec/task.ts';
import { volumeNames } from '../../src/spec/volume-names.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { VolumeMoveWish } from '../../src/wire/api.ts';
import { abandoned, homeOn, tasksWith } from '../mover/state.ts';
import { Faults } from '../store/isolate.ts';
import type { View } from '../store/objects.ts';
import type { ApiContext } from './context.ts';
import { callerName } from './identity.ts';
import { findNode, writeAgain } from './objects.ts';
import type { Route } from './router.ts';
import { volumeMoveSchema } from './schema.ts';
import { checkSchema } from './validate.ts';
import { copiesOf } from './volume-copies.ts';
import { checkNotMoving, findVolume } from './volume-home.ts';

/** Without a word from who asks, all of a move may take so long, and its tasks may be stopped for so long. */
const timeoutMsDefault = 6 * 60 * 60_000;
const stopTimeoutMsDefault = 10 * 60_000;

/** Asks for a move or a copy, which the manager then carries out, and takes the wish back. */
export function volumeMoveRoutes(context: ApiContext): Route[] {
  const { database, clock, queue } = context;
  const { view } = database;
  const write = (id: string, change: (volume: Volume) => Volume) =>
    writeAgain(database, () => [{ kind: 'volume', action: 'update', object: change(findVolume(view, id)) }]);
  return [
    {
      method: 'POST',
      pattern: '/volumes/:ref/move',
      access: 'operator',
      status: 202,
      handle: async ({ parameters, body, objects, identity, signal }): Promise<VolumeMove> => {
        const wish = checkSchema(volumeMoveSchema, await body());
        const { id, spec } = findVolume(view, parameters.ref!);
        objects.push(`${wish.what} volume ${spec.name} to ${wish.node}`);
        return await queue.run(`volume ${id}`, async () => {
          const node = findNode(view, wish.node);
          checkWish(view, findVolume(view, id), node, wish);
          await checkTarget(context, findVolume(view, id), node, wish, signal);
          const by = callerName(identity);
          const at = { id: context.random.id(), by, now: clock.now() };
          await write(id, (volume) => asked(view, volume, node, wish, at));
          return findVolume(view, id).move!;
        });
      },
    },
    {
      method: 'DELETE',
      pattern: '/volumes/:ref/move',
      access: 'operator',
      handle: async ({ parameters, objects, identity }): Promise<VolumeMove> => {
        const { id, spec } = findVolume(view, parameters.ref!);
        objects.push(`cancel the move of volume ${spec.name}`);
        const message = `cancelled by ${callerName(identity)}`;
        await write(id, (volume) => cancelled(volume, message, clock.now()));
        return findVolume(view, id).move!;
      },
    },
  ];
}

function moveOf(
  volume: Volume,
  node: Node,
  wish: VolumeMoveWish,
  { id, by, now }: { id: string; by: string; now: number },
): VolumeMove {
  const { what, timeoutMs = timeoutMsDefault, stopTimeoutMs = stopTimeoutMsDefault } = wish;
  const limits = { timeoutMs, stopTimeoutMs };
  const counts = { passes: 0, sentBytes: 0 };
  const state = { state: 'copying' as const, message: 'waiting to begin', startedAt: now };
  return { id, what, from: volume.home!, to: homeOn(node), by, ...state, ...limits, ...counts };
}

/** The volume with the wish. Throws `failed_precondition` for what can be told from the store. */
export function asked(
  view: View,
  volume: Volume,
  node: Node,
  wish: VolumeMoveWish,
  at: { id: string; by: string; now: number },
): Volume {
  checkWish(view, volume, node, wish);
  return { ...volume, move: moveOf(volume, node, wish, at) };
}

/** The volume without the move that is under way. Throws `failed_precondition` when there is none, or it is past that. */
export function cancelled(volume: Volume, message: string, now: number): Volume {
  const { move, spec } = volume;
  if (!isUnderWay(move)) throw refusal(`Cannot cancel the move of volume ${spec.name}: none is under way`);
  if (move.state === 'switching') {
    throw refusal(
      `Cannot cancel the move of volume ${spec.name}: all is copied, and ${move.to.hostname} puts it in its place`,
    );
  }
  return abandoned(volume, move.id, { state: 'cancelled', message, now });
}

function refusal(message: string, next?: string): ShoalError {
  return new ShoalError('failed_precondition', message, next === undefined ? {} : { next });
}

/** Throws `failed_precondition` for what can be told from the store. */
function checkWish(view: View, volume: Volume, node: Node, { what }: VolumeMoveWish): void {
  const { spec, home, removing, held } = volume;
  const cannot = `Cannot ${what} volume ${spec.name} to ${nodeName(node)}`;
  if (!hasHome(spec)) throw refusal(`${cannot}: it is not on one node`);
  if (removing) throw refusal(`${cannot}: it is being removed`);
  checkNotMoving(volume, cannot);
  if (held) throw refusal(`${cannot}: it is about to be on another node`, 'Try again.');
  if (home === undefined) {
    throw refusal(
      `${cannot}: no task has had it yet, and it is on no node`,
      `Say where with \`shoal volume use ${spec.name} ${nodeName(node)}\`.`,
    );
  }
  if (home.nodeId === node.id) throw refusal(`${cannot}: it is there`);
  const from = view.nodes.get(home.nodeId);
  if (from?.status.state !== 'ready') {
    throw refusal(
      `${cannot}: it is on ${home.hostname}, which ${from === undefined ? 'was removed' : `is ${from.status.state}`}`,
      'Wait until it is back; a backup and `shoal volume restore`, or `shoal volume use`, go on without its data.',
    );
  }
  if (node.status.state !== 'ready') throw refusal(`${cannot}: ${nodeName(node)} is ${node.status.state}`);
  if (what === 'move' && node.availability !== 'active') {
    throw refusal(
      `${cannot}: ${nodeName(node)} takes no tasks, it is set to ${node.availability}`,
      `Activate it: \`shoal node update --availability active ${nodeName(node)}\`.`,
    );
  }
  checkUsers(view, volume, node, cannot, what);
}

/** Throws `failed_precondition` when those who use the volume could not go on beside it. */
function checkUsers(
  view: View,
  { spec }: Volume,
  node: Node,
  cannot: string,
  what: VolumeMove['what'],
): void {
  const stop = (service: string) => `Stop it first with \`shoal stop ${service}\`, and start it afterwards.`;
  for (const task of tasksWith(view, spec.name)) {
    const { serviceName } = task;
    const isGlobal = view.services.get(task.serviceId)?.spec.mode.kind === 'global';
    if (isGlobal)
      throw refusal(
        `${cannot}: ${serviceName} has a copy of it on every node`,
        `Take it out of its Compose file.`,
      );
    if (what === 'copy') continue;
    const other = volumeNames(task.template).find((name) => isElsewhere(view, name, spec.name, node));
    if (other !== undefined) {
      throw refusal(
        `${cannot}: ${taskName(task)} also has volume ${other}, which is not there`,
        `${stop(serviceName)} Move both meanwhile.`,
      );
    }
    if (isBeside(view, serviceName))
      throw refusal(`${cannot}: ${serviceName} runs beside other services`, stop(serviceName));
  }
  if (what === 'copy') return;
  const services = new Faults().filter('service', view.services.values(), (service) =>
    uses(service, spec.name),
  );
  for (const service of services) {
    const unmet = service.spec.task.placement.constraints.find(
      (text) => !nodeSatisfies(node, parseConstraint(text)),
    );
    if (unmet === undefined) continue;
    throw refusal(`${cannot}: ${service.spec.name} may not run there (constraint ${unmet})`);
  }
}

function uses({ spec, removing }: Service, volume: string): boolean {
  return !removing && spec.mode.kind === 'replicated' && volumeNames(spec.task).includes(volume);
}

function isElsewhere(view: View, name: string, than: string, node: Node): boolean {
  if (name === than) return false;
  const home = view.volumes.values().find(({ spec }) => spec?.name === name)?.home;
  return home !== undefined && home.nodeId !== node.id;
}

/** Whether tasks of the service run beside those of others, which would have to move with them. */
function isBeside(view: View, serviceName: string): boolean {
  const leads = new Faults().filter('service', view.services.values(), ({ spec }) => {
    const { with: leader } = spec.task.placement;
    return leader !== undefined && (leader === serviceName || spec.name === serviceName);
  });
  return leads.length > 0;
}

/** Throws `failed_precondition` when the node has something under the volume's name that nobody has said may be replaced. */
async function checkTarget(
  context: ApiContext,
  volume: Volume,
  node: Node,
  { what, replace }: VolumeMoveWish,
  signal: AbortSignal,
): Promise<void> {
  if (replace === true) return;
  const copies = (await copiesOf(context, [volume], signal)).get(volume.id) ?? [];
  const there = copies.find(({ nodeId }) => nodeId === node.id);
  if (there === undefined) return;
  const why =
    there.unknown === undefined ? 'has a stale copy of it' : `may have a copy of it (${there.unknown})`;
  throw refusal(
    `Cannot ${what} volume ${volume.spec.name} to ${nodeName(node)}, which ${why}`,
    'With --yes that copy is replaced.',
  );
}
