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

/** What remembers where the application is brought up from; undefined when that is known already, or not told. */
export function rememberOrigin(
  view: View,
  { name, origin }: ApplicationSpec,
  meta: () => ObjectMeta,
): Change | undefined {
  if (origin === undefined) return undefined;
  const stored = view.applications.get(name);
  if (stored === undefined) {
    return { kind: 'application', action: 'create', object: { ...meta(), id: name, origin } };
  }
  if (isDeepStrictEqual(stored.origin, origin)) return undefined;
  return { kind: 'application', action: 'update', object: { ...stored, origin } };
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
