import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { isNoSpace } from '../disk/space.ts';
import type { Engine } from '../engine/engine.ts';
import { version } from '../../src/spec/version.ts';
import { withDeadline } from '../../src/util/clock.ts';
import { codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import { KeyedQueue } from '../../src/util/queue.ts';
import type { Random } from '../../src/util/random.ts';
import { backoffMs, retry } from '../../src/util/retry.ts';
import type {
  InitRequest,
  JoinAnswer,
  JoinRequest,
  JoinTokens,
  LeaveRequest,
  LocalInfo,
} from '../../src/wire/api.ts';
import { connect } from '../../src/wire/client.ts';
import { startAgent, type Agent } from './agent.ts';
import { checkOwnAddress, defaultAddress } from './address.ts';
import { hostNameOf } from './host-identity.ts';
import { askBeforeLeaving, departureOf, drainByManager, refuseForVolumes } from './leaving.ts';
import { joinCluster, managerAddress } from './joining.ts';
import { keepCertificate } from './renewal.ts';
import { serveLocalApi } from './local-api.ts';
import type { ToldManagers } from '../session/connection.ts';
import type { Credentials } from '../session/session.ts';
import { dialled } from '../session/manager-order.ts';
import { ManagerProcess } from './manager-process.ts';
import { MembershipStore, type Identity, type Membership } from './membership.ts';
import { productionParts, type DaemonParts, type PartSettings } from './parts.ts';

/** The engine has this long to answer when somebody asks how things are. */
const infoMs = 1_500;
const tokenAttempts = 5;
/** A join as a manager waits this long for the manager on this host to serve; it goes on afterwards. */
const joinedManagerMs = 20_000;

export interface DaemonSettings extends PartSettings {
  random: Random;
  /** Takes finished log lines of the manager process. */
  writeLine: (line: string) => void;
  /** @default what the project is made of; tests hand in others */
  parts?: DaemonParts;
  /** @default manager/main beside us */
  managerEntry?: string;
}

/** What runs on every host: the local API, and for a member of a cluster its agent and, on a manager, the manager. */
export class Daemon {
  readonly #settings: DaemonSettings;
  readonly #parts: DaemonParts;
  readonly #memberships: MembershipStore;
  readonly #changes = new KeyedQueue();
  readonly #stop = new AbortController();
  #identity: Identity | undefined;
  #manager: ManagerProcess | undefined;
  #agent: Agent | undefined;
  #renewal: AbortController | undefined;
  #closeApi: (() => Promise<void>) | undefined;
  #engine: Engine | undefined;
  #engineError: string | undefined;
  #starting: Promise<void> | undefined;

  constructor(settings: DaemonSettings) {
    this.#settings = settings;
    this.#parts = settings.parts ?? productionParts(settings);
    this.#memberships = new MembershipStore(settings.stateDirectory);
  }

  /** Serves the local API and takes up the membership on disk; what takes longer goes on in the background. */
  async start(): Promise<void> {
    const identity = await this.#memberships.load();
    this.#identity = identity && (await this.#atAskedAddress(identity));
    if (this.#identity?.membership.role === 'manager') this.#startManager(this.#identity);
    // Of a manager that has become a worker, when that was cut off; what an `init` has left goes with the next one.
    else if (this.#identity !== undefined) await this.#removeManagerState();
    this.#starting = this.#bringUpEngine();
    this.#closeApi = await serveLocalApi(
      join(this.#settings.runDirectory, 'shoal.sock'),
      {
        info: () => this.#info(),
        init: (request) => this.#changes.run('membership', () => this.#init(request)),
        join: (request) => this.#changes.run('membership', () => this.#join(request)),
        leave: (request) => this.#changes.run('membership', () => this.#leave(request)),
        managerSocket: () => this.#managerSocket(),
      },
      this.#settings.log,
    );
  }

  /** Ends everything of ours; containers and networks live on. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the daemon is stopping'));
    this.#renewal?.abort();
    await this.#closeApi?.();
    await this.#starting;
    await this.#agent?.stop();
    await this.#manager?.stop();
    await this.#engine?.close();
    await this.#parts.close();
  }

  /** A host that has got another address keeps its place in the cluster: the one that the daemon is started with counts. */
  async #atAskedAddress(identity: Identity): Promise<Identity> {
    const { advertiseAddress: asked, log } = this.#settings;
    const { advertiseAddress: known } = identity.membership;
    if (asked === undefined || asked === known) return identity;
    try {
      const moved = await this.#memberships.move(identity, checkOwnAddress(asked));
      log.info('this host has another address now', { from: known, to: asked });
      return moved;
    } catch (error) {
      log.warn('this host keeps its address in the cluster', { address: known, error: messageOf(error) });
      return identity;
    }
  }

  /** Until there is an engine nothing can run; it is tried for as long as the daemon lives. */
  async #bringUpEngine(): Promise<void> {
    const { clock, random, log } = this.#settings;
    for (let attempt = 1; !this.#stop.signal.aborted; attempt++) {
      try {
        this.#engine ??= await this.#parts.startEngine();
        this.#engineError = undefined;
        if (this.#identity) await this.#startMember(this.#identity);
        return;
      } catch (error) {
        this.#engineError = messageOf(error);
        log.warn('the engine or the agent cannot start yet', { error: messageOf(error), attempt });
        await clock.sleep(backoffMs(attempt, random), this.#stop.signal).catch(() => undefined);
      }
    }
  }

  async #startMember(identity: Identity): Promise<void> {
    const { stateDirectory, runDirectory, hostname, clock, random, log } = this.#settings;
    if (this.#agent || !this.#engine) return; // without an engine yet, `#bringUpEngine` comes back to this
    const { advertiseAddress } = identity.membership;
    const disks = this.#parts.createDiskWatch();
    this.#agent = await startAgent({
      engine: this.#engine,
      stateDirectory,
      runDirectory,
      hostname,
      advertiseAddress,
      clock,
      random,
      log,
      network: this.#parts.createNetwork(advertiseAddress, this.#managerPorts(identity)),
      logs: this.#parts.createLogs((error) => isNoSpace(error) && disks.noSpace('state')),
      conditions: this.#parts.conditions,
      disks,
      managerAddresses: () => this.#managers(),
      managerPort: this.#settings.listen.port,
      onManagers: (told) => this.#onManagers(told),
      credentials: () => this.#identity?.credentials ?? identity.credentials,
    });
    this.#renewal = new AbortController();
    const renewal = {
      clock,
      random,
      log,
      hostname: hostNameOf(hostname),
      credentials: () => this.#identity?.credentials,
      managers: () => this.#managers(),
      save: async (credentials: Credentials) => {
        await this.#memberships.saveCredentials(credentials);
        if (this.#identity) this.#identity = { ...this.#identity, credentials };
      },
      onRenewed: () => this.#agent?.session.reconnect(),
    };
    void keepCertificate(renewal, this.#renewal.signal);
  }

  /** Where this host connects to for a manager. */
  #managers(): string[] {
    const membership = this.#identity?.membership;
    if (membership === undefined) return [];
    const { host, port } = this.#settings.listen;
    const local = `${host === '0.0.0.0' ? '127.0.0.1' : host}:${port}`;
    const own = { address: `${membership.advertiseAddress}:${port}`, local };
    return dialled(membership.managerAddresses, membership.role === 'manager' ? own : undefined);
  }

  #onManagers(told: ToldManagers): void {
    const { log } = this.#settings;
    this.#changes
      .run('membership', () => this.#follow(told))
      .catch((error: unknown) =>
        log.error('what the managers told cannot be done', { error: messageOf(error) }),
      );
  }

  /** What the managers tell is on disk before anything is done about it, so that a daemon that is killed goes on with it. */
  async #follow({ role, addresses }: ToldManagers): Promise<void> {
    const { log } = this.#settings;
    const identity = this.#identity;
    if (identity === undefined) return;
    const { membership } = identity;
    const told: Membership = { ...membership, role, managerAddresses: addresses };
    if (!isDeepStrictEqual(told, membership)) {
      const changed = { ...identity, membership: told };
      await this.#memberships.saveNote(told);
      this.#identity = changed;
      log.info('the managers are told', { role, managers: addresses });
    }
    if (role === 'manager' && this.#manager === undefined) this.#startManager(this.#identity ?? identity);
    if (role === 'worker' && this.#manager !== undefined) await this.#endManager();
  }

  #startManager({ membership }: Identity): void {
    this.#manager = this.#managerProcess(membership.advertiseAddress);
    this.#manager.start();
  }

  /** This host is no manager any more. */
  async #endManager(): Promise<void> {
    await this.#manager?.stop();
    this.#manager = undefined;
    await this.#removeManagerState();
    this.#settings.log.info('this host is no manager any more');
  }

  async #removeManagerState(): Promise<void> {
    await rm(this.#managerState(), { recursive: true, force: true });
  }

  #managerPorts({ membership }: Identity): number[] {
    const told = membership.managerAddresses.map((address) => Number(address.split(':').at(-1)));
    return [this.#settings.listen.port, ...told];
  }

  async #info(): Promise<LocalInfo> {
    const membership = this.#identity?.membership;
    return {
      version,
      state: membership ? 'joined' : 'alone',
      ...(membership
        ? { nodeId: membership.nodeId, role: membership.role, clusterId: membership.clusterId }
        : {}),
      session: membership ? (this.#agent?.session.connected ? 'connected' : 'disconnected') : 'none',
      managerAddresses: membership?.managerAddresses ?? [],
      engine: { address: this.#parts.engineAddress(), ...(await this.#engineInfo()) },
      ...(this.#manager && { manager: this.#manager.info() }),
    };
  }

  async #engineInfo(): Promise<{ version?: string; error?: string }> {
    const engine = this.#engine;
    if (!engine) return { error: this.#engineError ?? 'it is being started' };
    try {
      return { version: (await withDeadline(infoMs, 'Asking the engine', () => engine.info())).version };
    } catch (error) {
      return { error: messageOf(error) };
    }
  }

  #managerSocket(): string {
    const membership = this.#identity?.membership;
    if (membership?.role === 'manager') return join(this.#settings.runDirectory, 'manager.sock');
    if (!membership) {
      throw new ShoalError('failed_precondition', 'Cannot do this: this host is in no cluster', {
        next: 'Make one with `shoal init`, or join one with `shoal join`.',
      });
    }
    const managers = membership.managerAddresses.join(', ');
    const away = this.#agent !== undefined && !this.#agent.session.connected;
    const reachable = away ? ', and it cannot reach a manager either: tasks here run on without one' : '';
    throw new ShoalError(
      'failed_precondition',
      `Cannot do this here: this host is not a manager${reachable}`,
      {
        next: `${away ? 'See whether a manager runs and can be reached' : 'Do it on a manager'}: ${managers}.`,
        details: { managers: membership.managerAddresses },
      },
    );
  }

  #managerProcess(advertise: string): ManagerProcess {
    const { stateDirectory, runDirectory, listen, clock, random, log, logLevel, writeLine } = this.#settings;
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    return new ManagerProcess({
      onReady: () => this.#agent?.session.hurry(),
      stateDirectory,
      logLevel,
      runDirectory,
      listen,
      advertise,
      credentials: this.#memberships.credentialsFolder,
      identity: () => {
        const membership = this.#identity?.membership;
        return membership && { nodeId: membership.nodeId, managers: membership.managerAddresses };
      },
      clock,
      random,
      log,
      writeLine,
      entry:
        this.#settings.managerEntry ??
        fileURLToPath(new URL(`../../manager/main.${extension}`, import.meta.url)),
    });
  }

  #managerState(): string {
    return join(this.#settings.stateDirectory, 'manager');
  }

  async #init(request: InitRequest): Promise<LocalInfo & { tokens: JoinTokens }> {
    this.#mustBeAlone('make a cluster');
    const { listen, runDirectory, log } = this.#settings;
    const advertiseAddress = await this.#advertise(request.advertiseAddress);
    const { addressPool, subnetPrefix } = request;
    await this.#removeManagerState(); // of an init that was cut off: nobody is in it
    const manager = this.#managerProcess(advertiseAddress);
    await manager.init({ addressPool, subnetPrefix });
    try {
      const tokens = await this.#tokens(join(runDirectory, 'manager.sock'));
      const own = listen.host === '0.0.0.0' ? '127.0.0.1' : listen.host;
      const addresses = [`${own}:${listen.port}`];
      await this.#becomeMember(addresses, tokens.manager, advertiseAddress, manager);
      return { ...(await this.#info()), tokens };
    } catch (error) {
      log.error('a cluster could not be made; what there is of it is removed', { error: messageOf(error) });
      await manager.stop();
      await this.#undoMembership();
      await this.#removeManagerState();
      throw error;
    }
  }

  async #join(request: JoinRequest): Promise<LocalInfo> {
    this.#mustBeAlone('join a cluster');
    if (typeof request.token !== 'string' || typeof request.manager !== 'string') {
      throw new ShoalError(
        'invalid_argument',
        'Cannot join: a token and the address of a manager are needed',
      );
    }
    const advertiseAddress = await this.#advertise(request.advertiseAddress);
    const address = managerAddress(request.manager);
    await this.#removeManagerState();
    const { notice, advice } = await this.#becomeMember(
      [address],
      request.token,
      advertiseAddress,
      undefined,
    );
    const isReady = (await this.#manager?.readyWithin(joinedManagerMs)) ?? true;
    const waits = isReady ? undefined : 'The manager on this host waits for its place: see `shoal node ls`.';
    const said = [advice, waits].filter((each) => each !== undefined).join('\n');
    return {
      ...(await this.#info()),
      ...(notice !== undefined && { notice }),
      ...(said !== '' && { advice: said }),
    };
  }

  async #becomeMember(
    managerAddresses: string[],
    token: string,
    advertiseAddress: string,
    manager: ManagerProcess | undefined,
  ): Promise<JoinAnswer> {
    const self = {
      hostname: hostNameOf(this.#settings.hostname),
      address: advertiseAddress,
      managerPort: this.#settings.listen.port,
    };
    const { answer, credentials } = await joinCluster(managerAddresses[0]!, token, self);
    const { nodeId, role, clusterId } = answer;
    const membership: Membership = { nodeId, role, clusterId, advertiseAddress, managerAddresses };
    const identity = { membership, credentials };
    await this.#memberships.save(identity);
    this.#identity = identity;
    this.#manager = manager;
    if (role === 'manager' && manager === undefined) this.#startManager(identity);
    await this.#startMember(identity);
    this.#settings.log.info('this host is in a cluster', { nodeId, role, clusterId, notice: answer.notice });
    return answer;
  }

  async #leave({ force = false, withVolumes = false }: LeaveRequest): Promise<LocalInfo> {
    const { log } = this.#settings;
    const membership = this.#identity?.membership;
    if (!membership) {
      throw new ShoalError('failed_precondition', 'Cannot leave: this host is in no cluster', {
        next: 'Nothing needs to be done.',
      });
    }
    const { credentials } = this.#identity!;
    const { clock } = this.#settings;
    const isManager = membership.role === 'manager';
    const options = { managerAddresses: this.#managers(), credentials, isManager, force, clock, log };
    const answer = await askBeforeLeaving(options);
    const departure = departureOf(answer, { ...options, managerAddresses: membership.managerAddresses });
    if (!withVolumes && departure === 'leaves') refuseForVolumes(answer ?? {});
    const canTell = answer !== undefined || !isManager;
    if (departure === 'leaves' && canTell) await drainByManager(options);
    this.#renewal?.abort();
    const agent = this.#agent;
    if (agent) {
      await agent.drain().catch((error: unknown) => {
        if (!force) throw error;
        log.warn('some tasks could not be stopped before leaving', { error: messageOf(error) });
      });
      await agent.stop();
      await agent.purge();
    }
    this.#agent = undefined;
    await this.#manager?.stop();
    this.#manager = undefined;
    await this.#removeManagerState();
    await this.#undoMembership();
    log.info('this host has left its cluster', { clusterId: membership.clusterId });
    return await this.#info();
  }

  async #undoMembership(): Promise<void> {
    this.#renewal?.abort();
    await this.#agent?.stop();
    this.#agent = undefined;
    this.#manager = undefined;
    this.#identity = undefined;
    await this.#memberships.forget();
  }

  #mustBeAlone(what: string): void {
    const clusterId = this.#identity?.membership.clusterId;
    if (clusterId === undefined) return;
    throw new ShoalError(
      'failed_precondition',
      `Cannot ${what}: this host is in cluster ${clusterId} already`,
      {
        next: 'Run `shoal leave` first.',
      },
    );
  }

  async #advertise(asked: string | undefined): Promise<string> {
    const given = asked ?? this.#settings.advertiseAddress;
    return given === undefined ? await defaultAddress() : checkOwnAddress(given);
  }

  async #tokens(managerSocket: string): Promise<JoinTokens> {
    const client = connect(`unix://${managerSocket}`);
    try {
      return await retry(() => client.request<JoinTokens>('GET', '/tokens'), {
        attempts: tokenAttempts,
        retryable: (error) => codeOf(error) === 'unavailable',
      });
    } finally {
      client.close();
    }
  }
}
