import { dynamicPorts } from '../../src/spec/defaults.ts';
import type { AllocatedPort, PublishedPort, Service } from '../../src/spec/service.ts';
import type { View } from '../store/objects.ts';
import { cursorName, nextFree, type Cursors, type Range } from './range.ts';

const keyOf = (published: number, protocol: string) => `${published}/${protocol}`;

/** Whether an allocated port is what is asked for. */
function satisfies(allocated: AllocatedPort, wanted: PublishedPort): boolean {
  if (allocated.target !== wanted.target || allocated.protocol !== wanted.protocol) return false;
  const { first, last } = rangeOf(wanted);
  return allocated.published >= first && allocated.published <= last;
}

function rangeOf(wanted: PublishedPort): Range {
  if (wanted.published === undefined) return dynamicPorts;
  return typeof wanted.published === 'number'
    ? { first: wanted.published, last: wanted.published }
    : wanted.published;
}

/**
 * What a service keeps of its allocated ports, in the order of its spec; undefined for a port that is still to be allocated.
 * A service that is being removed keeps all until it is gone.
 */
export function keptPorts(service: Service): (AllocatedPort | undefined)[] {
  const allocated = [...(service.endpoint?.ports ?? [])];
  if (service.removing) return allocated;
  return service.spec.ports.map((wanted) => {
    const index = allocated.findIndex(
      (port) =>
        satisfies(port, wanted) &&
        (typeof wanted.published === 'number' || !asksFor(service, port.published, port.protocol)),
    );
    return index < 0 ? undefined : allocated.splice(index, 1)[0];
  });
}

/** How often the service asks for this very port: its own ranges then leave it alone. */
function asksFor({ spec }: Service, published: number, protocol: string): number {
  return spec.ports.filter((port) => port.published === published && port.protocol === protocol).length;
}

/** The published ports of the whole cluster. */
export class PublishedPorts {
  /** Port to the full name of the service that publishes it on every host. */
  readonly #ingress = new Map<string, string>();
  /** Port to the service that publishes it on the hosts of its replicas, where it would hide the other. */
  readonly #host = new Map<string, string>();
  readonly #cursors: Cursors;

  constructor(view: View, cursors: Cursors) {
    this.#cursors = cursors;
    for (const service of view.services.values()) {
      for (const port of keptPorts(service)) {
        if (port) this.#ingress.set(keyOf(port.published, port.protocol), service.spec.name);
      }
      for (const { published, protocol } of service.spec.task.hostPorts) {
        if (typeof published === 'number') this.#host.set(keyOf(published, protocol), service.spec.name);
      }
    }
  }

  /** Takes a port for the service; throws with the reason in words when it cannot be had. */
  take(service: Service, wanted: PublishedPort): AllocatedPort {
    const { name } = service.spec;
    const { target, protocol } = wanted;
    const range = rangeOf(wanted);
    const isFixed = typeof wanted.published === 'number';
    if (isFixed && asksFor(service, range.first, protocol) > 1) {
      throw new Error(`port ${range.first}/${protocol} is published twice by this service`);
    }
    const cursor = wanted.published === undefined ? this.#cursors.get(cursorName.port) : undefined;
    const isTaken = (port: number) =>
      this.#holder(name, keyOf(port, protocol)) !== undefined ||
      (!isFixed && asksFor(service, port, protocol) > 0);
    const published = nextFree(range, cursor, isTaken);
    if (published === undefined) throw new Error(this.#whyNot(name, range, protocol));
    if (wanted.published === undefined) this.#cursors.set(cursorName.port, published);
    this.#ingress.set(keyOf(published, protocol), name);
    return { target, published, protocol };
  }

  /** Gives back what was taken for a service that could not be allocated whole. */
  giveBack(ports: AllocatedPort[]): void {
    for (const { published, protocol } of ports) this.#ingress.delete(keyOf(published, protocol));
  }

  #holder(name: string, key: string): string | undefined {
    const host = this.#host.get(key);
    return this.#ingress.get(key) ?? (host === name ? undefined : host);
  }

  #whyNot(name: string, { first, last }: Range, protocol: string): string {
    if (first !== last) return `no port of ${first}-${last}/${protocol} is free`;
    const holder = this.#holder(name, keyOf(first, protocol));
    return `port ${first}/${protocol} is already published by service ${holder}`;
  }
}
