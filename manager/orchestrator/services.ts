import { isWanted } from '../../src/spec/task.ts';
import { isDeepStrictEqual } from 'node:util';
import type { Service } from '../../src/spec/service.ts';
import { messageOf, ShoalError, unreachable } from '../../src/util/errors.ts';
import type { Random } from '../../src/util/random.ts';
import type { Change, Plan, View } from '../store/objects.ts';
import { damageReason, damageWords } from '../store/damage.ts';
import { Faults } from '../store/isolate.ts';
import { followUpdates } from './following.ts';
import { chooseNodes } from './global.ts';
import { Planning } from './planning.ts';
import { chooseSlots } from './replicated.ts';
import { servicesIn, type Services } from './scope.ts';
import { settleReturn, slotsOf, stepSlot, type Slot } from './slot.ts';
import { inGroups, withDesired } from './tasks.ts';
import { decideUpdate } from './update.ts';

/** A plan, and when services are worth planning again though nothing has changed (ms), by their ids. */
export interface TimedPlan {
  plan: Plan;
  due: ReadonlyMap<string, number>;
  /** What could not be planned: it is left as it is, and keeps nothing else from being planned. */
  faults?: Faults;
}

/**
 * Plans every one of the services that is not being removed: fills its slots, replaces what ended or must leave its node, starts
 * what was held back, scales, and rolls updates. Writes desired states, new tasks, `specVersion` of tasks that are up to
 * date as they are, update statuses and rollbacks.
 */
export function planServices(view: View, now: number, random: Random, services?: Services): TimedPlan {
  const faults = new Faults();
  const planning = new Planning(view, now, random, faults);
  const plan: Plan = [];
  const due = new Map<string, number>();
  /** Changes that need nothing else to make sense. */
  const loose: Change[] = [];
  for (const service of servicesIn(view, services)) {
    if (service.removing) continue;
    const planned = faults.isolated('service', service.id, () => changesOf(service, planning));
    const wakeAt = planning.takeWakeAt();
    const changed = withDamage(planned?.changed ?? service, faults);
    if (changed !== service) plan.push([{ kind: 'service', action: 'update', object: changed }]);
    if (planned === undefined) continue;
    if (wakeAt !== undefined) due.set(service.id, wakeAt);
    for (const changes of planned.slots) {
      if (changes.length === 1 && changes[0]!.action === 'create') loose.push(...changes);
      else plan.push(...inGroups(changes));
    }
  }
  plan.push(...inGroups(loose));
  return { plan, due, faults };
}

/** What is planned for one service, and for each of its slots. Throws when what is stored of it is damaged. */
function changesOf(
  service: Service,
  planning: Planning,
): { slots: Change[][]; changed?: Service | undefined } {
  const { view } = planning;
  const reason = damageReason(view, service);
  if (reason !== undefined) throw new ShoalError('failed_precondition', reason);
  const { slots, changed = followUpdates(service, planning) } = planService(service, planning);
  return { slots: [...slots].map((slot) => slot.changes()).filter(({ length }) => length > 0), changed };
}

/** The service with the reason why it cannot be planned; the same object when nothing is new. */
function withDamage(service: Service, faults: Faults): Service {
  const error = faults.of('service', service.id)?.error;
  const reason = error instanceof ShoalError && error.code === 'failed_precondition';
  const damage = error === undefined ? undefined : reason ? error.message : damageWords(messageOf(error));
  if (damage === service.damage) return service;
  const { damage: _before, ...rest } = service;
  return damage === undefined ? rest : { ...rest, damage };
}

function planService(service: Service, planning: Planning): { slots: Iterable<Slot>; changed?: Service } {
  const slots = slotsOf(service, planning.view.tasksOfService(service.id));
  for (const slot of slots.values()) {
    adoptEqual(slot);
    settleReturn(slot, planning);
  }
  if (service.stopped === true) {
    // What has ended stays, so that it can be told how, and what it printed. An update under way goes on after the start.
    for (const slot of slots.values()) for (const task of slot.tasks) slot.retire(task);
    return { slots: slots.values() };
  }
  const { open, kept } = chooseWanted(service, slots, planning);
  const { service: changed, policy, paused, begin } = decideUpdate(service, open, planning);
  // After a rollback was decided the slots are judged by another version: that is the next pass's work.
  const mayStep = changed === undefined || changed.specVersion === service.specVersion;
  if (mayStep) {
    const mayMove = service.spec.mode.kind === 'replicated';
    for (const slot of open) {
      stepSlot(slot, { policy, paused, begin: begin.has(slot), mayCreate: true, mayMove }, planning);
    }
    for (const slot of kept) {
      stepSlot(slot, { policy, paused, begin: false, mayCreate: false, mayMove }, planning);
    }
  }
  const all = new Set([...slots.values(), ...open]);
  return changed === undefined ? { slots: all } : { slots: all, changed };
}

function chooseWanted(
  service: Service,
  slots: Map<string, Slot>,
  planning: Planning,
): { open: Slot[]; kept: Slot[] } {
  const { mode } = service.spec;
  switch (mode.kind) {
    case 'replicated': {
      const { wanted, surplus } = chooseSlots(service, slots, mode.replicas, planning.isGrouped(service));
      for (const slot of surplus) for (const task of slot.tasks) slot.replace(withDesired(task, 'remove'));
      return { open: wanted, kept: [] };
    }
    case 'global':
      return chooseNodes(service, slots, planning);
    default:
      return unreachable(mode);
  }
}

/** A task whose template is just what the newer version asks for (after a rollback, say) is of that version already. */
function adoptEqual(slot: Slot): void {
  const { specVersion, spec } = slot.service;
  for (const task of slot.tasks) {
    if (!isWanted(task) || task.specVersion === specVersion) continue;
    if (isDeepStrictEqual(task.template, spec.task)) slot.replace({ ...task, specVersion });
  }
}
