import type { TaskTemplate } from './service.ts';

/** Full names of the template's named volumes whose data lies on their hosts, and not where their options say. */
export function volumeNames({ container }: TaskTemplate): string[] {
  const names = container.mounts.flatMap((mount) => {
    const isHere = mount.type === 'volume' && mount.driverOptions === undefined;
    return isHere && mount.source !== undefined ? [mount.source] : [];
  });
  return names.length < 2 ? names : [...new Set(names)];
}
