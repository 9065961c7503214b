import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority, createStoreCertificate } from '../../manager/ca/authority.ts';
import { EtcdMember, type EtcdTls } from '../../manager/store/etcd/client.ts';
import { systemClock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { storeClientName, storeMemberCommonName } from '../../src/wire/certificates.ts';
import { freePort } from './registry.ts';

const address = '127.0.0.1';
const readyMs = 20_000;
const pollMs = 50;
const statusMs = 500;

/** A leader that is gone is replaced in half a second; transactions are as large as the contract allows. */
const timing = {
  'pre-vote': 'true',
  'heartbeat-interval': '50',
  'election-timeout': '300',
  'snapshot-count': '10000',
  'max-txn-ops': '1200',
  'max-request-bytes': String(9 * 1024 * 1024),
  'grpc-keepalive-min-time': '500ms',
  'enable-grpc-gateway': 'false',
};

interface Member {
  name: string;
  clientPort: number;
  peerPort: number;
  child: ChildProcess | undefined;
}

/** Real etcd with mutual TLS on loopback, its members being processes of this one. */
export class EtcdCluster {
  readonly tls: EtcdTls;
  readonly #members: Member[];
  readonly #directory: string;

  private constructor(directory: string, tls: EtcdTls, members: Member[]) {
    this.#directory = directory;
    this.tls = tls;
    this.#members = members;
  }

  /** Resolves once all members answer and one leads. */
  static async start(count: number): Promise<EtcdCluster> {
    const directory = await mkdtemp(join(tmpdir(), 'shoal-etcd-'));
    const authority = await createAuthority('etcd', systemClock.now());
    const member = await createStoreCertificate(
      authority,
      { kind: 'member', addresses: [address] },
      systemClock.now(),
    );
    const client = await createStoreCertificate(authority, { kind: 'client' }, systemClock.now());
    await writeFile(join(directory, 'ca.pem'), authority.certificatePem);
    await writeFile(join(directory, 'cert.pem'), member.certificatePem);
    await writeFile(join(directory, 'key.pem'), member.privateKeyPem, { mode: 0o600 });
    const members: Member[] = [];
    for (let index = 0; index < count; index++) {
      const [clientPort, peerPort] = [await freePort(address), await freePort(address)];
      members.push({ name: `member${index}`, clientPort, peerPort, child: undefined });
    }
    const tls = { authorityPem: authority.certificatePem, ...client };
    const cluster = new EtcdCluster(directory, tls, members);
    try {
      for (let index = 0; index < count; index++) cluster.run(index);
      await cluster.leader();
      return cluster;
    } catch (error) {
      await cluster.down();
      throw error;
    }
  }

  get endpoints(): string[] {
    return this.#members.map(({ clientPort }) => `${address}:${clientPort}`);
  }

  /** The members in the order in which a manager beside this one would have them: its own first. */
  endpointsFrom(index: number): string[] {
    return [...this.endpoints.slice(index), ...this.endpoints.slice(0, index)];
  }

  /** Starts a member; one that was there before goes on from its folder. */
  run(index: number): void {
    const member = this.#members[index]!;
    const { name, clientPort, peerPort } = member;
    const [client, peer] = [`https://${address}:${clientPort}`, `https://${address}:${peerPort}`];
    const file = (of: string) => join(this.#directory, of);
    const tls = (prefix: string) => ({
      [`${prefix}trusted-ca-file`]: file('ca.pem'),
      [`${prefix}cert-file`]: file('cert.pem'),
      [`${prefix}key-file`]: file('key.pem'),
      [`${prefix}client-cert-auth`]: 'true',
    });
    const settings = {
      name,
      'data-dir': file(name),
      'listen-client-urls': client,
      'advertise-client-urls': client,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'initial-cluster': this.#members
        .map((each) => `${each.name}=https://${address}:${each.peerPort}`)
        .join(','),
      'initial-cluster-state': 'new',
      ...timing,
      ...tls(''),
      ...tls('peer-'),
      'peer-cert-allowed-cn': storeMemberCommonName,
      'client-cert-allowed-hostname': storeClientName,
    };
    const args = Object.entries(settings).map(([key, value]) => `--${key}=${value}`);
    // setpriv: the kernel ends it when this process ends, however it ends
    member.child = spawn('setpriv', ['--pdeathsig', 'KILL', 'etcd', ...args], { stdio: 'ignore' });
  }

  signal(index: number, signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void {
    this.#members[index]!.child!.kill(signal);
  }

  /** Kills a member and resolves when it is gone. */
  async kill(index: number): Promise<void> {
    const { child } = this.#members[index]!;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await ended;
  }

  /** Waits until a member says that it leads; gives its index. */
  async leader(): Promise<number> {
    const limit = systemClock.monotonic() + readyMs;
    while (systemClock.monotonic() < limit) {
      const found = await Promise.all(this.#members.map((_, index) => this.#leads(index)));
      if (found.includes(true)) return found.indexOf(true);
      await systemClock.sleep(pollMs);
    }
    throw new ShoalError('deadline_exceeded', `Cannot see a leader of etcd within ${readyMs / 1000} s`);
  }

  async down(): Promise<void> {
    for (let index = 0; index < this.#members.length; index++) await this.kill(index);
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** A member for questions of the test's own. */
  member(index: number): EtcdMember {
    return new EtcdMember(this.endpoints[index]!, { endpoints: [], tls: this.tls, clock: systemClock });
  }

  async #leads(index: number): Promise<boolean> {
    const member = this.member(index);
    try {
      const { leader, header } = await member.call('Maintenance.Status', {}, statusMs);
      return leader !== '0' && leader === header.memberId;
    } catch {
      return false; // not up, or not leading: asked again
    } finally {
      member.close();
    }
  }
}
