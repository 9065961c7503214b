/** Whatever has a name in an application, by the list that it stands in. */
const kinds: Record<string, string> = {
  services: 'service',
  networks: 'network',
  volumes: 'volume',
  secrets: 'secret',
  configs: 'config',
};
/** Levels of a service's spec that the person who wrote it does not know. */
const inner = new Set(['task', 'container']);
/** Characters of a name that may be anything. */
const shownMax = 100;

/**
 * A place in an application as the person who wrote it knows it: `/services/0/task/container/environment/BLOB` is
 * `environment.BLOB of service web`. What is no part of a named object stays as it is.
 */
export function placeIn(application: unknown, path: string): string {
  const [, list = '', index = '', ...rest] = path.split('/').map(unescaped);
  const kind = Object.hasOwn(kinds, list) ? kinds[list] : undefined;
  const objects = (application as Record<string, unknown> | null)?.[list];
  const object = Array.isArray(objects)
    ? (objects[Number(index)] as Record<string, unknown> | null)
    : undefined;
  const name = object?.['key'] ?? object?.['name'];
  if (kind === undefined || typeof name !== 'string') return path;
  const attribute = rest.filter((part) => !inner.has(part)).reduce(joined, '');
  const named = `${kind} ${name.slice(0, shownMax)}`;
  return attribute === '' ? named : `${attribute.slice(0, shownMax)} of ${named}`;
}

function joined(before: string, part: string): string {
  if (/^\d+$/.test(part)) return `${before}[${part}]`;
  return before === '' ? part : `${before}.${part}`;
}

/** As in a JSON pointer (RFC 6901). */
function unescaped(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
}
