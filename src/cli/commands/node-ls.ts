import { managerState } from '../../spec/manager-state.ts';
import { nodeName } from '../../spec/node-name.ts';
import type { Node } from '../../spec/node.ts';
import type { ClusterInfo } from '../../wire/api.ts';
import { formatAge } from '../ages.ts';
import { exitCodes, type Command } from '../command.ts';
import { printList } from '../output.ts';

const gibibyte = 2 ** 30;

/** What is behind the conditions of a node, a line each, and why a manager is not what it should be. */
function conditionLines(node: Node): string[] {
  const { conditions = [], status, manager } = node;
  const down =
    status.state === 'down' && status.message !== '' ? [`${nodeName(node)}: ${status.message}`] : [];
  const problem = manager?.problem === undefined ? [] : [`${nodeName(node)}: ${manager.problem}`];
  return [
    ...down,
    ...problem,
    ...conditions.map(({ type, message }) => `${nodeName(node)}: ${type}: ${message}`),
  ];
}

function rowOf(node: Node, leader: string | undefined, now: number): string[] {
  const { id, name, role, availability, description, status, conditions = [] } = node;
  return [
    id,
    name ?? description?.hostname ?? '',
    description?.address ?? '',
    role,
    managerState(node, leader) ?? '',
    status.state,
    formatAge(status.since, now),
    conditions.map(({ type }) => type).join(','),
    availability,
    description ? String(description.nanoCpus / 1e9) : '',
    description ? `${(description.memoryBytes / gibibyte).toFixed(1)} GiB` : '',
    description ? `${description.engine.name} ${description.engine.version}` : '',
  ];
}

export const command: Command = {
  name: 'node ls',
  summary: 'List the hosts of the cluster.',
  options: { json: { help: 'Print JSON' } },
  examples: ['shoal node ls', 'shoal node ls --json'],
  async run(context, parsed) {
    const client = await context.client();
    const nodes = await client.request<Node[]>('GET', '/nodes');
    const { now, leader } = await client.request<ClusterInfo>('GET', '/cluster');
    printList(context.output, parsed.flag('json'), nodes, {
      header: [
        'ID',
        'HOSTNAME',
        'ADDRESS',
        'ROLE',
        'MANAGER',
        'STATE',
        'SINCE',
        'CONDITIONS',
        'AVAILABILITY',
        'CPUS',
        'MEMORY',
        'ENGINE',
      ],
      row: (node) => rowOf(node, leader, now),
    });
    if (!parsed.flag('json')) for (const line of nodes.flatMap(conditionLines)) context.output.note(line);
    return exitCodes.done;
  },
};
