/** Published ports that something else on this host has already. */
import { portName, portsClash, type OpenPort } from '../../src/spec/port.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { ServiceAssignment } from '../../src/wire/session.ts';
import type { TaskNetwork } from './network.ts';
import { foreignPorts } from './ports.ts';
import { publishedPorts } from './published.ts';

/** Watches which published ports programs of this host hold: they stay theirs here. */
export class PublishedPortWatch {
  readonly #log: Logger;
  /** Names of ports that were looked at and are served. */
  #open = new Set<string>();
  #blocked: ReadonlySet<string> = new Set();

  constructor(log: Logger) {
    this.#log = log;
  }

  /**
   * The names of those published ports that are left to programs of this host. Only ports that are new are looked at, and
   * ports that are open stay open: the kernel's socket tables are long on a busy host, and a program that comes later does
   * not take a port from a service.
   */
  async look(
    services: Iterable<ServiceAssignment>,
    ownAddresses: ReadonlySet<string>,
  ): Promise<ReadonlySet<string>> {
    const published = [...services].flatMap(publishedPorts);
    const open = new Set(published.map(portName).filter((name) => this.#open.has(name)));
    const unknown = published.filter((port) => !open.has(portName(port)));
    const blocked = new Set<string>();
    if (unknown.length > 0) {
      const held = await foreignPorts(ownAddresses);
      for (const port of unknown) {
        const isHeld = held.some((other) => portsClash(other, port));
        (isHeld ? blocked : open).add(portName(port));
      }
    }
    const news = [...blocked].filter((name) => !this.#blocked.has(name));
    if (news.length > 0) {
      this.#log.warn('Published ports are held by programs of this host and stay theirs here', {
        ports: news,
      });
    }
    this.#open = open;
    this.#blocked = blocked;
    return blocked;
  }

  forget(): void {
    this.#open = new Set();
    this.#blocked = new Set();
  }
}

/** What is on the host already. */
export interface PortsInUse {
  tasks: Iterable<TaskNetwork>;
  services: ReadonlyMap<string, ServiceAssignment>;
  /** Of the DNS servers of this process. */
  ownAddresses: ReadonlySet<string>;
}

/** Throws `port_taken` when a port this task serves is held by a program of this host or by another task's host port. */
export async function checkPorts(task: TaskNetwork, inUse: PortsInUse): Promise<void> {
  const ingress = inUse.services.get(task.serviceId)?.ports ?? [];
  const wanted = [...task.hostPorts, ...ingress];
  if (wanted.length === 0) return;
  const held = await foreignPorts(inUse.ownAddresses);
  const foreign = clashing(wanted, held);
  if (foreign) {
    throw portTaken(
      foreign,
      'a program of this host listens on it',
      'Stop that program, or publish another port.',
    );
  }
  for (const other of inUse.tasks) {
    const clash = other.taskId === task.taskId ? undefined : clashing(other.hostPorts, task.hostPorts);
    if (clash) throw portTaken(clash, `task ${other.taskId} has it on this host`, 'Publish another port.');
  }
  for (const service of inUse.services.values()) {
    const clash = clashing(service.ports, task.hostPorts);
    if (clash)
      throw portTaken(clash, `service ${service.name} publishes it on every host`, 'Publish another port.');
  }
}

/** The first that meets one of the others. */
function clashing(ports: readonly OpenPort[], others: readonly OpenPort[]): OpenPort | undefined {
  return ports.find((port) => others.some((other) => portsClash(port, other)));
}

function portTaken(port: OpenPort, why: string, next: string): ShoalError {
  return new ShoalError('port_taken', `Cannot publish port ${portName(port)}: ${why}`, { next });
}
