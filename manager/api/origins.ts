import { isDeepStrictEqual } from 'node:util';
import type { ApplicationSpec } from '../../src/spec/application.ts';
import type { ObjectMeta } from '../../src/spec/object.ts';
import {
  isSameOrigin,
  originWords,
  type Application,
  type ProjectOrigin,
} from '../../src/spec/project-origin.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Change, Plan, View } from '../store/objects.ts';
import { requestsMax } from './repeated.ts';

/** Where the project was brought up from, when that is another place; undefined also when nothing of it is there any more. */
export function otherOrigin(view: View, { name, origin }: ApplicationSpec): ProjectOrigin | undefined {
  const stored = view.applications.get(name)?.origin;
  if (stored === undefined || origin === undefined || isSameOrigin(stored, origin)) return undefined;
  return isHeld(view, name) ? stored : undefined;
}

/** Whether the project has something that an `up` would take over: what is being removed is not. */
function isHeld(view: View, name: string): boolean {
  const parts = [view.services, view.networks, view.volumes];
  return parts.some((objects) =>
    objects.values().some(({ spec, removing }) => spec?.application === name && removing !== true),
  );
}

export function refuseOrigin({ name, origin }: ApplicationSpec, stored: ProjectOrigin): ShoalError {
  return new ShoalError(
    'failed_precondition',
    `Cannot bring up ${name}: it was brought up from ${originWords(stored)}, and this is ${originWords(origin!)}`,
    {
      next: `Nothing was changed. If the folder has moved, or is to take over ${name}, say --yes: it belongs to this one from then on. If these are two projects, give this one another name, with \`name:\` in its file or -p NAME.`,
      details: { otherOrigin: stored },
    },
  );
}

/**
 * What remembers where the application is brought up from, and by which request; undefined when that is known already, or not
 * told. `request` is one that changes something, at `now` (ms).
 */
export function rememberApplication(
  view: View,
  { name, origin }: ApplicationSpec,
  { request, now, meta }: { request?: string | undefined; now: number; meta: () => ObjectMeta },
): Change | undefined {
  const stored = view.applications.get(name);
  const known = stored?.requests ?? [];
  const requests = request === undefined ? known : [...known, { id: request, at: now }].slice(-requestsMax);
  const told = { ...(origin && { origin }), ...(requests.length > 0 && { requests }) };
  if (stored === undefined) {
    if (Object.keys(told).length === 0) return undefined;
    return { kind: 'application', action: 'create', object: { ...meta(), id: name, ...told } };
  }
  const object = { ...stored, ...told };
  return isDeepStrictEqual(stored, object) ? undefined : { kind: 'application', action: 'update', object };
}

/** Forgets where applications came from of which nothing is left. */
export function planForget(view: View): Plan {
  if (view.applications.size === 0) return [];
  const named = new Set<string | undefined>();
  const kinds = [view.services, view.networks, view.volumes, view.secrets, view.configs];
  for (const objects of kinds) {
    // A damaged object may have no spec, and could be of any application.
    for (const { spec } of objects.values() as Iterable<{ spec?: { application?: string } }>) {
      if (spec === undefined) return [];
      named.add(spec.application);
    }
  }
  const left = view.applications.values().filter(({ id }: Application) => !named.has(id));
  return Array.from(left, (object) => [{ kind: 'application', action: 'delete', object }]);
}
