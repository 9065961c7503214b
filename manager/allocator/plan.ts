import { Faults } from '../store/isolate.ts';
import type { Plan, View } from '../store/objects.ts';
import { planNetworks } from './networks.ts';
import type { Cursors } from './range.ts';
import { planServices } from './services.ts';
import { planTasks } from './tasks.ts';

/**
 * What the allocator should write now: subnets, VNIs and bridge addresses; virtual IPs and published ports; addresses of tasks.
 * Services build on networks and tasks on both, so that each is planned only once those before it stand in the view: plan
 * again until the plan is empty (three times at most).
 */
export function planAllocation(view: View, now: number): Plan {
  return allocate(view, now, new Map()).plan;
}

/** The same with cursors (see `Cursors`): those to hand in at the next call come back. What is damaged goes to the faults. */
export function allocate(
  view: View,
  now: number,
  cursors: ReadonlyMap<string, number>,
  faults = new Faults(),
): { plan: Plan; cursors: Cursors } {
  const moved = new Map(cursors);
  for (const stage of [planNetworks, planServices]) {
    const plan = stage(view, moved, faults);
    if (plan.length > 0) return { plan, cursors: moved };
  }
  return { plan: planTasks(view, now, moved, faults), cursors: moved };
}
