import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority } from '../../manager/ca/authority.ts';
import {
  certificatePaths,
  createStoreTls,
  ensureMemberCertificate,
} from '../../manager/etcd/certificates.ts';
import { etcdFlags, peerUrl } from '../../manager/etcd/flags.ts';
import { endOf, launchEtcd } from '../../manager/etcd/launch.ts';
import { etcdVersion } from '../../manager/etcd/process.ts';
import type { EtcdVersion } from '../../manager/etcd/version.ts';
import { EtcdMember, type EtcdTls } from '../../manager/store/etcd/client.ts';
import { systemClock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { silentLogger } from '../../src/util/log.ts';
import { freePort } from './registry.ts';

const address = '127.0.0.1';
const readyMs = 20_000;
const pollMs = 50;
const statusMs = 500;

interface Member {
  name: string;
  clientPort: number;
  peerPort: number;
  child: ChildProcess | undefined;
  ended: Promise<unknown>;
}

/** Real etcd with mutual TLS on loopback, its members being processes of this one. */
export class EtcdCluster {
  readonly tls: EtcdTls;
  readonly #members: Member[];
  readonly #directory: string;
  readonly #version: EtcdVersion;

  private constructor(directory: string, version: EtcdVersion, tls: EtcdTls, members: Member[]) {
    this.#directory = directory;
    this.#version = version;
    this.tls = tls;
    this.#members = members;
  }

  /** Resolves once all members answer and one leads. */
  static async start(count: number): Promise<EtcdCluster> {
    const directory = await mkdtemp(join(tmpdir(), 'shoal-etcd-'));
    const authority = await createAuthority('etcd', systemClock.now());
    await ensureMemberCertificate(directory, authority, address, systemClock.now());
    const members: Member[] = [];
    for (let index = 0; index < count; index++) {
      const [clientPort, peerPort] = [await freePort(address), await freePort(address)];
      const ended = Promise.resolve();
      members.push({ name: `member${index}`, clientPort, peerPort, child: undefined, ended });
    }
    const tls = await createStoreTls(authority, systemClock.now());
    const version = await etcdVersion('etcd', silentLogger);
    const cluster = new EtcdCluster(directory, version, tls, members);
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
    const members = this.#members.map((each) => ({
      name: each.name,
      peerUrl: peerUrl(address, each.peerPort),
    }));
    const flags = etcdFlags(this.#version, {
      name: member.name,
      address,
      ports: { client: member.clientPort, peer: member.peerPort },
      dataFolder: join(this.#directory, member.name),
      certificates: certificatePaths(this.#directory),
      start: { state: 'new', token: 'test', members },
    });
    member.child = launchEtcd({
      program: 'etcd',
      flags,
      lockPath: join(this.#directory, `${member.name}.lock`),
    });
    member.ended = endOf(member.child);
  }

  signal(index: number, signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void {
    this.#members[index]!.child!.kill(signal);
  }

  /** Kills a member and resolves when it is gone. */
  async kill(index: number): Promise<void> {
    const { child, ended } = this.#members[index]!;
    child?.kill('SIGCONT');
    child?.kill('SIGKILL');
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
