import type { HostNetwork, NetworkAssignments, TaskNetwork } from '../network/network.ts';
import type { Underlay } from '../network/underlay.ts';
import { ShoalError } from '../../src/util/errors.ts';

/** A host network in memory that keeps the contract of `HostNetwork`, for unit tests. */
export class FakeNetwork implements HostNetwork {
  readonly attached = new Map<string, TaskNetwork>();
  readonly applied: NetworkAssignments[] = [];
  /** What the program of every task listens on. */
  readonly open = new Set<number>();
  /** Called before each operation; may throw or wait. */
  before: (operation: string, id: string) => Promise<void> | void = () => undefined;

  watch(): void {}

  underlay(): Promise<Underlay> {
    return Promise.resolve({ addresses: [], connected: [], routed: [] });
  }

  async apply(assignments: NetworkAssignments): Promise<void> {
    await this.before('apply', '');
    this.applied.push(assignments);
  }

  refused(): ReadonlyMap<string, string> {
    return new Map();
  }

  async attach(task: TaskNetwork): Promise<{ namespacePath: string; dnsServer?: string }> {
    await this.before('attach', task.taskId);
    const taken = [...this.attached.values()].flatMap((other) =>
      other.taskId === task.taskId ? [] : other.hostPorts.map((port) => `${port.protocol}/${port.published}`),
    );
    const clash = task.hostPorts.find((port) => taken.includes(`${port.protocol}/${port.published}`));
    if (clash) throw new ShoalError('port_taken', `Cannot publish ${clash.published}: it is taken`);
    this.attached.set(task.taskId, task);
    const namespacePath = `/run/netns/${task.taskId}`;
    return task.attachments.length > 0 ? { namespacePath, dnsServer: '10.0.0.1' } : { namespacePath };
  }

  async detach(taskId: string): Promise<void> {
    await this.before('detach', taskId);
    this.attached.delete(taskId);
  }

  async listening(): Promise<ReadonlySet<number>> {
    await this.before('listening', '');
    return this.open;
  }

  list(): Promise<string[]> {
    return Promise.resolve([...this.attached.keys()]);
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  purge(): Promise<void> {
    this.attached.clear();
    return Promise.resolve();
  }
}
