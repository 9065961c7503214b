import { unreachable } from '../../../src/util/errors.ts';
import {
  isLate,
  isSameVariant,
  isStranded,
  serviceKeys,
  variantOf,
  type Change,
  type ServiceKey,
  type State,
  type Variant,
} from './model.ts';

/** What changes may come to, from the state before alone: which exit codes are right, and what must be there afterwards. */

/** What a service is in the end. */
export type Final = Variant & { replicas: number };
export type Finals = Record<ServiceKey, Final>;

/** One way in which it may go. */
export interface Outcome {
  /** Exit codes that are right for each change. */
  exits: number[][];
  services: Finals;
}

/** What a service is asked to be while changes are under way. */
interface Wanted extends Final {
  /** Its tasks will fail. */
  isBad: boolean;
  /** A change of the same round made it, and it may not have come to its end. */
  isFresh: boolean;
  /** What a failure takes it back to: one of these. */
  fallbacks: Variant[];
  /** What a person's rollback returns to; none: it is refused. */
  target?: Variant | undefined;
}
type Services = Record<ServiceKey, Wanted>;

/** Every way in which one change, or two that come at once, may go. */
export function outcomesOf(before: State, changes: readonly Change[]): Outcome[] {
  const start = servicesOf(before);
  const [first, second] = changes;
  if (first === undefined) return [];
  if (second === undefined) {
    return storedBy(first, start, before).flatMap((stored) =>
      settled(stored ?? start).map((services) => ({
        exits: [ownExits(first, stored, before, changes)],
        services: finalsOf(services),
      })),
    );
  }
  const inOrder = inOrderOutcomes(before, first, second);
  const reversed = inOrderOutcomes(before, second, first);
  return [...inOrder, ...reversed.map(({ exits, services }) => ({ exits: exits.toReversed(), services }))];
}

/** What is wrong when none of the outcomes is what was seen; undefined when one is. */
export function whyUnexpected(
  outcomes: readonly Outcome[],
  exits: readonly number[],
  services: Finals,
): string | undefined {
  const fits = outcomes.filter((outcome) => isSameFinals(outcome.services, services));
  if (fits.some((outcome) => outcome.exits.every((right, index) => right.includes(exits[index]!)))) {
    return undefined;
  }
  const seen = `exit ${exits.join(' and ')} with ${finalWords(services)}`;
  const words = (fits.length > 0 ? fits : outcomes).map(
    (outcome) =>
      `exit ${outcome.exits.map((right) => right.join('|')).join(' and ')} with ${finalWords(outcome.services)}`,
  );
  return `${seen}; right would be ${[...new Set(words)].join(', or ')}`;
}

/** What a command that ended with this exit code has to say, and did not; undefined when it said it. */
export function whyUnsaid(change: Change, exitCode: number, said: string, before: State): string | undefined {
  const words = wordsFor(change, exitCode, before);
  return words === undefined || words.test(said)
    ? undefined
    : `exit ${exitCode} and no ${words.source} in what it said`;
}

function wordsFor(change: Change, exitCode: number, before: State): RegExp | undefined {
  if (exitCode === 4) return /by root \(local socket\) meanwhile/;
  if (exitCode !== 1) return undefined;
  if (change.kind === 'overfill') return /cannot be placed: .*insufficient memory/;
  if (change.kind !== 'up') return undefined;
  if (change.fault === undefined) return isStranded(before) ? /which is drained/ : undefined;
  return isLate(change.fault) ? /failed and was rolled back to version/ : refusals[change.fault];
}

const refusals = {
  port: /port 18081/,
  constraint: /node\.labels\.disk == none/,
  reservation: /insufficient memory/,
  secret: /nowhere/,
};

function finalWords(services: Finals): string {
  const word = (key: ServiceKey) => {
    const { version, secondPort, replicas } = services[key];
    return `${key} ${version}${secondPort ? '+port' : ''} x${replicas}`;
  };
  return serviceKeys.map(word).join(', ');
}

function isSameFinals(left: Finals, right: Finals): boolean {
  return serviceKeys.every(
    (key) => left[key].replicas === right[key].replicas && isSameVariant(left[key], right[key]),
  );
}

function finalsOf(services: Services): Finals {
  const final = (key: ServiceKey) => ({ ...variantOf(services[key]), replicas: services[key].replicas });
  return { web: final('web'), api: final('api'), store: final('store') };
}

function servicesOf({ services }: State): Services {
  const wanted = (key: ServiceKey): Wanted => ({
    ...services[key],
    isBad: false,
    isFresh: false,
    fallbacks: [variantOf(services[key])],
  });
  return { web: wanted('web'), api: wanted('api'), store: wanted('store') };
}

/** `first` is stored before `second`, which finds what it asked for at its end, or under way. */
function inOrderOutcomes(before: State, first: Change, second: Change): Outcome[] {
  const start = servicesOf(before);
  const both = [first, second];
  return storedBy(first, start, before).flatMap((stored) => {
    const found = stored === undefined ? [start] : [...settled(stored), stored];
    return found.flatMap((services) =>
      storedBy(second, services, before).flatMap((later) => {
        const firstExits = ownExits(first, stored, before, both);
        const isOvertaken = later !== undefined && stored !== undefined && overtakes(first, second);
        // What was overtaken and also fails, in a service that nobody has changed, has failed.
        const overtaken = isOvertaken && !(first.kind === 'up' && isStranded(before)) ? [4] : [];
        const exits = [[...firstExits, ...overtaken], ownExits(second, later, before, both)];
        return settled(later ?? services).map((end) => ({ exits, services: finalsOf(end) }));
      }),
    );
  });
}

/** What is asked for once the change is stored; undefined: it is refused, and nothing changes. One entry for each possibility. */
function storedBy(change: Change, services: Services, before: State): (Services | undefined)[] {
  switch (change.kind) {
    case 'up':
      return [storedByUp(change, services, before)];
    case 'scale':
      return [{ ...services, [change.service]: { ...services[change.service], replicas: change.replicas } }];
    case 'overfill': {
      // Taken back as it is, but for the number of replicas.
      const wanted = { ...services.web, replicas: change.replicas, target: undefined };
      return [{ ...services, web: wanted }];
    }
    case 'rollback': {
      const wanted = services[change.service];
      const targets = wanted.isFresh
        ? wanted.fallbacks
        : [wanted.target].filter((target) => target !== undefined);
      if (targets.length === 0) return [undefined];
      return targets.map((target) => ({ ...services, [change.service]: replaced(wanted, target, false) }));
    }
    case 'restart':
    case 'drain':
    case 'activate':
    case 'lose':
      return [services];
    default:
      return unreachable(change);
  }
}

/** The file says all of every service but its scale; the client wrote it when all was as `before`. */
function storedByUp(
  change: Extract<Change, { kind: 'up' }>,
  services: Services,
  before: State,
): Services | undefined {
  const { fault } = change;
  if (fault !== undefined && !isLate(fault)) return undefined;
  const after = { ...services };
  for (const key of serviceKeys) {
    const isIt = key === change.service;
    const variant = isIt ? changedVariant(before.services[key], change) : variantOf(before.services[key]);
    const wanted = services[key];
    const isKept = isSameVariant(variant, wanted) && !wanted.isBad && !(isIt && fault !== undefined);
    const next = isKept ? wanted : replaced(wanted, variant, isIt && fault !== undefined);
    after[key] = isIt && change.replicas !== undefined ? { ...next, replicas: change.replicas } : next;
  }
  return after;
}

/** The variant that the file of the change asks for. */
export function changedVariant(variant: Variant, change: Extract<Change, { kind: 'up' }>): Variant {
  return {
    version: change.version ?? variant.version,
    secondPort: variant.secondPort !== (change.togglesPort === true),
  };
}

function replaced(wanted: Wanted, variant: Variant, isBad: boolean): Wanted {
  // Of what was under way it cannot be told whether it was completed before.
  const own = wanted.isBad ? [] : [variantOf(wanted)];
  const earlier = wanted.isFresh || wanted.isBad ? wanted.fallbacks : [];
  return { ...wanted, ...variant, isBad, isFresh: true, fallbacks: [...own, ...earlier] };
}

/** All ways in which what is asked for comes to its end. */
function settled(services: Services): Services[] {
  return serviceKeys.reduce<Services[]>(
    (ways, key) =>
      ways.flatMap((way) => endsOf(way[key]).map((end) => ({ ...way, [key]: end }) satisfies Services)),
    [services],
  );
}

function endsOf(wanted: Wanted): Wanted[] {
  if (!wanted.isFresh) return [wanted];
  const end = { ...wanted, isBad: false, isFresh: false };
  if (!wanted.isBad) {
    return [{ ...end, target: wanted.fallbacks[0], fallbacks: [variantOf(wanted)] }];
  }
  // What a failure was taken back to is what a person could return to: that is refused.
  return wanted.fallbacks.map((back) => ({ ...end, ...back, target: undefined, fallbacks: [back] }));
}

/** Exit codes that are right for the change if no other one overtakes it. `stored` is undefined when it was refused. */
function ownExits(
  change: Change,
  stored: Services | undefined,
  before: State,
  all: readonly Change[],
): number[] {
  if (stored === undefined) return [1];
  switch (change.kind) {
    case 'up':
      if (isLate(change.fault)) return [1];
      return waitExits(before, all);
    case 'overfill':
      return [1];
    case 'restart':
      // What is bad is made once more, and fails once more.
      return stored[change.service].isBad ? [1] : [0];
    case 'scale':
    case 'rollback':
      return [0];
    case 'drain':
    case 'activate':
    case 'lose':
      return [0];
    default:
      return unreachable(change);
  }
}

/** `up` waits for all services, and fails when the store cannot be where its volume is. */
function waitExits(before: State, all: readonly Change[]): number[] {
  const node = all.find((change) => 'node' in change);
  if (node === undefined) return isStranded(before) ? [1] : [0];
  return node.node === before.home ? [0, 1] : [0];
}

/** Whether `second` asks for something else than `first` did, and waits for. */
function overtakes(first: Change, second: Change): boolean {
  if ('node' in first || 'node' in second) return false;
  if (first.kind === 'scale') {
    return second.service === first.service && 'replicas' in second && second.replicas !== undefined;
  }
  // A restart makes the same once more.
  if (second.kind === 'restart') return false;
  if (first.kind === 'up' || second.kind === 'up') return true;
  // Nor did a restart or a rollback ask for a number.
  if (second.kind === 'scale') return false;
  return first.service === second.service;
}
