import { ShoalError } from '../util/errors.ts';
import type { RollbackTarget, Service } from './service.ts';
import { currentVersion } from './versions.ts';

/** Earlier completed versions that are kept with their specs beside the one that a rollback returns to; the oldest go. */
export const earlierTargetsMax = 4;
/** All of them together, as JSON: they are read and sent with the service. */
export const earlierTargetsCharactersMax = 128 * 1024;

/** What the service can be returned to once `target` is what a rollback returns to by default. */
export function withTarget(
  { versions, rollbackTarget, earlierTargets = [] }: Service,
  target: RollbackTarget | undefined,
): Pick<Service, 'rollbackTarget' | 'earlierTargets'> {
  if (target === undefined) return {};
  const known = [...earlierTargets, ...(rollbackTarget === undefined ? [] : [rollbackTarget])];
  const told = new Set(versions.map(({ version }) => version));
  const others = known
    .filter(({ version }) => version !== target.version && told.has(version))
    .toSorted((left, right) => left.version - right.version);
  let characters = 0;
  const kept = others.slice(-earlierTargetsMax).findLastIndex((each) => {
    characters += JSON.stringify(each).length;
    return characters > earlierTargetsCharactersMax;
  });
  return { rollbackTarget: target, earlierTargets: others.slice(-earlierTargetsMax).slice(kept + 1) };
}

/** The version by its number. Throws `failed_precondition` with why it cannot be returned to. */
export function targetOf(service: Service, version: number): RollbackTarget {
  const { rollbackTarget, earlierTargets = [], spec } = service;
  const found = [...earlierTargets, rollbackTarget].find((target) => target?.version === version);
  if (found !== undefined && version !== currentVersion(service).version) return found;
  throw new ShoalError('failed_precondition', `Cannot roll back ${spec.name}: ${whyNot(service, version)}`, {
    next: `\`shoal service history ${spec.name}\` says which versions can be returned to.`,
  });
}

function whyNot(service: Service, version: number): string {
  if (version === currentVersion(service).version) return `version ${version} is what it is asked to be`;
  const known = service.versions.find((each) => each.version === version);
  if (known === undefined) return `nothing is known of a version ${version}`;
  if (known.state !== 'completed') return `version ${version} was never completed (${known.state})`;
  return `of version ${version} only what became of it is kept`;
}
