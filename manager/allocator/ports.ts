import { portName, portsClash, type OpenPort } from '../../src/spec/port.ts';
import { isAsAsked, opened, publishedRange } from '../../src/spec/published-port.ts';
import type { AllocatedPort, PublishedPort, Service } from '../../src/spec/service.ts';
import type { Faults } from '../store/isolate.ts';
import type { View } from '../store/objects.ts';
import { formerOf } from './former.ts';
import { cursorName, nextFree, type Cursors, type Range } from './range.ts';

const keyOf = ({ published, protocol }: OpenPort) => `${published}/${protocol}`;

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
        isAsAsked(port, wanted) && (typeof wanted.published === 'number' || asksFor(service, port) === 0),
    );
    return index < 0 ? undefined : allocated.splice(index, 1)[0];
  });
}

/** How often the service asks for this very port: its own ranges then leave it alone. */
function asksFor({ spec }: Service, port: OpenPort): number {
  return spec.ports.filter(
    (wanted) => typeof wanted.published === 'number' && portsClash(opened(wanted, wanted.published), port),
  ).length;
}

interface Holder {
  open: OpenPort;
  /** Full name of the service. */
  name: string;
}

/** Who has which port, found by its number and protocol. */
class Holders {
  readonly #byKey = new Map<string, Holder[]>();

  add(open: OpenPort, name: string): void {
    const key = keyOf(open);
    const others = this.#byKey.get(key);
    if (others === undefined) this.#byKey.set(key, [{ open, name }]);
    else others.push({ open, name });
  }

  delete(open: OpenPort): void {
    const rest = (this.#byKey.get(keyOf(open)) ?? []).filter((holder) => !portsClash(holder.open, open));
    this.#byKey.set(keyOf(open), rest);
  }

  /** The first by name of those that have it: who came first is not the same at every plan. */
  find(open: OpenPort, except?: string): string | undefined {
    let found: string | undefined;
    for (const holder of this.#byKey.get(keyOf(open)) ?? []) {
      if (holder.name === except || !portsClash(holder.open, open)) continue;
      if (found === undefined || holder.name < found) found = holder.name;
    }
    return found;
  }
}

/** The published ports of the whole cluster. */
export class PublishedPorts {
  /** Services that publish a port on every host. */
  readonly #ingress = new Holders();
  /** Services of which an earlier version does, until their update is completed. */
  readonly #former = new Holders();
  /** Services that publish a port on the hosts of their replicas, where it would hide the other. */
  readonly #host = new Holders();
  readonly #cursors: Cursors;

  constructor(view: View, cursors: Cursors, faults: Faults) {
    this.#cursors = cursors;
    faults.forEach('service', view.services.values(), (service) => {
      const { name } = service.spec;
      for (const port of keptPorts(service)) if (port) this.#ingress.add(port, name);
      for (const { ports } of formerOf(service, view)) {
        for (const port of ports) this.#former.add(port, name);
      }
      for (const port of service.spec.task.hostPorts) {
        if (typeof port.published === 'number') this.#host.add(opened(port, port.published), name);
      }
    });
  }

  /** Takes a port for the service; throws with the reason in words when it cannot be had. */
  take(service: Service, wanted: PublishedPort): AllocatedPort {
    const { name } = service.spec;
    const range = publishedRange(wanted);
    const isFixed = typeof wanted.published === 'number';
    if (isFixed && asksFor(service, opened(wanted, range.first)) > 1) {
      throw new Error(`port ${portName(opened(wanted, range.first))} is published twice by this service`);
    }
    const cursor = wanted.published === undefined ? this.#cursors.get(cursorName.port) : undefined;
    const isTaken = (candidate: number) => {
      const port = opened(wanted, candidate);
      return this.#holder(name, port) !== undefined || (!isFixed && asksFor(service, port) > 0);
    };
    const published = nextFree(range, cursor, isTaken);
    if (published === undefined) throw new Error(this.#whyNot(name, range, wanted));
    if (wanted.published === undefined) this.#cursors.set(cursorName.port, published);
    const port = opened(wanted, published);
    this.#ingress.add(port, name);
    return { target: wanted.target, ...port };
  }

  /** Gives back what was taken for a service that could not be allocated whole. */
  giveBack(ports: AllocatedPort[]): void {
    for (const port of ports) this.#ingress.delete(port);
  }

  #holder(name: string, port: OpenPort): string | undefined {
    return this.#ingress.find(port) ?? this.#host.find(port, name) ?? this.#former.find(port, name);
  }

  #whyNot(name: string, { first, last }: Range, wanted: PublishedPort): string {
    if (first !== last) return `no port of ${first}-${last}/${wanted.protocol} is free`;
    const port = opened(wanted, first);
    return `port ${portName(port)} is already published by service ${this.#holder(name, port)}`;
  }
}
