import type { Node, NodeAvailability } from '../../spec/node.ts';
import { ShoalError } from '../../util/errors.ts';
import type { NodeChange } from '../../wire/api.ts';
import { exitCodes, type Command } from '../command.ts';

const availabilities: readonly string[] = ['active', 'pause', 'drain'] satisfies NodeAvailability[];

export const command: Command = {
  name: 'node update',
  summary: 'Change a host: labels, or whether it takes tasks (active, pause) or is emptied (drain).',
  positionals: 'NODE',
  positionalsMin: 1,
  positionalsMax: 1,
  options: {
    availability: { value: 'WHAT', help: 'active, pause or drain' },
    address: { value: 'ADDRESS', help: 'Approve the address that its agent gives' },
    'label-add': { value: 'KEY=VALUE', multiple: true, help: 'Set a label' },
    'label-rm': { value: 'KEY', multiple: true, help: 'Remove a label' },
  },
  examples: ['shoal node update --availability drain b', 'shoal node update --label-add disk=ssd b'],
  async run(context, parsed) {
    const availability = parsed.value('availability');
    if (availability !== undefined && !availabilities.includes(availability)) {
      throw new ShoalError(
        'invalid_argument',
        `Cannot make a node ${JSON.stringify(availability)}: it can be active, pause or drain`,
      );
    }
    const added = parsed.values('label-add').map((label) => {
      const [key = '', ...value] = label.split('=');
      return [key, value.join('=')] as const;
    });
    const removed = parsed.values('label-rm').map((key) => [key, null] as const);
    const labels = Object.fromEntries([...added, ...removed]);
    const address = parsed.value('address');
    const change: NodeChange = {
      ...(address === undefined ? {} : { address }),
      ...(availability === undefined ? {} : { availability: availability as NodeAvailability }),
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
    };
    if (Object.keys(change).length === 0) {
      throw new ShoalError('invalid_argument', 'Cannot update the node: nothing to change was given', {
        next: 'See `shoal node update --help`.',
      });
    }
    const client = await context.client();
    const node = await client.request<Node>(
      'PATCH',
      `/nodes/${encodeURIComponent(parsed.positionals[0]!)}`,
      change,
    );
    context.output.note(`${node.description?.hostname ?? node.id} is ${node.availability}`);
    return exitCodes.done;
  },
};
