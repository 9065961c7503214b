import { chainText, type Diagnostics } from './diagnostic.ts';
import { childOf, placeOf, type TreeNode } from './tree.ts';

/** Where many services depend on one another there may be more circles than anyone could read. */
const circlesMax = 10;

/**
 * Depth-first search for ways from a service back to itself. `dependencies` are those of all services that have any. Tells
 * of each circle with the names on it, the first once more at the end.
 */
export function findCircles(
  dependencies: ReadonlyMap<string, readonly string[]>,
  tell: (circle: readonly string[], message: string) => void,
): void {
  let circles = 0;
  const state = new Map<string, 'open' | 'done'>();
  // A service without dependencies is on no circle.
  const dependenciesOf = (service: string) =>
    dependencies.get(service)!.filter((name) => name !== service && dependencies.has(name));
  for (const start of dependencies.keys()) {
    if (state.has(start)) continue;
    state.set(start, 'open');
    const way = [start];
    const rests = [dependenciesOf(start)];
    while (way.length > 0) {
      const next = rests.at(-1)!.pop();
      if (next === undefined) {
        state.set(way.pop()!, 'done');
        rests.pop();
      } else if (state.get(next) === 'open') {
        circles += 1;
        if (circles > circlesMax) return;
        const circle = [...way.slice(way.indexOf(next)), next];
        tell(circle, `the services depend on each other in a circle: ${chainText(circle)}`);
      } else if (!state.has(next)) {
        state.set(next, 'open');
        way.push(next);
        rests.push(dependenciesOf(next));
      }
    }
  }
}

/** With more services and dependencies a project is large: what is wrong with it is told stage by stage. */
const largeFrom = 2000;

/** Whether a project has so many services and dependencies that it takes long to go through all of it. */
export function isLarge(tree: TreeNode): boolean {
  const services = childOf(tree, 'services');
  if (services?.kind !== 'map') return false;
  let count = services.entries.size;
  services.entries.forEach(({ value }) => {
    const dependencies = childOf(value, 'depends_on');
    if (dependencies?.kind === 'map') count += dependencies.entries.size;
  });
  return count > largeFrom;
}

/**
 * Reports circles of services that depend on each other, from the canonical tree alone: those of services that are active
 * whatever the profiles. What takes a few milliseconds here is otherwise found last (`consistency.ts`).
 */
export function tellCirclesOf(tree: TreeNode, diagnostics: Diagnostics): void {
  const services = childOf(tree, 'services');
  if (services?.kind !== 'map') return;
  const dependencies = new Map<string, string[]>();
  services.entries.forEach(({ value }, key) => {
    const named = childOf(value, 'depends_on');
    if (named?.kind !== 'map' || childOf(value, 'profiles') !== undefined) return;
    dependencies.set(key, [...named.entries.keys()].sort());
  });
  findCircles(inOrder(dependencies), (circle, message) => {
    const path = ['services', circle.at(-2)!, 'depends_on', circle.at(-1)!];
    diagnostics.error(placeOf(tree, path), path, message, 'take one of them out');
  });
}

/** In the order of the canonical model, so that the same circles are found. */
function inOrder<T>(services: ReadonlyMap<string, T>): Map<string, T> {
  return new Map([...services.keys()].sort().map((key) => [key, services.get(key)!]));
}
