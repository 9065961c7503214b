import { fullName } from '../spec/names.ts';
import { isMap, type Plain } from './tree.ts';

type Table = Record<string, Plain>;

/**
 * A model whose variables have no values, with the names, networks and defaults that it would have with them, keys sorted.
 * Only as far as that goes: a variable may stand where a list or a map would be, and is left there.
 */
export function normaliseWritten(written: Table, name: string): Plain {
  const { version: _, include: __, services, ...rest } = written;
  const model: Table = { ...rest, name: written['name'] ?? name, services: {} };
  let usesDefault = false;
  if (isMap(services)) {
    const whole = Object.entries(services).map(([key, service]): [string, Plain] => {
      if (!isMap(service)) return [key, service];
      const normal = normalService(service);
      const { networks } = normal;
      usesDefault ||= isMap(networks) && Object.hasOwn(networks, 'default');
      return [key, normal];
    });
    model['services'] = Object.fromEntries(whole);
  }
  if (usesDefault) model['networks'] = { default: null, ...(isMap(rest['networks']) && rest['networks']) };
  for (const kind of ['networks', 'volumes', 'secrets', 'configs']) {
    const table = model[kind];
    if (isMap(table)) model[kind] = eachEntry(table, (entry, key) => named(entry, key, name));
  }
  return sorted(model);
}

function normalService(service: Table): Table {
  const normal: Table = { ...service };
  delete normal['extends'];
  const { networks, network_mode: mode, provider, depends_on: dependencies, ports, secrets } = service;
  const isOnNone = networks === undefined || (isMap(networks) && Object.keys(networks).length === 0);
  if (isOnNone && mode === undefined && provider === undefined) normal['networks'] = { default: null };
  if (isMap(dependencies)) {
    normal['depends_on'] = eachEntry(dependencies, (one) => withDefaults(one, { required: true }));
  }
  if (Array.isArray(ports)) {
    normal['ports'] = ports.map((port) => withDefaults(port, { protocol: 'tcp', mode: 'ingress' }));
  }
  if (Array.isArray(secrets)) {
    normal['secrets'] = secrets.map((secret) => {
      const source = isMap(secret) && secret['source'];
      return typeof source === 'string' ? withDefaults(secret, { target: `/run/secrets/${source}` }) : secret;
    });
  }
  return normal;
}

function named(entry: Plain, key: string, name: string): Plain {
  if (entry !== null && !isMap(entry)) return entry;
  return withDefaults(entry ?? {}, { name: entry?.['external'] === true ? key : fullName(name, key) });
}

function withDefaults(value: Plain, defaults: Table): Plain {
  return isMap(value) ? { ...defaults, ...value } : value;
}

function eachEntry(table: Table, change: (value: Plain, key: string) => Plain): Table {
  return Object.fromEntries(Object.entries(table).map(([key, value]) => [key, change(value, key)]));
}

function sorted(value: Plain): Plain {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isMap(value)) return value;
  const entries = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  return Object.fromEntries(entries.map(([key, child]) => [key, sorted(child)]));
}
