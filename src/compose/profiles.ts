import type { Diagnostics } from './diagnostic.ts';
import type { RawModel } from './normalise.ts';
import { sharesOf } from './sharing.ts';
import { placeOf, type TreeNode } from './tree.ts';

/**
 * The model with those services only whose profiles are active: all that name none, and those that name an active one;
 * `*` activates all. A required dependency on a service that is left out is reported, any other is dropped (Compose
 * specification, "Profiles").
 */
export function selectProfiles(
  model: RawModel,
  active: readonly string[],
  tree: TreeNode,
  diagnostics: Diagnostics,
): RawModel {
  const services = Object.entries(model.services ?? {});
  const isActive = (profiles: readonly string[] | undefined) =>
    profiles === undefined ||
    profiles.length === 0 ||
    active.includes('*') ||
    profiles.some((profile) => active.includes(profile));
  const left = new Map(services.filter(([, { profiles }]) => !isActive(profiles)));
  if (left.size === 0) return model;
  const kept = Object.create(null) as NonNullable<RawModel['services']>;
  for (const [key, service] of services) {
    if (left.has(key)) continue;
    const { depends_on: dependencies } = service;
    const lost = Object.keys(dependencies ?? {}).filter((name) => left.has(name));
    kept[key] = service;
    for (const share of sharesOf(service)) {
      if (!left.has(share.service)) continue;
      const path = ['services', key, ...share.path];
      const { profiles = [] } = left.get(share.service)!;
      const hint = `activate it with --profile ${profiles[0]}`;
      diagnostics.error(placeOf(tree, path), path, absent(share.service, profiles), hint);
      // So that it is not told once more that there is no such service.
      const { [share.kind]: _, ...rest } = kept[key];
      kept[key] = rest;
    }
    if (lost.length === 0) continue;
    kept[key] = {
      ...kept[key],
      depends_on: Object.fromEntries(Object.entries(dependencies!).filter(([name]) => !left.has(name))),
    };
    for (const name of lost.filter((one) => dependencies![one]!.required ?? true)) {
      const profiles = left.get(name)!.profiles!;
      const path = ['services', key, 'depends_on', name];
      diagnostics.error(
        placeOf(tree, path),
        path,
        absent(name, profiles),
        `activate it with --profile ${profiles[0]}, or say required: false`,
      );
    }
  }
  return { ...model, services: kept };
}

/** All profiles that the services name, or only those of some services, sorted. */
export function profilesOf(model: RawModel, names?: readonly string[]): string[] {
  const services = model.services ?? {};
  const profiles = new Set<string>();
  for (const key of names ?? Object.keys(services)) {
    if (!Object.hasOwn(services, key)) continue;
    for (const profile of services[key]!.profiles ?? []) profiles.add(profile);
  }
  return [...profiles].toSorted();
}

function absent(name: string, profiles: readonly string[]): string {
  return `${name} is only there with the profile ${profiles.join(' or ')}, which is not active`;
}
