import { GlobalNodes } from '../../src/spec/global-nodes.ts';
import type { Service } from '../../src/spec/service.ts';
import { damageOfNode } from '../store/damage.ts';
import type { Planning } from './planning.ts';
import { Slot } from './slot.ts';
import { withDesired } from './tasks.ts';

/** What a global service wants on the nodes. */
export interface WantedNodes {
  /** Slots of nodes that take tasks of the service now. */
  open: Slot[];
  /** Slots that keep what they have; nothing new is made there (node down, paused, damaged, or not heard of yet). */
  kept: Slot[];
}

/**
 * Chooses the nodes of a global service: every ready, active node that the constraints allow (and those of services that
 * it shares with) has one task. Tasks of
 * drained nodes, and of nodes that no longer fit, are told to stop here; those of removed nodes, to vanish. What runs on
 * a node that is down stays wanted, so that it goes on unharmed when the node was only cut off.
 */
export function chooseNodes(service: Service, slots: Map<string, Slot>, planning: Planning): WantedNodes {
  const open: Slot[] = [];
  const kept: Slot[] = [];
  const eligible = new GlobalNodes(service.spec, (name) => planning.view.serviceByName(name)?.spec);
  for (const node of planning.view.nodes.values()) {
    const slot = slots.get(node.id);
    if (damageOfNode(node) !== undefined) {
      if (slot !== undefined) kept.push(slot);
      continue;
    }
    if (eligible.takes(node)) {
      open.push(slot ?? new Slot(node.id, { slot: 0, nodeId: node.id }, service));
    } else if (slot !== undefined) {
      if (eligible.keeps(node)) kept.push(slot);
      else for (const task of slot.tasks) slot.replace(withDesired(task, 'shutdown'));
    }
  }
  for (const slot of slots.values()) {
    if (planning.view.nodes.has(slot.key)) continue;
    for (const task of slot.tasks) slot.replace(withDesired(task, 'remove'));
  }
  return { open, kept };
}
