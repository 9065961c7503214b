import { createHash, timingSafeEqual } from 'node:crypto';
import type { Cluster } from '../../src/spec/cluster.ts';
import type { Node, NodeRole } from '../../src/spec/node.ts';
import { managerPort } from '../../src/spec/defaults.ts';
import { holderOf } from '../../src/spec/node-name.ts';
import type { Clock } from '../../src/util/clock.ts';
import { codeOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { KeyedQueue } from '../../src/util/queue.ts';
import type { Random } from '../../src/util/random.ts';
import type { JoinAnswer, JoinBody } from '../../src/wire/api.ts';
import { caDigest, parseJoinToken } from '../../src/wire/certificates.ts';
import { checkApproval, whyNotApproved } from './addresses.ts';
import { AttemptBudget } from '../../src/util/attempts.ts';
import type { Database } from '../store/objects.ts';
import { signNodeCertificate } from './authority.ts';
import { adviceFor, checkOneMore } from './managers.ts';

/** Wrong tokens from one address in a minute; then not even a right one is taken from there, so that guessing tells nothing. */
export const wrongTokensPerMinuteMax = 10;

export interface Joiner {
  /**
   * Makes the caller a node of the cluster, in the role that its token's secret proves. Throws `unauthenticated` for a
   * wrong token, `failed_precondition` for one manager too many, `already_exists` when another node has the host's name, `invalid_argument` for a malformed request.
   */
  join(body: JoinBody, peer?: string): Promise<JoinAnswer>;
  /** A new certificate for a node that has proved with its old one who it is. */
  renew(nodeId: string, body: Pick<JoinBody, 'certificateRequestPem'>): Promise<JoinAnswer>;
}

/** Joins run one after another, so that two hosts cannot both become the first manager, nor one too many. */
export function createJoiner(options: {
  database: Database;
  clock: Clock;
  random: Random;
  log: Logger;
  /** The address of the host that the manager runs on. */
  ownAddress?: string;
}): Joiner {
  const { database, clock, random, log, ownAddress } = options;
  const queue = new KeyedQueue();
  const answer = async (cluster: Cluster, node: Node, certificateRequestPem: string): Promise<JoinAnswer> => {
    const identity = { clusterId: cluster.clusterId, nodeId: node.id, role: node.role };
    const authority = cluster.certificateAuthority;
    return {
      ...identity,
      certificatePem: await signNodeCertificate(authority, identity, certificateRequestPem, clock.now()),
      certificateAuthorityPem: authority.certificatePem,
    };
  };
  const join = async (body: JoinBody, peer: string): Promise<JoinAnswer> => {
    const cluster = clusterOf(database);
    const role = roleOfToken(cluster, body.token);
    const taken = role === 'manager' ? managerToTakeOver(database.view.nodes.values()) : undefined;
    const namesake =
      taken === undefined ? namesakeToReplace(database.view.nodes.values(), body.hostname) : undefined;
    const { address } = body;
    if (address !== undefined) checkApproval(database.view, taken, address);
    // Only administrators have the manager's token. A worker's address is borne out by its connections, or one of them approves it.
    const approved = role === 'worker' || address === undefined ? {} : ofManager(address, body);
    const node = { ...(taken ?? newNode(random.id(), role, body.hostname, clock.now())), ...approved };
    const refused =
      address === undefined ? undefined : whyNotApproved(node, address, { remoteAddress: peer, ownAddress });
    // Signed before the node is stored: a malformed request leaves nothing behind.
    const result = await answer(cluster, node, body.certificateRequestPem);
    if (refused !== undefined) result.notice = `${refused.message}. ${refused.next ?? ''}`.trim();
    if (role === 'manager') result.advice = adviceOn(database.view.nodes.values(), node);
    const action = taken === undefined ? 'create' : 'update';
    const replaced = namesake ? [{ kind: 'node' as const, action: 'delete' as const, object: namesake }] : [];
    const { conflicts } = await database.write([[{ kind: 'node', action, object: node }, ...replaced]]);
    if (conflicts > 0)
      throw new ShoalError('conflict', 'Cannot join: the node is just being changed', { next: 'Try again.' });
    log.info('a node joined', { nodeId: node.id, role, hostname: body.hostname, notice: result.notice });
    return result;
  };
  const wrongTokens = new AttemptBudget(wrongTokensPerMinuteMax);
  const attempt = async (body: JoinBody, peer: string): Promise<JoinAnswer> => {
    if (wrongTokens.isSpent(peer, clock.monotonic())) {
      throw new ShoalError('resource_exhausted', `Cannot join: too many wrong tokens came from ${peer}`, {
        next: 'Wait a minute, and get a fresh token with `shoal token worker` on a manager.',
      });
    }
    try {
      return await join(body, peer);
    } catch (error) {
      if (codeOf(error) === 'unauthenticated') wrongTokens.take(peer, clock.monotonic());
      throw error;
    }
  };
  return {
    join: (body, peer = 'local') => queue.run('join', () => attempt(body, peer)),
    renew: async (nodeId, body) => {
      const node = database.view.nodes.get(nodeId);
      if (node === undefined)
        throw new ShoalError('not_found', `Cannot renew the certificate of ${nodeId}: no such node`);
      return await answer(clusterOf(database), node, body.certificateRequestPem);
    },
  };
}

function clusterOf(database: Database): Cluster {
  const { cluster } = database.view;
  if (cluster !== undefined) return cluster;
  throw new ShoalError('failed_precondition', 'Cannot join: there is no cluster here yet', {
    next: 'Run `shoal init` on the manager first.',
  });
}

/** Which role the token gives; throws `unauthenticated`. Takes the same time whatever is wrong with the secret. */
export function roleOfToken(cluster: Cluster, text: string): NodeRole {
  const token = parseJoinToken(text);
  if (token.caDigest !== caDigest(cluster.certificateAuthority.certificatePem)) {
    throw new ShoalError('unauthenticated', 'Cannot join: the token is of another cluster', {
      next: 'Check the address of the manager, or get a token from `shoal token worker` there.',
    });
  }
  const isManager = sameSecret(token.secret, cluster.joinSecrets.manager);
  const isWorker = sameSecret(token.secret, cluster.joinSecrets.worker);
  if (isManager) return 'manager';
  if (isWorker) return 'worker';
  throw new ShoalError('unauthenticated', 'Cannot join: the token is wrong or was rotated', {
    next: 'Get a fresh one with `shoal token worker` on a manager.',
  });
}

function sameSecret(left: string, right: string): boolean {
  const digest = (secret: string) => createHash('sha256').update(secret).digest();
  return timingSafeEqual(digest(left), digest(right));
}

/**
 * The manager node that a join with the manager token is for: a new one (undefined), or the first one whose host never came back
 * with its certificate, for it was killed in the middle of its init. Throws `failed_precondition` when there are enough managers.
 */
function managerToTakeOver(nodes: Iterable<Node>): Node | undefined {
  const managers = [...nodes].filter((node) => node.role === 'manager');
  if (managers.every((node) => node.description === undefined)) return managers[0];
  checkOneMore(managers, 'join as a manager');
  return undefined;
}

/** What a manager is known by, for only administrators have the manager's token. */
function ofManager(
  address: string,
  { managerPort: port = managerPort }: JoinBody,
): Pick<Node, 'approvedAddress' | 'manager'> {
  return { approvedAddress: address, manager: { address: `${address}:${port}` } };
}

function adviceOn(nodes: Iterable<Node>, joined: Node): string | undefined {
  const others = [...nodes].filter(({ id, role }) => role === 'manager' && id !== joined.id);
  return adviceFor(others.length + 1);
}

/**
 * A node of that name whose host never came with its certificate, for the answer to its join was lost: it is replaced.
 * Throws `already_exists` when another host has the name, for tasks and secrets are placed by it.
 */
function namesakeToReplace(nodes: Iterable<Node>, hostname: string): Node | undefined {
  const holder = holderOf(nodes, hostname);
  if (holder === undefined || holder.description === undefined) return holder;
  throw new ShoalError('already_exists', `Cannot join as ${hostname}: node ${holder.id} is called so`, {
    next:
      `If this is the same host, remove the old node with \`shoal node rm ${holder.id}\` on a manager and join again; ` +
      'otherwise start the daemon here with another --hostname.',
  });
}

function newNode(id: string, role: NodeRole, name: string, now: number): Node {
  return {
    id,
    createdAt: now,
    updatedAt: now,
    revision: 0,
    name,
    role,
    availability: 'active',
    labels: {},
    status: { state: 'unknown', since: now, message: 'joined; its agent has not reported yet' },
  };
}
