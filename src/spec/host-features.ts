import type { NodeDescription } from './node.ts';
import type { TaskTemplate } from './service.ts';
import type { CdiRequest } from './settings.ts';

/** Something that only some hosts have, and that the tasks of a template need. */
export interface HostNeed {
  isMet: (description: NodeDescription | undefined) => boolean;
  /** Reads well before "on 2 nodes". */
  explain: string;
}

/** What the tasks of a template need that hosts say of themselves whether they have it. */
export function hostNeeds({ container }: TaskTemplate): HostNeed[] {
  const { runtime, cdi = [] } = container.settings ?? {};
  const needs = cdi.map((request): HostNeed => ({
    explain:
      'device' in request
        ? `no device ${request.device}`
        : `fewer than ${request.count} devices ${request.kind}`,
    isMet: (description) => chooseCdiDevices(request, description?.cdiDevices ?? []) !== undefined,
  }));
  if (runtime === undefined) return needs;
  return [
    {
      explain: `no runtime ${runtime}`,
      isMet: (description) => description?.runtimes?.includes(runtime) === true,
    },
    ...needs,
  ];
}

/**
 * The devices, by full name, that a host with these gives for a request; nothing when it has too few. Of a kind those with a
 * number for a name are counted, or when there are none all but `all`: tools that write specifications name one device
 * in several ways.
 */
export function chooseCdiDevices(request: CdiRequest, devices: readonly string[]): string[] | undefined {
  if ('device' in request) return devices.includes(request.device) ? [request.device] : undefined;
  const names = devices.flatMap((device) => {
    const [kind, name = ''] = device.split('=');
    return kind === request.kind && name !== 'all' ? [name] : [];
  });
  const numbered = names
    .filter((name) => /^\d+$/u.test(name))
    .sort((left, right) => Number(left) - Number(right));
  const counted = numbered.length > 0 ? numbered : names.sort();
  if (counted.length < request.count) return undefined;
  return counted.slice(0, request.count).map((name) => `${request.kind}=${name}`);
}
