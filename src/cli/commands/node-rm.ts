import { exitCodes, type Command } from '../command.ts';
import { confirm, yesOption } from '../confirm.ts';
import { volumesOn, volumeWithUsers } from '../stranded.ts';

export const command: Command = {
  name: 'node rm',
  summary: 'Forget a host that is down or has left.',
  positionals: 'NODE',
  positionalsMin: 1,
  positionalsMax: 1,
  options: { force: { help: 'Even when it is neither down nor drained' }, ...yesOption },
  examples: ['shoal node rm c'],
  async run(context, parsed) {
    const [name] = parsed.positionals;
    const client = await context.client();
    const { volumes } = await volumesOn(client, name!);
    const warnings = volumes.map(
      (volume) => `${volumeWithUsers(volume)} is on ${name}: its data goes with the node`,
    );
    await confirm(context, parsed, warnings);
    await client.request(
      'DELETE',
      `/nodes/${encodeURIComponent(name!)}${parsed.flag('force') ? '?force=true' : ''}`,
    );
    context.output.note(`${name} is removed`);
    return exitCodes.done;
  },
};
