import { assert } from '../util/errors.ts';
import type { ObjectMeta } from './object.ts';
import type { AllocatedPort, TaskTemplate } from './service.ts';

/** In order: a task's observed state only ever moves to the right. `remove` exists as a desired state alone. */
export const taskStates = [
  'new',
  'pending',
  'assigned',
  'accepted',
  'preparing',
  'ready',
  'starting',
  'running',
  'complete',
  'shutdown',
  'failed',
  'rejected',
  'orphaned',
  'remove',
] as const;

export type TaskState = (typeof taskStates)[number];
export type DesiredTaskState = 'ready' | 'running' | 'shutdown' | 'remove';

const rank = new Map<TaskState, number>(taskStates.map((state, index) => [state, index]));

/** Negative when `left` comes before `right`, 0 when they are the same, positive otherwise. */
export function compareTaskStates(left: TaskState, right: TaskState): number {
  return rank.get(left)! - rank.get(right)!;
}

/** Whether the task has ended, one way or another. */
export function isTerminal(state: TaskState): boolean {
  return compareTaskStates(state, 'complete') >= 0;
}

/** Whether commands can be run in the task's container: a starting one may run already and only not be healthy yet. */
export function mayRunCommands(state: TaskState): boolean {
  return state === 'starting' || state === 'running';
}

/** Whether the service wants the task: it is not told to stop or to vanish, and no other stands in for it. */
export function isWanted({ desiredState, awaited }: Pick<Task, 'desiredState' | 'awaited'>): boolean {
  return (desiredState === 'ready' || desiredState === 'running') && awaited !== true;
}

/** Who may write an observed state. After `assigned` only the agent does, except that the manager declares a task orphaned. */
export type TaskStateOwner = 'orchestrator' | 'allocator' | 'scheduler' | 'agent' | 'manager';

const ownerOf: Record<TaskState, TaskStateOwner> = {
  new: 'orchestrator',
  pending: 'allocator',
  assigned: 'scheduler',
  accepted: 'agent',
  preparing: 'agent',
  ready: 'agent',
  starting: 'agent',
  running: 'agent',
  complete: 'agent',
  shutdown: 'agent',
  failed: 'agent',
  rejected: 'agent',
  orphaned: 'manager',
  remove: 'orchestrator',
};

/** Whether `owner` may move a task from `from` to `to`. The manager may also shut down a task that no agent has. */
export function mayMove(from: TaskState, to: TaskState, owner: TaskStateOwner): boolean {
  if (to === 'remove' || compareTaskStates(to, from) <= 0 || isTerminal(from)) return false;
  if (owner === 'manager' && to === 'shutdown') return compareTaskStates(from, 'assigned') < 0;
  if (owner === 'agent' && compareTaskStates(from, 'assigned') < 0) return false;
  return ownerOf[to] === owner;
}

export interface TaskStatus {
  state: TaskState;
  /**
   * When the state was reached. In the store always by the manager's clock, which stamps what agents report as it comes
   * (`manager/dispatcher/statuses.ts`); on a host by the host's.
   */
  at: number;
  /** What is going on, for a person: why it is pending, how far the pull is, how it ended. */
  message: string;
  /** Set when it failed: the code and words of the reason. */
  error?: { code: string; message: string };
  exitCode?: number;
  /** Its anchor (by the task's id) that ended or was about to, for which its agent stopped it. */
  endedWith?: string;
  /** When it reached `running`, by the same clock as `at`. */
  startedAt?: number;
  /** The image's digest once it is resolved. */
  imageDigest?: string;
  /** Set once the task's init containers have ended well. */
  initialised?: true;
  /** How often its host has run it again by itself, while no manager could be reached; absent: never. */
  restarts?: number;
  /** Host-mode ports in use. */
  hostPorts?: AllocatedPort[];
}

/** The anchor for whose end the task has ended, by its agent's word; of tasks that go on, and of others' anchors, no word counts. */
export function anchorEndedWith({
  status,
  anchors = {},
}: Pick<Task, 'status' | 'anchors'>): string | undefined {
  const { state, endedWith } = status;
  if (endedWith === undefined || !isTerminal(state)) return undefined;
  return Object.values(anchors).includes(endedWith) ? endedWith : undefined;
}

/** How the message of a task begins that runs, and of which a person should know all the same. */
export const runningBut = 'running, but ';

/** The new status; throws when the move is illegal (time travel is not allowed). Equal states may refresh the message. */
export function moveTask(status: TaskStatus, next: TaskStatus, owner: TaskStateOwner): TaskStatus {
  const legal =
    status.state === next.state ? !isTerminal(status.state) : mayMove(status.state, next.state, owner);
  assert(legal, `${owner} may not move a task from ${status.state} to ${next.state}`);
  return { ...status, ...next };
}

/** A place on one network. The MAC address follows from the IP address (`macOf` in `spec/address.ts`). */
export interface NetworkAttachment {
  networkId: string;
  address: string;
  aliases: string[];
  /** As in `NetworkReference`. */
  gatewayPriority?: number;
  interfaceName?: string;
}

/** One attempt to run one container. One-shot: a restart is a new task in the same slot. */
export interface Task extends ObjectMeta {
  application: string;
  serviceId: string;
  serviceName: string;
  /** 1, 2, … in a replicated service; 0 in a global one, where the node takes the slot's place. */
  slot: number;
  /** Set by the scheduler; in a global service by the orchestrator. Never changes afterwards. */
  nodeId?: string;
  /**
   * `Service.specVersion` it was made from. Raised by the orchestrator when a later version asks for the very same
   * template (after a rollback), so that lower always means out of date.
   */
  specVersion: number;
  /** Attempts in the slot before it, where the restart policy allows more than are counted in the history. */
  attempts?: number;
  /** The update of the service that made it; absent when none was under way. */
  updateId?: string;
  /** Frozen when the task was made. */
  template: TaskTemplate;
  desiredState: DesiredTaskState;
  /**
   * Set by the orchestrator while its node is down and another task was made in its place: whichever of the two is found
   * running first stays. Its desired state is still `running`, which is what its agent knows.
   */
  awaited?: true;
  status: TaskStatus;
  /** Set by the scheduler: this task runs the init containers that run once for its version. */
  initialises?: true;
  /** Filled by the allocator on the way from `new` to `pending`, in the template's order of networks. */
  attachments: NetworkAttachment[];
  /** The tasks that it takes something over from, by service. Set by the scheduler with the node; never changes afterwards. */
  anchors?: Record<string, string>;
  /** The ids of its named volumes, by name, when it was placed. Set by the scheduler with the node; never changes afterwards. */
  volumeIds?: Record<string, string>;
  /**
   * A replacement is held at desired `ready` until the task it replaces has stopped and this time (ms) has come; it is no
   * further ahead than the delay of the restart policy.
   */
  startAfter?: number;
}

/** Newest first; tasks of one slot are never made in the same millisecond. */
export function newestFirst(
  left: Pick<Task, 'createdAt' | 'id'>,
  right: Pick<Task, 'createdAt' | 'id'>,
): number {
  return right.createdAt - left.createdAt || (left.id < right.id ? 1 : -1);
}

/** The name a person sees: `app_web.1`, or `app_web.NODE` in a global service. */
export function taskName(task: Pick<Task, 'serviceName' | 'slot' | 'nodeId'>): string {
  return `${task.serviceName}.${task.slot > 0 ? task.slot : (task.nodeId ?? '?')}`;
}
