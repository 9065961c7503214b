/** Three hosts with a small application on them, for the tests of the network. */
import { TestCluster, type TestTask } from './network-cluster.ts';
import { ScratchHosts } from './network-hosts.ts';
import type { LineProcess } from './network-rpc.ts';

export const servicePort = 8000;
export const virtual = { web: '10.64.8.1', idle: '10.64.8.2', store: '10.64.24.1' } as const;

/** `NAME` as a task id of twelve characters. */
export function taskId(name: string): string {
  return name.padEnd(12, '0');
}

function task(name: string, service: string, host: number, addresses: TestTask['addresses']): TestTask {
  const slot = Number(/\d$/.exec(name)?.[0] ?? 1);
  return { id: taskId(name), service, host, slot, addresses, ready: true };
}

/**
 * `web1` and `web2` on the first two hosts serve port 80 everywhere; `client` is beside `web1`; `store` is on a network
 * of its own, which `web1` is on as well; `vault` is on an internal one.
 */
export class World {
  readonly hosts = new ScratchHosts();
  cluster!: TestCluster;
  /** Programs in the tasks, by short name. */
  readonly programs: Record<string, LineProcess> = {};
  /** Programs on the hosts themselves, and one outside of the cluster. */
  readonly onHost: LineProcess[] = [];
  outside!: LineProcess;

  async start(): Promise<void> {
    await this.hosts.start(3);
    const addresses = this.hosts.hosts.map((host) => host.address);
    const networks = {
      front: { vni: 4096, subnet: '10.64.0.0/20', internal: false, bridges: '10.64.0' },
      back: { vni: 4097, subnet: '10.64.16.0/20', internal: false, bridges: '10.64.16' },
      inner: { vni: 4098, subnet: '10.64.32.0/20', internal: true, bridges: '10.64.32' },
    };
    const port = { target: servicePort, published: 80 };
    this.cluster = new TestCluster(addresses, networks, [
      {
        name: 'app_web',
        application: 'app',
        networks: [{ name: 'front', virtualAddress: virtual.web, aliases: ['www'] }, { name: 'back' }],
        ports: [
          { ...port, protocol: 'tcp' },
          { ...port, protocol: 'udp' },
        ],
      },
      { name: 'app_client', application: 'app', networks: [{ name: 'front' }] },
      { name: 'app_idle', application: 'app', networks: [{ name: 'front', virtualAddress: virtual.idle }] },
      { name: 'app_store', application: 'app', networks: [{ name: 'back', virtualAddress: virtual.store }] },
      {
        name: 'app_vault',
        application: 'app',
        networks: [{ name: 'inner' }],
        ports: [{ target: servicePort, published: 81, protocol: 'tcp' }],
      },
      { name: 'other_client', application: 'other', networks: [{ name: 'front' }] },
    ]);
    this.cluster.tasks = [
      task('web1', 'app_web', 0, { front: '10.64.0.11', back: '10.64.16.11' }),
      task('web2', 'app_web', 1, { front: '10.64.0.12', back: '10.64.16.12' }),
      task('client', 'app_client', 0, { front: '10.64.0.21' }),
      task('store', 'app_store', 2, { back: '10.64.16.31' }),
      task('vault', 'app_vault', 1, { inner: '10.64.32.41' }),
      task('other', 'other_client', 0, { front: '10.64.0.51' }),
    ];
    for (const host of this.hosts.hosts) await host.startDriver();
    await this.sync();
    await Promise.all(this.cluster.tasks.map((each) => this.run(each)));
    for (const host of this.hosts.hosts) this.onHost.push(await host.probe('host'));
    this.outside = await this.hosts.outside.probe('outside');
    await this.outside.call('serve', { port: servicePort });
    await this.outside.call('resolve', { name: 'example.org', address: '203.0.113.9' });
  }

  /** Tells every host what the cluster is. */
  async sync(): Promise<void> {
    await Promise.all(
      this.hosts.hosts.map((host, index) => host.driver.call('apply', this.cluster.assignments(index))),
    );
  }

  /** Attaches the task and starts its program. */
  async run(each: TestTask): Promise<void> {
    const host = this.hosts.hosts[each.host]!;
    await host.attach(this.cluster.attachments(each));
    const name = each.id.replace(/0+$/, '');
    const program = await host.probe(name, each.id);
    await program.call('serve', { port: servicePort });
    this.programs[name] = program;
  }

  find(name: string): TestTask {
    return this.cluster.tasks.find((each) => each.id === taskId(name))!;
  }

  close(): Promise<void> {
    return this.hosts.close();
  }
}

/** Asks `times` times; gives how often each answer came. Refusals and silence count by their code. */
export async function answers(
  program: LineProcess,
  host: string,
  port: number,
  times = 12,
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let index = 0; index < times; index++) {
    const answer = await program
      .call<string>('ask', { host, port })
      .catch((error: { code: string }) => error.code);
    counts[answer] = (counts[answer] ?? 0) + 1;
  }
  return counts;
}
