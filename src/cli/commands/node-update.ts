import type { Node, NodeAvailability } from '../../spec/node.ts';
import { ShoalError } from '../../util/errors.ts';
import type { NodeChange } from '../../wire/api.ts';
import type { Client } from '../../wire/client.ts';
import { exitCodes, type Command, type Context, type ParsedArguments } from '../command.ts';
import { confirm, yesOption } from '../confirm.ts';
import { strandedBy, volumeWithUsers } from '../stranded.ts';
import { carryOut } from './volume-move.ts';

const moveVolumes = 'move-volumes';
const availabilities: readonly string[] = ['active', 'pause', 'drain'] satisfies NodeAvailability[];

/** Tasks do not go elsewhere without their data: a person should know which will wait, and how they need not. */
async function confirmDrain(context: Context, parsed: ParsedArguments, client: Client): Promise<void> {
  const { name, stranded } = await strandedBy(client, parsed.positionals[0]!);
  const warnings = stranded.map(({ volume, target }) => {
    const move =
      target === undefined
        ? '; no other node can take it now'
        : `, unless it is moved first: \`shoal volume move ${volume.spec.name} ${target}\``;
    return `${volumeWithUsers(volume)} is on ${name}: its tasks will wait until ${name} is active again${move}`;
  });
  const canMove = stranded.some(({ target }) => target !== undefined);
  const all = `shoal node update --availability drain --${moveVolumes} ${name}`;
  await confirm(
    context,
    parsed,
    canMove ? [...warnings, `\`${all}\` moves what can be moved first`] : warnings,
  );
}

/** Moves every volume whose tasks would wait, with its tasks. One that does not arrive ends it, and the node is not drained. */
async function moveStranded(context: Context, parsed: ParsedArguments, client: Client): Promise<void> {
  const { name, stranded } = await strandedBy(client, parsed.positionals[0]!);
  for (const { volume, target } of stranded) {
    if (target === undefined) continue;
    try {
      await carryOut(context, parsed, { what: 'move', name: volume.spec.name, node: target });
    } catch (error) {
      context.output.note(`${name} is not drained`);
      throw error;
    }
  }
}

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
    [moveVolumes]: { help: 'Before a drain, move volumes with their tasks to nodes that can take them' },
    ...yesOption,
  },
  examples: [
    'shoal node update --availability drain b',
    'shoal node update --availability drain --move-volumes b',
    'shoal node update --label-add disk=ssd b',
  ],
  async run(context, parsed) {
    const availability = parsed.value('availability');
    if (availability !== undefined && !availabilities.includes(availability)) {
      throw new ShoalError(
        'invalid_argument',
        `Cannot make a node ${JSON.stringify(availability)}: it can be active, pause or drain`,
      );
    }
    if (parsed.flag(moveVolumes) && availability !== 'drain') {
      throw new ShoalError(
        'invalid_argument',
        `Cannot use --${moveVolumes} without --availability drain: the volumes stay where they are`,
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
    if (parsed.flag(moveVolumes)) await moveStranded(context, parsed, client);
    if (availability === 'drain') await confirmDrain(context, parsed, client);
    const node = await client.request<Node>(
      'PATCH',
      `/nodes/${encodeURIComponent(parsed.positionals[0]!)}`,
      change,
    );
    context.output.note(`${node.description?.hostname ?? node.id} is ${node.availability}`);
    return exitCodes.done;
  },
};
