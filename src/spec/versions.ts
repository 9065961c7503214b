import type { Service, ServiceVersion } from './service.ts';

/** How many versions of a service are remembered; the oldest go. Only what a rollback returns to is kept with its spec. */
export const versionsMax = 10;

/** The newest version, which is what the service is asked to be. */
export function currentVersion({ versions }: Service): ServiceVersion {
  return versions.at(-1)!;
}

/** Whether it may yet be completed. */
export function isUnderWay({ state }: ServiceVersion): boolean {
  return state === 'proposed' || state === 'rolling';
}

/** The service with changes to its current version. */
export function withCurrentVersion(service: Service, changes: Partial<ServiceVersion>): Service {
  const current = currentVersion(service);
  return { ...service, versions: [...service.versions.slice(0, -1), { ...current, ...changes }] };
}

/** The versions with a new one at the end; what was still under way is superseded by it. */
export function withNewVersion(
  versions: readonly ServiceVersion[],
  next: Omit<ServiceVersion, 'version'>,
): ServiceVersion[] {
  const before = versions.at(-1);
  if (before === undefined) return [{ version: 1, ...next }];
  const ended = isUnderWay(before)
    ? { ...before, state: 'superseded' as const, endedAt: next.createdAt }
    : before;
  return [...versions.slice(0, -1), ended, { version: before.version + 1, ...next }].slice(-versionsMax);
}
