import { isTerminal } from '../../src/spec/task.ts';
import type { Clock } from '../../src/util/clock.ts';
import type { Logger } from '../../src/util/log.ts';
import { Loop } from '../../src/util/loop.ts';
import type { Config, Secret } from '../../src/spec/resource.ts';
import type { ContainerSpec } from '../../src/spec/service.ts';
import type { KeyedQueue } from '../../src/util/queue.ts';
import { damageOfServiceObject, damageOfTask } from '../store/damage.ts';
import type { Change, Database, Plan, View } from '../store/objects.ts';
import { planForget } from './origins.ts';

/**
 * Deletes secrets and configs of applications that no service, no earlier spec of one, and no live task refers to. What
 * was made by a command goes by a command.
 */
export function planCleanup(view: View): Plan {
  if (view.secrets.size === 0 && view.configs.size === 0) return [];
  const used = { secrets: new Set<string>(), configs: new Set<string>() };
  const use = (container: ContainerSpec | undefined) => {
    for (const { name } of container?.secrets ?? []) used.secrets.add(name);
    for (const { name } of container?.configs ?? []) used.configs.add(name);
  };
  // What a damaged one refers to is not known: nothing goes until it is mended, or gone.
  if (view.services.values().some((service) => damageOfServiceObject(service) !== undefined)) return [];
  if (view.tasks.values().some((task) => damageOfTask(task) !== undefined)) return [];
  for (const { spec, rollbackTarget, earlierTargets = [] } of view.services.values()) {
    use(spec.task.container);
    use(rollbackTarget?.spec.task.container);
    for (const earlier of earlierTargets) use(earlier.spec.task.container);
  }
  for (const { template, status } of view.tasks.values()) {
    if (!isTerminal(status.state)) use(template.container);
  }
  const plan: Change[] = [];
  const isDue = ({ spec }: Secret | Config, names: ReadonlySet<string>) =>
    spec.application !== undefined && !names.has(spec.name);
  for (const object of view.secrets.values()) {
    if (isDue(object, used.secrets)) plan.push({ kind: 'secret', action: 'delete', object });
  }
  for (const object of view.configs.values()) {
    if (isDue(object, used.configs)) plan.push({ kind: 'config', action: 'delete', object });
  }
  return plan.map((change) => [change]);
}

/** The key under which writes of whole applications take turns: none may count on a secret that is just being deleted. */
export const applyQueueKey = 'apply';

/** With what goes of these something else may have become useless. */
const watched = ['service', 'task', 'network', 'volume', 'secret', 'config'] as const;

/** A loop that cleans up some time after services, tasks or what they use changed. */
export function createJanitor(options: {
  database: Database;
  clock: Clock;
  log: Logger;
  queue: KeyedQueue;
}): { start(): void; stop(): Promise<void> } {
  const { database, clock, log, queue } = options;
  let unsubscribe: (() => void) | undefined;
  const loop = new Loop({
    name: 'janitor',
    clock,
    log,
    debounceMs: 2_000,
    tick: () =>
      queue.run(applyQueueKey, async () => {
        // A conflict needs no care: the object's change pokes again.
        await database.write([...planCleanup(database.view), ...planForget(database.view)]);
      }),
  });
  return {
    start: () => {
      unsubscribe = database.onChange(({ kinds }) => {
        if (watched.some((kind) => kinds.has(kind))) loop.poke();
      });
      loop.start();
    },
    stop: async () => {
      unsubscribe?.();
      await loop.stop();
    },
  };
}
