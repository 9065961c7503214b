import { portsOfVersion } from '../spec/former.ts';
import { nodeName } from '../spec/node-name.ts';
import type { Node } from '../spec/node.ts';
import type { AllocatedPort, Service } from '../spec/service.ts';
import { isTerminal, isWanted, runningBut, taskName } from '../spec/task.ts';
import { currentVersion } from '../spec/versions.ts';
import { count } from '../util/text.ts';
import type { ClusterInfo, TaskInfo } from '../wire/api.ts';
import { formatAge } from './ages.ts';
import { printList, type Output } from './output.ts';

/** One task as `ps` shows it; the JSON of `ps --json`. */
export interface TaskRow {
  id: string;
  name: string;
  containerName?: string;
  service: string;
  image: string;
  /** The service's current version, as `shoal service history` counts them; absent: the task is of an earlier one. */
  version?: number;
  node: string;
  /** `ready`, `down` or `unknown`; absent while it has no node. */
  nodeState?: string;
  desiredState: string;
  state: string;
  at: number;
  message: string;
  exitCode?: number;
  volumes?: string[];
}

/** What tasks are shown with. */
export interface Surroundings {
  services: Service[];
  nodes: Node[];
}

/** A failed attempt is shown beside what runs now for this long; `--all` shows it as long as it is kept. */
const failureShownMs = 10 * 60_000;

/**
 * Of all tasks those that say how things are: what is wanted, what has not ended, and of each slot the last attempt that failed,
 * for as long as nothing runs in its place and some minutes more. `now` in ms, the manager's.
 */
export function currentTasks(tasks: TaskInfo[], now: number): TaskInfo[] {
  const slotOf = (task: TaskInfo) => `${task.serviceId} ${task.slot > 0 ? task.slot : (task.nodeId ?? '')}`;
  const running = new Set(tasks.filter(isRunning).map(slotOf));
  const newestFailed = new Map<string, TaskInfo>();
  for (const task of tasks) {
    if (!hasFailed(task)) continue;
    const other = newestFailed.get(slotOf(task));
    if (other === undefined || other.createdAt < task.createdAt) newestFailed.set(slotOf(task), task);
  }
  return tasks.filter((task) => {
    if (!isTerminal(task.status.state)) return true;
    if (isWanted(task) && !hasFailed(task)) return true;
    if (newestFailed.get(slotOf(task)) !== task) return false;
    return !running.has(slotOf(task)) || now - task.status.at < failureShownMs;
  });
}

function isRunning(task: TaskInfo): boolean {
  return isWanted(task) && task.status.state === 'running';
}

function hasFailed({ status: { state } }: TaskInfo): boolean {
  return state === 'failed' || state === 'rejected';
}

/** By service and slot, newest first within one. */
export function rowsOf(tasks: TaskInfo[], { services, nodes }: Surroundings): TaskRow[] {
  const serviceById = new Map(services.map((service) => [service.id, service]));
  const nodeById = new Map(nodes.map((node) => [node.id, node]));
  return tasks
    .toSorted(
      (left, right) =>
        left.serviceName.localeCompare(right.serviceName) ||
        left.slot - right.slot ||
        right.createdAt - left.createdAt,
    )
    .map((task) => rowOf(task, serviceById.get(task.serviceId), nodeById.get(task.nodeId ?? '')));
}

function rowOf(task: TaskInfo, service: Service | undefined, node: Node | undefined): TaskRow {
  const { state, at, message, error, exitCode } = task.status;
  const isUp = state === 'running';
  const containerName = service?.spec.containerName;
  const words = [
    error?.message ?? (isUp && !message.startsWith(runningBut) ? '' : message),
    isUp ? whyNotKnown(node) : '',
    isUp && service ? portsOfVersion(service, task.specVersion).map(describePort).join(', ') : '',
  ];
  const host = node === undefined ? task.nodeId : nodeName(node);
  return {
    id: task.id,
    name: taskName({ ...task, nodeId: host }),
    ...(containerName === undefined ? {} : { containerName }),
    service: task.serviceName,
    image: task.image,
    ...(service?.specVersion === task.specVersion && { version: currentVersion(service).version }),
    node: host ?? '',
    ...(node === undefined ? {} : { nodeState: node.status.state }),
    desiredState: task.awaited === true ? 'awaited' : task.desiredState,
    state,
    at,
    message: words.filter(Boolean).join('; '),
    exitCode,
    ...(task.volumes === undefined ? {} : { volumes: task.volumes }),
  };
}

/** Why it cannot be told whether a task still runs that did; empty when it can. */
function whyNotKnown(node: Node | undefined): string {
  if (node?.status.state === 'down') return `not known: ${node.status.message || 'its node is down'}`;
  const unreachable = node?.conditions?.find(({ type }) => type === 'Unreachable');
  return unreachable === undefined ? '' : `not known: its node is ${unreachable.message}`;
}

/** `*:8080->80/tcp`: where a port is open, and which one of the container it leads to. */
export function describePort({ address, published, target, protocol }: AllocatedPort): string {
  return `${address ?? '*'}:${published}->${target}/${protocol}`;
}

/** Prints tasks as a table, or as JSON. `hidden` is how many of the history are left out. */
export function printTasks(
  output: Output,
  json: boolean,
  rows: TaskRow[],
  { now, hidden }: Pick<ClusterInfo, 'now'> & { hidden: number },
): void {
  const hasVolumes = rows.some(({ volumes }) => volumes !== undefined);
  printList(output, json, rows, {
    header: [
      'ID',
      'NAME',
      'IMAGE',
      'VERSION',
      'NODE',
      'DESIRED',
      'STATE',
      'SINCE',
      ...(hasVolumes ? ['VOLUMES'] : []),
      'MESSAGE',
    ],
    row: (row) => [
      row.id,
      row.containerName === undefined ? row.name : `${row.name} (${row.containerName})`,
      row.image,
      row.version === undefined ? 'old' : `v${row.version}`,
      row.nodeState === undefined || row.nodeState === 'ready' ? row.node : `${row.node} (${row.nodeState})`,
      row.desiredState,
      row.state,
      formatAge(row.at, now),
      ...(hasVolumes ? [row.volumes?.join(',') ?? ''] : []),
      row.message,
    ],
  });
  if (!json && hidden > 0) {
    output.note(`${count(hidden, 'earlier task')} not shown: see them with --all`);
  }
}
