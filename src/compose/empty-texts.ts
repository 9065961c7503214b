import { childOf, mapValues, type TreeNode } from './tree.ts';

/** Attributes of a service that say nothing when they are empty, as a variable without a value leaves them (compose-go). */
const attributes = [
  'cgroup_parent',
  'cpuset',
  'domainname',
  'hostname',
  'ipc',
  'isolation',
  'mac_address',
  'pid',
  'platform',
  'restart',
  'runtime',
  'stop_signal',
  'user',
  'userns_mode',
  'uts',
  'working_dir',
] as const;

const isEmpty = (node: TreeNode | undefined) => node?.kind === 'scalar' && node.value === '';

/**
 * The merged tree without such attributes. Not before it is merged: an empty text of a later file takes away what an
 * earlier one says.
 */
export function withoutEmptyTexts(tree: TreeNode): TreeNode {
  const services = childOf(tree, 'services');
  if (tree.kind !== 'map' || services?.kind !== 'map') return tree;
  const next = mapValues(services, withoutEmptyOnes);
  return mapValues(tree, (value, key) => (key === 'services' ? next : value));
}

function withoutEmptyOnes(service: TreeNode): TreeNode {
  if (service.kind !== 'map') return service;
  const empty = new Set<string>(attributes.filter((name) => isEmpty(childOf(service, name))));
  const ports = childOf(service, 'ports');
  const isOpen = ports?.kind === 'list' && ports.items.some((port) => isEmpty(childOf(port, 'published')));
  if (empty.size === 0 && !isOpen) return service;
  return mapValues(service, (value, key) => {
    if (empty.has(key)) return undefined;
    return key === 'ports' && value.kind === 'list' ? { ...value, items: value.items.map(anyPort) } : value;
  });
}

/** A port that is published on nothing is published on any. */
function anyPort(port: TreeNode): TreeNode {
  if (port.kind !== 'map' || !isEmpty(childOf(port, 'published'))) return port;
  return mapValues(port, (value, key) => (key === 'published' ? undefined : value));
}
