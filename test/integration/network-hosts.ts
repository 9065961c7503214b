/** Scratch hosts on one machine: namespaces joined by a bridge in a namespace of its own, nothing in the root namespace. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TaskNetwork } from '../../agent/network/network.ts';
import { runCommand } from '../../src/util/command.ts';
import { LineProcess } from './network-rpc.ts';

const folder = import.meta.dirname;

/** A process that holds a network and a mount namespace open. */
async function holdNamespaces(): Promise<ChildProcess> {
  const script =
    'mount -t tmpfs shoal-test /run/netns && mount -t sysfs sysfs /sys && echo ready && exec sleep infinity';
  const child = spawn('unshare', ['--net', '--mount', '--propagation', 'private', 'sh', '-ec', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

export class ScratchHost {
  readonly name: string;
  readonly address: string;
  readonly #holder: ChildProcess;
  readonly #directory: string;
  readonly #probes = new Map<string, LineProcess>();
  driver!: LineProcess;

  constructor(name: string, address: string, holder: ChildProcess, directory: string) {
    this.name = name;
    this.address = address;
    this.#holder = holder;
    this.#directory = directory;
  }

  get pid(): number {
    return this.#holder.pid!;
  }

  /** Runs a program in the host's namespaces and gives its output. */
  run(...command: string[]): Promise<string> {
    return runCommand('nsenter', [...this.#enter(), ...command]);
  }

  #enter(): string[] {
    return ['-t', String(this.pid), '--net', '--mount'];
  }

  async startDriver(): Promise<void> {
    const resolvers = join(this.#directory, 'resolv.conf');
    this.driver = new LineProcess('nsenter', [
      ...this.#enter(),
      process.execPath,
      join(folder, 'network-host.ts'),
      this.address,
      join(this.#directory, this.name),
      resolvers,
    ]);
    await this.driver.call('ready');
  }

  async attach(task: TaskNetwork): Promise<{ namespacePath: string; dnsServer?: string }> {
    return this.driver.call('attach', task);
  }

  /** A program in the task's namespace, or in the host's when no task is named. */
  async probe(name: string, taskId?: string): Promise<LineProcess> {
    const inside = taskId === undefined ? [] : ['nsenter', `--net=/run/netns/shoal-${taskId}`];
    const probe = new LineProcess('nsenter', [
      ...this.#enter(),
      ...inside,
      process.execPath,
      join(folder, 'network-probe.ts'),
      name,
    ]);
    await this.#probes.get(name)?.kill();
    this.#probes.set(name, probe);
    await probe.call('ready');
    return probe;
  }

  async close(): Promise<void> {
    for (const probe of this.#probes.values()) await probe.kill();
    await this.driver?.kill();
    this.#holder.kill('SIGKILL');
  }
}

/** Hosts 192.0.2.1, .2, … and a place outside of the cluster, 192.0.2.100, all on one segment. */
export class ScratchHosts {
  readonly hosts: ScratchHost[] = [];
  outside!: ScratchHost;
  #switch!: ChildProcess;
  #directory = '';

  async start(count: number): Promise<void> {
    this.#directory = await mkdtemp(join(tmpdir(), 'shoal-network-'));
    await writeFile(join(this.#directory, 'resolv.conf'), 'nameserver 192.0.2.100\n');
    await runCommand('mkdir', ['-p', '/run/netns']);
    this.#switch = await holdNamespaces();
    await this.#inSwitch('ip', 'link', 'add', 'br0', 'up', 'type', 'bridge');
    for (let index = 1; index <= count; index++) this.hosts.push(await this.#join(`host${index}`, index));
    this.outside = await this.#join('outside', 100);
  }

  #inSwitch(...command: string[]): Promise<string> {
    return runCommand('nsenter', ['-t', String(this.#switch.pid), '--net', ...command]);
  }

  async #join(name: string, number: number): Promise<ScratchHost> {
    const host = new ScratchHost(name, `192.0.2.${number}`, await holdNamespaces(), this.#directory);
    const port = `port${number}`;
    await this.#inSwitch(
      'ip',
      'link',
      'add',
      port,
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      String(host.pid),
    );
    await this.#inSwitch('ip', 'link', 'set', port, 'master', 'br0', 'up');
    await host.run('ip', 'addr', 'add', `${host.address}/24`, 'dev', 'eth0');
    await host.run('ip', 'link', 'set', 'lo', 'up');
    await host.run('ip', 'link', 'set', 'eth0', 'up');
    return host;
  }

  async close(): Promise<void> {
    for (const host of [...this.hosts, this.outside]) await host?.close();
    this.#switch?.kill('SIGKILL');
    await rm(this.#directory, { recursive: true, force: true });
  }
}
