import type * as x509 from '@peculiar/x509';

/**
 * `@peculiar/x509`, loaded when first needed: it costs time and memory that commands and most daemons never want.
 * It uses a dependency container that insists on the metadata half of `Reflect`, and only ever asks it for constructor
 * parameters that it does not have; two functions that know nothing are therefore all it takes.
 */
export async function loadX509(): Promise<typeof x509> {
  const reflect = Reflect as typeof Reflect & Record<'getMetadata' | 'getOwnMetadata', unknown>;
  reflect.getMetadata ??= () => undefined;
  reflect.getOwnMetadata ??= () => undefined;
  return await import('@peculiar/x509');
}
