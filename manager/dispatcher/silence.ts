import { agentReturnMs, heartbeatIntervalMs, nodeSilenceMs } from '../../src/spec/defaults.ts';
import type { Node } from '../../src/spec/node.ts';
import { Faults } from '../store/isolate.ts';
import type { Change, Plan, View } from '../store/objects.ts';
import { agentStalledMsMax } from './findings.ts';
import type { Hearing } from './hearing.ts';

/** Every node beats more often than this: one that was heard within it shows that the manager itself can hear. */
export const freshMs = heartbeatIntervalMs * 2;
/**
 * When the only other host falls silent, either of the two may be the one that is cut off, and nobody can say which.
 * Then it has as long as an agent that ended has to come back.
 */
export const loneSilenceMs = agentReturnMs;
/** When more than half of the other hosts are silent at once, those beyond the half are given this long. */
export const crowdSilenceMs = 60_000;

/** What a check of all nodes finds. */
export interface SilencePlan {
  plan: Plan;
  /** The manager hears no other host, and so calls none of them down: it must be the one that is cut off. */
  isLost: boolean;
  /** Silent nodes that are not called down, for their hosts' kernels answer: their agents stand still. */
  stalled: Node[];
  /** Silent for long enough and not called down all the same: whether they are is not known. */
  unknown: Node[];
}

/** What the manager knows of itself. */
export interface OwnHost {
  /** Its address; the node that has it is the manager's own. */
  address: string | undefined;
  /** Whether the host's own network is up, as far as it can tell. */
  isAttached: boolean;
}

/**
 * Marks the nodes down whose hosts have been silent for `nodeSilenceMs`, or whose agents have ended and not come back for
 * `agentReturnMs`; more slowly where silence may be the manager's own fault, and not at all when it hears nobody. A node that
 * never reported stays unknown. A node whose own side closed its connection was heard in that: its absence is no sign that the
 * manager is cut off. A host whose kernel answers (`hasAnswered`) while its agent is connected is not dead: that agent
 * has `agentStalledMsMax`. `now` is for time stamps; silence is measured by `hearing`.
 */
export function planSilence(
  view: View,
  hearing: Hearing,
  own: OwnHost,
  now: number,
  hasAnswered: (nodeId: string) => boolean = () => false,
): SilencePlan {
  // One without a status, which is damaged, is not judged; the assigner's pass says so in the log.
  const ready = new Faults().filter('node', view.nodes.values(), ({ status }) => status.state === 'ready');
  const isOwn = ({ description }: Node) => own.address !== undefined && description?.address === own.address;
  const others = ready.filter((node) => !isOwn(node));
  const isLost = isCutOff(others, hearing, own, hasAnswered);
  const silent = ready.filter(({ id }) => isAbsent(hearing, id, 0));
  if (isLost) return { plan: [], isLost, stalled: [], unknown: silent.filter((node) => !isOwn(node)) };
  const isStalled = ({ id }: Node) => {
    const { silentMs, isClosed } = hearing.absenceOf(id);
    return !isClosed && silentMs < agentStalledMsMax && hasAnswered(id);
  };
  const stalled = silent.filter(isStalled);
  // Of one that is expected and not heard nobody can say whose fault that is.
  const isLone = others.filter(({ id }) => !hearing.absenceOf(id).hasLeft).length === 1;
  const absent = others.filter(
    (node) => isAbsent(hearing, node.id, isLone ? loneSilenceMs : 0) && !isStalled(node),
  );
  const longestFirst = absent.sort((left, right) => silence(hearing, right) - silence(hearing, left));
  const recent = hearing.calledDownWithin(crowdSilenceMs);
  const most = Math.max(1, Math.floor((others.length + recent) / 2));
  const called = longestFirst.filter(
    (node, index) => recent + index < most || silence(hearing, node) >= crowdSilenceMs,
  );
  const ownAbsent = silent.filter((node) => isOwn(node) && !isStalled(node));
  const unknown = silent.filter((node) => !isOwn(node) && !isStalled(node) && !called.includes(node));
  const plan = [...called, ...ownAbsent].map((node) => [markDown(node, hearing, now)]);
  return { plan, isLost, stalled, unknown };
}

/** Whether the manager hears none of those who should be heard, and so must be the one that is cut off. */
function isCutOff(
  others: readonly Node[],
  hearing: Hearing,
  own: OwnHost,
  hasAnswered: (nodeId: string) => boolean,
): boolean {
  const expected = others.filter(({ id }) => !hearing.absenceOf(id).hasLeft);
  const isHeard = ({ id }: Node) => {
    const { silentMs, isClosed } = hearing.absenceOf(id);
    return !isClosed && (silentMs < freshMs || hasAnswered(id));
  };
  if (expected.length === 0 || expected.some(isHeard)) return false;
  return expected.length > 1 || !own.isAttached;
}

function silence(hearing: Hearing, { id }: Node): number {
  return hearing.absenceOf(id).silentMs;
}

function limitMsOf(hearing: Hearing, nodeId: string): number {
  return hearing.absenceOf(nodeId).isClosed ? agentReturnMs : nodeSilenceMs;
}

function isAbsent(hearing: Hearing, nodeId: string, leastMs: number): boolean {
  return hearing.absenceOf(nodeId).silentMs >= Math.max(leastMs, limitMsOf(hearing, nodeId));
}

function markDown(node: Node, hearing: Hearing, now: number): Change {
  const { silentMs, isClosed } = hearing.absenceOf(node.id);
  const seconds = (Math.floor(silentMs / 100) / 10).toString();
  const message = isClosed
    ? `its agent has not come back for ${seconds} s`
    : `it has been silent for ${seconds} s`;
  return {
    kind: 'node',
    action: 'update',
    object: { ...node, status: { state: 'down', since: now, message } },
  };
}
