import { ShoalError } from '../util/errors.ts';

/** An image's name taken apart. */
export interface Reference {
  /** Registry as written or `docker.io`, with its port. */
  registry: string;
  /** Path in the registry, `library/redis`. */
  repository: string;
  tag?: string;
  digest?: string;
}

const defaultRegistry = 'docker.io';
/** Where docker.io's images really are. */
const defaultRegistryHost = 'registry-1.docker.io';
const referenceBytesMax = 512;

// Grammar: https://github.com/distribution/reference, reference.go
const component = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
const repositoryPattern = new RegExp(`^${component}(?:/${component})*$`);
const registryPattern = /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?$/;
const tagPattern = /^[\w][\w.-]{0,127}$/;
const digestPattern = /^sha256:[0-9a-f]{64}$/;

/**
 * Takes an image reference apart by Docker's rules: no registry means docker.io, a bare name there is in `library/`, and
 * neither tag nor digest means `latest`. With both, the digest decides. Throws `invalid_argument`.
 */
export function parseReference(text: string): Reference {
  const fail = (why: string) =>
    new ShoalError('invalid_argument', `Cannot read the image reference "${text}": ${why}`, {
      next: 'Write it as [REGISTRY/]NAME[:TAG][@sha256:DIGEST].',
    });
  if (text === '' || text.length > referenceBytesMax)
    throw fail(text === '' ? 'it is empty' : 'it is too long');
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !digestPattern.test(digest))
    throw fail('the digest is not sha256 and 64 hex digits');
  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.lastIndexOf(':');
  const hasTag = colon > named.lastIndexOf('/');
  const tag = hasTag ? named.slice(colon + 1) : undefined;
  if (tag !== undefined && !tagPattern.test(tag)) throw fail('the tag is malformed');
  const { registry, path } = splitRegistry(hasTag ? named.slice(0, colon) : named);
  if (!registryPattern.test(registry)) throw fail('the registry is malformed');
  if (path !== path.toLowerCase()) throw fail('the name must be lower case');
  if (!repositoryPattern.test(path)) throw fail('the name is malformed');
  const repository = registry === defaultRegistry && !path.includes('/') ? `library/${path}` : path;
  if (digest !== undefined) return { registry, repository, digest };
  return { registry, repository, tag: tag ?? 'latest' };
}

/** A first component names a registry only when it could not be part of a repository's path. */
function splitRegistry(name: string): { registry: string; path: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const isRegistry = first === 'localhost' || /[.:]/.test(first) || first !== first.toLowerCase();
  if (!isRegistry) return { registry: defaultRegistry, path: name };
  return { registry: canonicalRegistry(first), path: name.slice(slash + 1) };
}

/** A registry by the name it goes by here: Docker's own has two. */
export function canonicalRegistry(registry: string): string {
  return registry === 'index.docker.io' ? defaultRegistry : registry;
}

/** The one spelling of a reference: what two spellings of the same image share. */
export function canonicalReference(reference: Reference): string {
  const { registry, repository, tag, digest } = reference;
  return `${registry}/${repository}${digest === undefined ? `:${tag}` : `@${digest}`}`;
}

/** The address to dial for a registry: base URL without a path. Plain HTTP only for loopback and the hosts listed. */
export function registryUrl(registry: string, insecureRegistries: readonly string[]): URL {
  const host = registry === defaultRegistry ? defaultRegistryHost : registry;
  const insecure = insecureRegistries.includes(registry) || isLoopback(new URL(`http://${host}`).hostname);
  return new URL(`${insecure ? 'http' : 'https'}://${host}`);
}

/** Whether this host name or address is this machine itself. */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}
