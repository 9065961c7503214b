import type { Task } from '../../src/spec/task.ts';
import { Slot } from './slot.ts';
import type { Service } from '../../src/spec/service.ts';

/** Which slots a replicated service keeps or gets, and which of its slots are too many. */
export interface WantedSlots {
  wanted: Slot[];
  surplus: Slot[];
}

/**
 * Chooses `replicas` slots: those that have a current task stay, new ones take the lowest free numbers. Too many: first
 * those go that do not run, then the ones on the nodes with most tasks of the service, high numbers before low ones
 * (as SwarmKit scales down). Slots of services that run beside each other are paired by number: there the lowest stay.
 */
export function chooseSlots(
  service: Service,
  slots: Map<string, Slot>,
  replicas: number,
  isGrouped: boolean,
): WantedSlots {
  const filled = [...slots.values()].filter((slot) => currentTask(slot) !== undefined);
  filled.sort((left, right) => left.place.slot - right.place.slot);
  if (isGrouped) {
    const surplus = filled.filter((slot) => slot.place.slot > replicas);
    return { wanted: firstSlots(service, slots, replicas), surplus };
  }
  if (filled.length > replicas) {
    const ranked = rankForKeeping(filled);
    return { wanted: ranked.slice(0, replicas), surplus: ranked.slice(replicas) };
  }
  const taken = new Set(filled.map((slot) => slot.place.slot));
  const wanted = [...filled];
  for (let number = 1; wanted.length < replicas; number++) {
    if (taken.has(number)) continue;
    const key = String(number);
    wanted.push(slots.get(key) ?? new Slot(key, { slot: number }, service));
  }
  return { wanted, surplus: [] };
}

function firstSlots(service: Service, slots: Map<string, Slot>, replicas: number): Slot[] {
  return Array.from({ length: replicas }, (_, index) => {
    const key = String(index + 1);
    return slots.get(key) ?? new Slot(key, { slot: index + 1 }, service);
  });
}

function currentTask(slot: Slot): Task | undefined {
  const { clean, dirty } = slot.current;
  return [...clean, ...dirty].find((task) => task.status.state === 'running') ?? clean[0] ?? dirty[0];
}

/** The slots to keep longest first: each node's first slot before any node's second one, and running ones before others. */
function rankForKeeping(slots: Slot[]): Slot[] {
  const perNode = new Map<string, number>();
  const ranked = slots.map((slot) => {
    const task = currentTask(slot);
    if (task?.status.state !== 'running') return { slot, turn: Infinity };
    const nodeId = task.nodeId ?? '';
    const turn = perNode.get(nodeId) ?? 0;
    perNode.set(nodeId, turn + 1);
    return { slot, turn };
  });
  ranked.sort(
    (left, right) => compare(left.turn, right.turn) || left.slot.place.slot - right.slot.place.slot,
  );
  return ranked.map(({ slot }) => slot);
}

function compare(left: number, right: number): number {
  return left === right ? 0 : left < right ? -1 : 1;
}
