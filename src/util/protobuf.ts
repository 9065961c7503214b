import { fromJSON, type Options, type PackageDefinition } from '@grpc/proto-loader';

/**
 * gRPC interfaces of other programs, written as data and not as `.proto` files, so that a build carries them without copying
 * and nothing is read from disk or parsed at start. Only the messages and fields that are read or written are described, with
 * the other program's field numbers. A name of a message does not travel on the wire, so all of an interface live in one
 * package of ours; the names of services and methods do.
 */
type Field = [number: number, type: string, keyType?: 'string'];
export type MethodShape = [request: string, response: string, streams?: 'response' | 'both'];

export interface InterfaceDescription {
  /** Holds the messages: `shoal.NAME`. */
  package: string;
  messages: Record<string, object>;
  /** By full name, as in `etcdserverpb.KV`. */
  services: Record<string, Record<string, MethodShape>>;
}

export interface MethodCoding {
  /** Path of the HTTP/2 request. */
  path: string;
  requestSerialize: (message: object) => Buffer;
  responseDeserialize: (bytes: Buffer) => object;
}

interface JsonNamespace {
  nested: Record<string, object>;
}

export function message(fields: Record<string, Field>): object {
  const entries = Object.entries(fields).map(([name, [id, type, keyType]]) => {
    const repeated = type.startsWith('repeated ');
    const bare = repeated ? type.slice('repeated '.length) : type;
    return [name, { id, type: bare, ...(repeated && { rule: 'repeated' }), ...(keyType && { keyType }) }];
  });
  return { fields: Object.fromEntries(entries) };
}

/** Reads a description; `options` say how numbers and enumerations are shown. */
export function readInterface(description: InterfaceDescription, options: Options): PackageDefinition {
  const root: JsonNamespace = { nested: {} };
  const place = (name: string, leaf: object) => {
    const path = name.split('.');
    let node = root;
    for (const part of path.slice(0, -1)) {
      node = (node.nested[part] ??= { nested: {} }) as JsonNamespace;
    }
    node.nested[path.at(-1)!] = leaf;
  };
  for (const [name, leaf] of Object.entries(description.messages))
    place(`${description.package}.${name}`, leaf);
  for (const [name, methods] of Object.entries(description.services)) {
    place(name, service(description.package, methods));
  }
  return fromJSON(root, options);
}

/** How to call `SERVICE.METHOD`, as in `Tasks.Create`, by that name. */
export function methodsOf(
  definition: PackageDefinition,
  { services }: InterfaceDescription,
): ReadonlyMap<string, MethodCoding> {
  return new Map(
    Object.keys(services).flatMap((name) => {
      const short = name.slice(name.lastIndexOf('.') + 1);
      const codings = definition[name] as unknown as Record<string, MethodCoding>; // a service's definition, by the table
      return Object.entries(codings).map(([method, coding]) => [`${short}.${method}`, coding] as const);
    }),
  );
}

function service(messages: string, methods: Record<string, MethodShape>): object {
  const entries = Object.entries(methods).map(([name, [request, response, streams]]) => [
    name,
    {
      requestType: `.${messages}.${request}`,
      responseType: `.${messages}.${response}`,
      ...(streams === 'both' && { requestStream: true }),
      ...(streams && { responseStream: true }),
    },
  ]);
  return { methods: Object.fromEntries(entries) };
}
