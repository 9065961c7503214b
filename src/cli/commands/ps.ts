import type { Node } from '../../spec/node.ts';
import { isPaused } from '../../spec/change.ts';
import type { Service } from '../../spec/service.ts';
import { isTerminal, isWanted, taskName } from '../../spec/task.ts';
import { ShoalError } from '../../util/errors.ts';
import type { TaskInfo } from '../../wire/api.ts';
import { agesOf } from '../ages.ts';
import { applicationOptions } from '../options.ts';
import { exitCodes, type Command, type Context } from '../command.ts';
import { printList } from '../output.ts';
import { applicationName, pickServices } from '../reference.ts';

interface Row {
  id: string;
  name: string;
  containerName?: string;
  service: string;
  image: string;
  node: string;
  desiredState: string;
  state: string;
  at: number;
  message: string;
  exitCode?: number;
}

function describe(task: TaskInfo, services: Map<string, Service>, nodes: Map<string, Node>): Row {
  const node = task.nodeId === undefined ? undefined : nodes.get(task.nodeId);
  const service = services.get(task.serviceId);
  const ports = service?.endpoint?.ports ?? [];
  const containerName = service?.spec.containerName;
  const { state, at, message, error, exitCode } = task.status;
  const published =
    state === 'running' && ports.length > 0
      ? ports
          .map((port) => `${port.address ?? '*'}:${port.published}->${port.target}/${port.protocol}`)
          .join(', ')
      : '';
  return {
    id: task.id,
    name: taskName({ ...task, nodeId: node?.description?.hostname ?? task.nodeId }),
    ...(containerName === undefined ? {} : { containerName }),
    service: task.serviceName,
    image: task.image,
    node: node?.description?.hostname ?? task.nodeId ?? '',
    desiredState: task.awaited === true ? 'awaited' : task.desiredState,
    state,
    at,
    message: [error?.message ?? (state === 'running' ? '' : message), published].filter(Boolean).join('; '),
    exitCode,
  };
}

async function listTasks(
  context: Context,
  application: string | undefined,
  names: string[],
  all: boolean,
): Promise<{ rows: Row[]; services: Service[] }> {
  const client = await context.client();
  const query = application === undefined ? '' : `?application=${encodeURIComponent(application)}`;
  const [tasks, services, nodes] = await Promise.all([
    client.request<TaskInfo[]>('GET', `/tasks${query}`),
    client.request<Service[]>('GET', `/services${query}`),
    client.request<Node[]>('GET', '/nodes'),
  ]);
  if (application !== undefined && services.length + tasks.length === 0) {
    throw new ShoalError('not_found', `Cannot find an application called ${JSON.stringify(application)}`, {
      next: 'See `shoal ls` for the applications there are, or bring it up with `shoal up`.',
    });
  }
  const wanted =
    names.length === 0 ? undefined : new Set(pickServices(services, application, names).map(({ id }) => id));
  const serviceById = new Map(services.map((service) => [service.id, service]));
  const nodeById = new Map(nodes.map((node) => [node.id, node]));
  const rows = tasks
    .filter((task) => wanted === undefined || wanted.has(task.serviceId))
    .filter(
      (task) =>
        all ||
        isWanted(task) ||
        !isTerminal(task.status.state) ||
        task.status.state === 'failed' ||
        task.status.state === 'rejected',
    )
    .sort(
      (left, right) =>
        left.serviceName.localeCompare(right.serviceName) ||
        left.slot - right.slot ||
        right.createdAt - left.createdAt,
    )
    .map((task) => describe(task, serviceById, nodeById));
  return { rows, services: services.filter(({ id }) => wanted === undefined || wanted.has(id)) };
}

/** What keeps the service from being as its file says until somebody says otherwise, and what to type. */
function heldUp({ spec: { name }, stopped, updateStatus }: Service): string[] {
  if (stopped === true) return [`${name} is stopped; \`shoal start ${name}\` starts it again`];
  if (updateStatus === undefined || !isPaused(updateStatus)) return [];
  return [`${name}: ${updateStatus.message}; \`shoal resume ${name}\` goes on with it`];
}

export const command: Command = {
  name: 'ps',
  summary: 'List tasks: what runs where, and why what does not run does not.',
  positionals: '[SERVICE...]',
  positionalsMax: 1000,
  options: {
    ...applicationOptions,
    all: { short: 'a', help: 'The whole history, not only what is current or failed' },
    json: { help: 'Print JSON' },
  },
  examples: ['shoal ps', 'shoal ps -p guestbook web', 'shoal ps --all --json'],
  async run(context, parsed) {
    const application = await applicationName(context, parsed);
    const { rows, services } = await listTasks(context, application, parsed.positionals, parsed.flag('all'));
    const age = await agesOf(await context.client());
    printList(context.output, parsed.flag('json'), rows, {
      header: ['ID', 'NAME', 'NODE', 'DESIRED', 'STATE', 'SINCE', 'MESSAGE'],
      row: (row) => [
        row.id,
        row.containerName === undefined ? row.name : `${row.name} (${row.containerName})`,
        row.node,
        row.desiredState,
        row.state,
        age(row.at),
        row.message,
      ],
    });
    if (!parsed.flag('json')) for (const text of services.flatMap(heldUp)) context.output.note(text);
    return exitCodes.done;
  },
};
