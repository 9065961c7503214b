import type { Plain } from './tree.ts';

type PlainMap = { [key: string]: Plain };

function isMap(value: Plain | undefined): value is PlainMap {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** The model with other images: those of services, of hooks that run in containers of their own, and those that are mounted. */
export function withImages(model: Plain, change: (image: string) => string): Plain {
  if (!isMap(model) || !isMap(model['services'])) return model;
  const { services } = model;
  return { ...model, services: mapMap(services, (service) => serviceWithImages(service, services, change)) };
}

/** The images that a model names, each once. */
export function imagesOf(model: Plain): string[] {
  const found = new Set<string>();
  withImages(model, (image) => {
    found.add(image);
    return image;
  });
  return [...found];
}

/** Of a model the images alone: what another file can be laid over to run those and no others. */
export function onlyImages(model: Plain): Plain {
  if (!isMap(model) || !isMap(model['services'])) return { services: {} };
  const services = Object.entries(model['services']).flatMap(([key, service]): [string, Plain][] => {
    if (!isMap(service)) return [];
    const { image, volumes } = service;
    const mounted = Array.isArray(volumes) ? volumes.filter(isImageMount) : [];
    if (image === undefined && mounted.length === 0) return [];
    const only = { ...(image !== undefined && { image }), ...(mounted.length > 0 && { volumes: mounted }) };
    return [[key, only]];
  });
  return { services: Object.fromEntries(services) };
}

function serviceWithImages(service: Plain, services: PlainMap, change: (image: string) => string): Plain {
  if (!isMap(service)) return service;
  const { image, pre_start: hooks, volumes } = service;
  const changed = { ...service };
  const changeKey = (map: Plain, key: string): Plain =>
    isMap(map) && typeof map[key] === 'string' ? { ...map, [key]: change(map[key]) } : map;
  if (typeof image === 'string') changed['image'] = change(image);
  if (Array.isArray(hooks)) changed['pre_start'] = hooks.map((hook) => changeKey(hook, 'image'));
  if (Array.isArray(volumes)) {
    changed['volumes'] = volumes.map((mount) => {
      // an image may also be the one that a service of the application builds
      const isElsewhere = isImageMount(mount) && !Object.hasOwn(services, mount['source'] as string);
      return isElsewhere ? changeKey(mount, 'source') : mount;
    });
  }
  return changed;
}

function isImageMount(mount: Plain): mount is PlainMap {
  return isMap(mount) && mount['type'] === 'image';
}

function mapMap(map: PlainMap, change: (value: Plain) => Plain): PlainMap {
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key, change(value)]));
}
