import { ShoalError } from '../../util/errors.ts';
import type { ClusterChange, ClusterInfo } from '../../wire/api.ts';
import { exitCodes, type Command } from '../command.ts';

export const inspect: Command = {
  name: 'cluster inspect',
  summary: 'Show the cluster as a whole, as JSON.',
  options: {},
  examples: ['shoal cluster inspect'],
  async run(context) {
    const client = await context.client();
    context.output.print(JSON.stringify(await client.request<ClusterInfo>('GET', '/cluster'), null, 2));
    return exitCodes.done;
  },
};

const answers = new Map([
  ['true', true],
  ['false', false],
]);

export const update: Command = {
  name: 'cluster update',
  summary: 'Change what is done in the whole cluster where a command does not say.',
  options: {
    'remove-orphans': {
      value: 'true|false',
      help: 'Whether `shoal up` removes services that are not in the file any more, unless it is told',
    },
  },
  examples: ['shoal cluster update --remove-orphans true'],
  async run(context, parsed) {
    const said = parsed.value('remove-orphans');
    if (said === undefined) {
      throw new ShoalError('invalid_argument', 'Cannot update the cluster: nothing to change was given', {
        next: 'See `shoal cluster update --help`.',
      });
    }
    const removeOrphans = answers.get(said);
    if (removeOrphans === undefined) {
      throw new ShoalError(
        'invalid_argument',
        `Cannot set remove-orphans to ${JSON.stringify(said)}: it can be true or false`,
      );
    }
    const client = await context.client();
    const change: ClusterChange = { removeOrphans };
    const { defaults } = await client.request<ClusterInfo>('PATCH', '/cluster', change);
    const does = defaults.removeOrphans ? 'removes' : 'leaves';
    context.output.note(`shoal up ${does} what the file does not have any more, unless it is told`);
    return exitCodes.done;
  },
};
