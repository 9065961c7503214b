import { nodeName } from '../../spec/node-name.ts';
import type { Node } from '../../spec/node.ts';
import { agesOf } from '../ages.ts';
import { exitCodes, type Command } from '../command.ts';
import { printList } from '../output.ts';

const gibibyte = 2 ** 30;

/** What is behind the conditions of a node, a line each. */
function conditionLines(node: Node): string[] {
  const { conditions = [], status } = node;
  const down =
    status.state === 'down' && status.message !== '' ? [`${nodeName(node)}: ${status.message}`] : [];
  return [...down, ...conditions.map(({ type, message }) => `${nodeName(node)}: ${type}: ${message}`)];
}

export const command: Command = {
  name: 'node ls',
  summary: 'List the hosts of the cluster.',
  options: { json: { help: 'Print JSON' } },
  examples: ['shoal node ls', 'shoal node ls --json'],
  async run(context, parsed) {
    const client = await context.client();
    const nodes = await client.request<Node[]>('GET', '/nodes');
    const age = await agesOf(client);
    printList(context.output, parsed.flag('json'), nodes, {
      header: [
        'ID',
        'HOSTNAME',
        'ADDRESS',
        'ROLE',
        'STATE',
        'SINCE',
        'CONDITIONS',
        'AVAILABILITY',
        'CPUS',
        'MEMORY',
        'ENGINE',
      ],
      row: ({ id, name, role, availability, description, status, conditions = [] }) => [
        id,
        name ?? description?.hostname ?? '',
        description?.address ?? '',
        role,
        status.state,
        age(status.since),
        conditions.map(({ type }) => type).join(','),
        availability,
        description ? String(description.nanoCpus / 1e9) : '',
        description ? `${(description.memoryBytes / gibibyte).toFixed(1)} GiB` : '',
        description ? `${description.engine.name} ${description.engine.version}` : '',
      ],
    });
    if (!parsed.flag('json')) for (const line of nodes.flatMap(conditionLines)) context.output.note(line);
    return exitCodes.done;
  },
};
