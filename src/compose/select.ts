import { createHash } from 'node:crypto';
import { ShoalError } from '../util/errors.ts';
import type { CanonicalModel, CanonicalService } from './model.ts';
import { newTable, type Plain } from './tree.ts';

/**
 * The model with the named services and those that they depend on, and of everything else only what these use. Throws
 * `not_found` for a name that no service has.
 */
export function selectServices(model: CanonicalModel, names: readonly string[]): CanonicalModel {
  const selected = new Set<string>();
  const rest = [...names];
  for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
    if (!Object.hasOwn(model.services, name)) {
      if (selected.has(name) || !names.includes(name)) continue; // an optional dependency that is not there
      throw new ShoalError('not_found', `Cannot select ${JSON.stringify(name)}: no service is called so`, {
        next: `The services are ${Object.keys(model.services).join(', ')}.`,
      });
    }
    if (selected.has(name)) continue;
    selected.add(name);
    rest.push(...Object.keys(model.services[name]!.depends_on ?? {}));
  }
  return onlyUsed({ ...model, services: keep(model.services, (key) => selected.has(key)) });
}

const kinds = ['networks', 'volumes', 'secrets', 'configs', 'models'] as const;

/** The model without the networks, volumes, secrets, configs and models that no service uses: as for docker compose, they are not made. */
export function onlyUsed(model: CanonicalModel): CanonicalModel {
  const used = Object.fromEntries(kinds.map((kind) => [kind, new Set<string>()]));
  for (const service of Object.values(model.services)) {
    for (const name of Object.keys(service.networks)) used['networks']!.add(name);
    for (const { type, source } of service.volumes ?? []) {
      if (type === 'volume' && source !== undefined) used['volumes']!.add(source);
    }
    const { build, secrets = [], configs = [] } = service;
    for (const { source } of [...secrets, ...(build?.secrets ?? [])]) used['secrets']!.add(source);
    for (const { source } of configs) used['configs']!.add(source);
    for (const name of Object.keys(service.models ?? {})) used['models']!.add(name);
  }
  const result: CanonicalModel = { ...model };
  for (const kind of kinds) {
    const kept = keep<unknown>(model[kind] ?? {}, (key) => used[kind]!.has(key));
    if (Object.keys(kept).length > 0) Object.assign(result, { [kind]: kept });
    else delete result[kind];
  }
  return result;
}

/** The services by name, each after those that it depends on. */
export function dependencyOrder(model: CanonicalModel): string[] {
  const ordered = new Set<string>();
  const stack = Object.keys(model.services).toReversed();
  const opened = new Set<string>();
  for (let name = stack.at(-1); name !== undefined; name = stack.at(-1)) {
    const rest = Object.keys(model.services[name]!.depends_on ?? {}).filter(
      (one) => Object.hasOwn(model.services, one) && !opened.has(one),
    );
    if (!opened.has(name) && rest.length > 0) stack.push(...rest.toReversed());
    else ordered.add(stack.pop()!);
    opened.add(name);
  }
  return [...ordered];
}

const tables = new Set(['services', 'networks', 'volumes', 'secrets', 'configs', 'models']);

/** Of another form of a model what of it was selected: the services and what they use. */
export function selectFrom(model: Plain, selected: CanonicalModel): Plain {
  const names = selected as unknown as Record<string, object | undefined>;
  return Object.fromEntries(
    Object.entries(model as Record<string, Plain>).map(([key, value]): [string, Plain] => {
      if (!tables.has(key)) return [key, value];
      return [key, keep(value as Record<string, Plain>, (name) => Object.hasOwn(names[key] ?? {}, name))];
    }),
  );
}

function keep<T>(table: Record<string, T>, wanted: (key: string) => boolean): Record<string, T> {
  const kept = newTable<T>();
  for (const [key, value] of Object.entries(table)) if (wanted(key)) kept[key] = value;
  return kept;
}

/**
 * SHA-256 of what a service's containers are made from, in hexadecimal. How many there are, and what they wait for, does
 * not count, so that scaling changes no hash.
 */
export function serviceHash(service: CanonicalService): string {
  const { depends_on: _, profiles: __, scale: ___, deploy, ...rest } = service;
  const { replicas: ____, ...wishes } = deploy ?? {};
  const hashed = deploy === undefined ? rest : { ...rest, deploy: wishes };
  return createHash('sha256').update(JSON.stringify(hashed)).digest('hex');
}
