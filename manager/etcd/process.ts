import type { Clock } from '../../src/util/clock.ts';
import { runCommand } from '../../src/util/command.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { Authority } from '../ca/authority.ts';
import { decideBegin, type EtcdBegin, type OwnMember } from './begin.ts';
import { certificatePaths, createStoreTls, ensureMemberCertificate, keepAuthority } from './certificates.ts';
import { etcdFlags } from './flags.ts';
import { EtcdFolder } from './folder.ts';
import { EtcdSupervisor, type EtcdEnd } from './supervisor.ts';
import { checkEtcdVersion, formatEtcdVersion, parseEtcdVersion, type EtcdVersion } from './version.ts';

const versionMs = 10_000;

export interface EtcdProcessOptions extends OwnMember {
  /** Its own: data, certificates, lock. */
  folder: string;
  /** etcd's, never the cluster's. */
  authority: Authority;
  begin: EtcdBegin;
  clock: Clock;
  log: Logger;
  /** @default etcd */
  program?: string;
  /** Ends the wait for its first answer, and then etcd with it. */
  signal?: AbortSignal;
}

/** This manager's member of etcd, as a child of this process. */
export interface EtcdProcess {
  /** `HOST:PORT` at which it is asked. */
  readonly endpoint: string;
  readonly version: string;
  /** Of the process that runs now. */
  readonly pid: number | undefined;
  /** Resolves when it has ended for good; every other end is followed by another start. Its data is aside then. */
  readonly ended: Promise<EtcdEnd>;
  /** Lets another member lead, and ends it. */
  stop(): Promise<void>;
}

/**
 * Starts etcd and resolves when it answers, which takes as long as it takes more than half of the members to be up. Throws
 * `not_supported` for a version that must not hold the store, `failed_precondition` for a folder from which it must not start,
 * `port_taken`, and `unavailable` when it does not stay up.
 */
export async function startEtcd(options: EtcdProcessOptions): Promise<EtcdProcess> {
  const { name, address, ports, authority, clock, log, program = 'etcd' } = options;
  const own = { name, address, ports };
  const version = await etcdVersion(program, log);
  const folder = await EtcdFolder.open(options.folder);
  const found = { hasData: await folder.hasData(), note: await folder.note() };
  const { setAside, start, note } = decideBegin(options.begin, own, found);
  if (setAside) await folder.setAside();
  await folder.writeNote(note);
  await keepAuthority(folder.path, authority);
  const certify = () => ensureMemberCertificate(folder.path, authority, address, clock.now());
  await certify();
  const flags = etcdFlags(version, {
    ...own,
    dataFolder: folder.data,
    certificates: certificatePaths(folder.path),
    start,
  });
  const supervisor = new EtcdSupervisor({
    own,
    folder,
    program,
    flags,
    certify,
    tls: () => createStoreTls(authority, clock.now()),
    clock,
    log,
  });
  try {
    await supervisor.start(options.signal);
  } catch (error) {
    await supervisor.stop();
    throw error;
  }
  if (!note.isStarted) await folder.writeNote({ ...note, isStarted: true });
  return {
    endpoint: supervisor.endpoint,
    version: formatEtcdVersion(version),
    ended: supervisor.ended,
    get pid() {
      return supervisor.pid;
    },
    stop: () => supervisor.stop(),
  };
}

/** What etcd this host has; logs what is known against it. Throws `not_supported`. */
export async function etcdVersion(program: string, log: Logger): Promise<EtcdVersion> {
  const text = await runCommand(program, ['--version'], {
    timeoutMs: versionMs,
    env: { PATH: process.env.PATH },
  }).catch((cause: unknown) => {
    throw new ShoalError('not_supported', 'Cannot have several managers: etcd does not run on this host', {
      cause,
      next: 'Install it (Debian: `apt install etcd-server`), and let nothing else start it: `systemctl disable --now etcd`.',
    });
  });
  const version = parseEtcdVersion(text);
  const warning = checkEtcdVersion(version);
  if (warning !== undefined) log.warn(warning);
  return version;
}
