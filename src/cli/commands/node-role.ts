import { nodeName } from '../../spec/node-name.ts';
import type { Node, NodeRole } from '../../spec/node.ts';
import type { ClusterInfo, NodeChange } from '../../wire/api.ts';
import { exitCodes, type Command, type Context } from '../command.ts';

async function giveRole(context: Context, reference: string, role: NodeRole): Promise<number> {
  const api = await context.client();
  const change: NodeChange = { role };
  const node = await api.request<Node>('PATCH', `/nodes/${encodeURIComponent(reference)}`, change);
  const { nodes } = await api.request<ClusterInfo>('GET', '/cluster');
  context.output.note(`${nodeName(node)} becomes a ${role}; \`shoal node ls\` shows how far it is.`);
  if (nodes.managers % 2 === 0) {
    context.output.note(
      `An even number of managers (${nodes.managers}) survives the loss of no more than ${nodes.managers - 1} do: make it odd.`,
    );
  }
  return exitCodes.done;
}

const role = { positionals: 'NODE', positionalsMin: 1, positionalsMax: 1, options: {} };

export const promote: Command = {
  ...role,
  name: 'node promote',
  summary: 'Make a host a manager.',
  examples: ['shoal node promote b'],
  run: (context, parsed) => giveRole(context, parsed.positionals[0]!, 'manager'),
};

export const demote: Command = {
  ...role,
  name: 'node demote',
  summary: 'Make a manager a worker again; its tasks stay.',
  examples: ['shoal node demote b'],
  run: (context, parsed) => giveRole(context, parsed.positionals[0]!, 'worker'),
};
