import { managersMax } from '../ca/managers.ts';
import { managerPort } from '../../src/spec/defaults.ts';
import type { Node, NodeManager } from '../../src/spec/node.ts';

/** One of etcd's members, as the leader sees it now. */
export interface MemberFact {
  id: string;
  /** The node's id; empty until its etcd has started for the first time. */
  name: string;
  peerUrl: string;
  isLearner: boolean;
  /** Whether it answers. */
  isReachable: boolean;
  /** What it has applied of raft's log; 0 when it does not answer. */
  appliedIndex: number;
}

/** A manager that asks for a place among the members. */
export interface Ask {
  nodeId: string;
  peerUrl: string;
  /** Its member of this id has lost its data for good. */
  lost?: string | undefined;
}

export interface MembersView {
  backend: 'embedded' | 'etcd';
  /** The node of the manager that leads. */
  selfId: string;
  nodes: readonly Node[];
  members: readonly MemberFact[];
  /** Where raft's log ends at the leader. */
  leaderIndex: number;
  /** Those who have asked lately. */
  asks: readonly Ask[];
  memory: Memory;
}

/** What the leader remembers of its own term; a new one begins without. Times in ms since the epoch, of a clock that never steps. */
export interface Memory {
  termSince: number;
  /** When a member without a node was first seen, by its id. */
  strangerSince: ReadonlyMap<string, number>;
  /** When a learner last had all of the log, by its id. */
  caughtUpAt: ReadonlyMap<string, number>;
  /** Nodes whose members were removed for what they did not do, and until when they wait. */
  waitsUntil: ReadonlyMap<string, number>;
}

/** What a node is to say of its member; undefined: nothing any more. */
export interface Note {
  nodeId: string;
  manager: NodeManager | undefined;
}

export type Step =
  | { type: 'move store'; backend: 'embedded' | 'etcd' }
  /** Writes what is known of members to their nodes. */
  | { type: 'note'; notes: Note[] }
  | { type: 'add'; ask: Ask }
  | { type: 'promote'; member: MemberFact }
  /** Another member is to lead, for this one goes. */
  | { type: 'hand over'; targets: MemberFact[] }
  /** `fault`: why its manager is not what it should be, when it may try again. */
  | { type: 'remove'; member: MemberFact; why: string; fault?: { nodeId: string; problem: string } };

/** A learner whose etcd has not started by then is removed: while it is there nobody else can be added. */
export const startMs = 60_000;
/** A learner that has not had the whole log by then is removed. */
export const catchUpMs = 10 * 60_000;
/** A manager whose member was removed for its fault is not added again before. */
export const retryMs = 60_000;
/** A learner that lacks no more entries than these is promoted: writes wait for it from then on. */
export const lagMax = 50;
/** The next thing to do so that etcd's members are the nodes of role manager: one difference at a time. `now` as in `Memory`. */
export function planMembers(view: MembersView, now: number): Step | undefined {
  const wished = view.nodes.filter(({ role }) => role === 'manager');
  if (view.backend === 'embedded') {
    const isNeeded = view.asks.some(({ nodeId }) => nodeId !== view.selfId && isWished(wished, nodeId));
    return isNeeded ? { type: 'move store', backend: 'etcd' } : undefined;
  }
  return (
    noteStep(view, now) ??
    unwishedStep(view, wished) ??
    learnerStep(view, wished, now) ??
    lostStep(view) ??
    addStep(view, wished, now) ??
    backStep(view, wished)
  );
}

function isWished(wished: readonly Node[], nodeId: string | undefined): boolean {
  return nodeId !== undefined && wished.some(({ id }) => id === nodeId);
}

/** The node that a member is of: by its name once it has started, before by who asked for it or was noted. */
export function nodeOfMember(view: MembersView, member: MemberFact): string | undefined {
  if (member.name !== '') return member.name;
  const noted = view.nodes.find(({ manager }) => manager?.member?.id === member.id);
  return noted?.id ?? view.asks.find(({ peerUrl }) => peerUrl === member.peerUrl)?.nodeId;
}

/** How many of so many voters must agree. */
function quorum(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

/** Why a voter cannot be removed without the rest losing the store, with the way out; undefined when it can. */
export function whyNotRemovable(members: readonly MemberFact[], id: string): string | undefined {
  const voters = members.filter(({ isLearner }) => !isLearner);
  const rest = voters.filter((member) => member.id !== id);
  if (rest.length === 0) {
    return 'it is the only manager that can keep the store; add another manager first';
  }
  const tooFew = (of: readonly MemberFact[], words: string) => {
    const up = of.filter(({ isReachable }) => isReachable).length;
    if (up >= quorum(of.length)) return undefined;
    return `of the ${of.length} managers ${words} ${up} can be reached, and it takes ${quorum(of.length)}; bring one of them back first`;
  };
  // Those of now must agree to it, and those who stay must be able to go on.
  return tooFew(voters, 'that vote') ?? tooFew(rest, 'that would stay');
}

function noteStep(view: MembersView, now: number): Step | undefined {
  const notes = view.nodes.flatMap((node) => noteOf(view, node, now) ?? []);
  return notes.length > 0 ? { type: 'note', notes } : undefined;
}

/** What the node should say of its member, when that is not what it says. */
function noteOf(view: MembersView, node: Node, now: number): Note | undefined {
  const nodeId = node.id;
  const found = view.members.find((member) => nodeOfMember(view, member) === nodeId);
  const { manager } = node;
  if (found === undefined) {
    if (node.role === 'worker') return manager === undefined ? undefined : { nodeId, manager: undefined };
    if (manager?.member === undefined) return undefined;
    // Why its member is gone, if there is a reason, was said as it was removed.
    const { member: _member, ...rest } = manager;
    return { nodeId, manager: rest };
  }
  const { member: before, problem: told, ...rest } = manager ?? { address: addressOf(node) };
  const phase = phaseOf(found);
  const problem = problemOf(view, node, found);
  const isSamePhase = before?.id === found.id && before.phase === phase;
  if (isSamePhase && told === problem) return undefined;
  const since = isSamePhase ? before.since : now;
  const member = { id: found.id, phase, since };
  return { nodeId, manager: { ...rest, member, ...(problem !== undefined && { problem }) } };
}

function phaseOf(member: MemberFact): 'added' | 'started' | 'voting' {
  if (member.name === '') return 'added';
  return member.isLearner ? 'started' : 'voting';
}

/** What a person must know of a member that is there. */
function problemOf(view: MembersView, node: Node, member: MemberFact): string | undefined {
  if (node.role === 'manager' || member.isLearner) return undefined;
  const why = whyNotRemovable(view.members, member.id);
  return why === undefined ? undefined : `Cannot make it a worker: ${why}`;
}

function addressOf({ approvedAddress, description }: Node): string {
  return `${approvedAddress ?? description?.address ?? ''}:${managerPort}`;
}

/** Members whose nodes are gone or workers: learners first, the leader itself last. */
function unwishedStep(view: MembersView, wished: readonly Node[]): Step | undefined {
  const { selfId, members } = view;
  const unwished = members.filter(({ name }) => name !== '' && !isWished(wished, name));
  const others = unwished.filter(({ name }) => name !== selfId);
  const learner = others.find(({ isLearner }) => isLearner);
  const gone = (member: MemberFact): Step => ({
    type: 'remove',
    member,
    why: 'its node is no manager any more',
  });
  if (learner !== undefined) return gone(learner);
  const voter = others.find(({ id }) => whyNotRemovable(members, id) === undefined);
  if (voter !== undefined) return gone(voter);
  const self = unwished.find(({ name }) => name === selfId);
  if (self === undefined || whyNotRemovable(members, self.id) !== undefined) return undefined;
  const targets = members.filter(
    ({ name, isLearner, isReachable }) => !isLearner && isReachable && isWished(wished, name),
  );
  return targets.length > 0 ? { type: 'hand over', targets } : undefined;
}

function learnerStep(view: MembersView, wished: readonly Node[], now: number): Step | undefined {
  const member = view.members.find(({ isLearner }) => isLearner);
  if (member === undefined) return undefined;
  const nodeId = nodeOfMember(view, member);
  if (member.name === '') return unstartedStep(view, member, nodeId, now);
  const { termSince, caughtUpAt } = view.memory;
  const isCaughtUp = member.isReachable && member.appliedIndex >= view.leaderIndex - lagMax;
  if (isCaughtUp) return isVoteNeeded(view, wished) ? { type: 'promote', member } : undefined;
  const noted = view.nodes.find(({ id }) => id === nodeId)?.manager?.member;
  const since = Math.max(noted?.since ?? now, termSince, caughtUpAt.get(member.id) ?? 0);
  // A standby that is away is missed by nobody but those who want to come.
  const isInTheWay = member.isReachable || isVoteNeeded(view, wished);
  if (now - since < catchUpMs || !isInTheWay) return undefined;
  return faulty(member, nodeId, `its copy of the store was not complete within ${catchUpMs / 60_000} min`);
}

function unstartedStep(
  view: MembersView,
  member: MemberFact,
  nodeId: string | undefined,
  now: number,
): Step | undefined {
  const { termSince, strangerSince } = view.memory;
  const noted = view.nodes.find(({ id }) => id === nodeId)?.manager?.member?.since;
  const since = Math.max(noted ?? strangerSince.get(member.id) ?? now, termSince);
  if (now - since < startMs) return undefined;
  return faulty(member, nodeId, `its etcd did not start within ${startMs / 1_000} s`);
}

function faulty(member: MemberFact, nodeId: string | undefined, why: string): Step {
  return { type: 'remove', member, why, ...(nodeId !== undefined && { fault: { nodeId, problem: why } }) };
}

/**
 * Two voters are worse than one: the loss of either stops all writes. So the second member stays a copy without a vote until
 * a third is wished, unless the only voter is to go.
 */
function isVoteNeeded({ members }: MembersView, wished: readonly Node[]): boolean {
  const voters = members.filter(({ isLearner }) => !isLearner);
  return voters.length > 1 || wished.length > 2 || voters.some(({ name }) => !isWished(wished, name));
}

/** A member that has lost its data must never come back under its id. */
function lostStep({ asks, members }: MembersView): Step | undefined {
  for (const { nodeId, lost } of asks) {
    const member = members.find(({ id }) => id === lost);
    const isOwn = member !== undefined && (member.name === nodeId || member.name === '');
    if (!isOwn) continue;
    if (!member.isLearner && whyNotRemovable(members, member.id) !== undefined) continue;
    return { type: 'remove', member, why: 'its manager has lost its data and asks for another place' };
  }
  return undefined;
}

function addStep(view: MembersView, wished: readonly Node[], now: number): Step | undefined {
  const ask = view.asks.find(
    (each) => isWished(wished, each.nodeId) && whyNotAdded(view, each, now) === undefined,
  );
  return ask && { type: 'add', ask };
}

/** Why a manager that asks has no place yet, in words; undefined when it has one, or is next. */
export function whyNotAdded(view: MembersView, ask: Ask, now: number): string | undefined {
  const { members, memory } = view;
  if (members.some((member) => nodeOfMember(view, member) === ask.nodeId)) return 'it is a member already';
  const learner = members.find(({ isLearner }) => isLearner);
  if (learner !== undefined) {
    const name = nodeOfMember(view, learner) ?? learner.peerUrl;
    return `${name} is being added; one manager comes after another`;
  }
  const away = members.find(({ isReachable }) => !isReachable);
  if (away !== undefined) {
    return `manager ${away.name} cannot be reached; bring it back, or remove it: \`shoal node rm --force ${away.name}\``;
  }
  const taken = members.find(({ peerUrl }) => peerUrl === ask.peerUrl);
  if (taken !== undefined) return `${ask.peerUrl} is that of manager ${taken.name}`;
  if (members.length >= managersMax) return `a cluster has at most ${managersMax} managers`;
  const until = memory.waitsUntil.get(ask.nodeId) ?? 0;
  if (now < until) return `it failed just now and is tried again in ${Math.ceil((until - now) / 1_000)} s`;
  return undefined;
}

/** With one manager left the store goes back to where nothing has to be replicated. */
function backStep({ selfId, members, asks }: MembersView, wished: readonly Node[]): Step | undefined {
  const isAlone = members.length === 1 && members[0]?.name === selfId;
  const isWish = wished.length === 1 && wished[0]?.id === selfId;
  const isAsked = asks.some(({ nodeId }) => nodeId !== selfId && isWished(wished, nodeId));
  return isAlone && isWish && !isAsked ? { type: 'move store', backend: 'embedded' } : undefined;
}
