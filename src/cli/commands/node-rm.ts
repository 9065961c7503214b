import { exitCodes, type Command } from '../command.ts';

export const command: Command = {
  name: 'node rm',
  summary: 'Forget a host that is down or has left.',
  positionals: 'NODE',
  positionalsMin: 1,
  positionalsMax: 1,
  options: { force: { help: 'Even when it is neither down nor drained' } },
  examples: ['shoal node rm c'],
  async run(context, parsed) {
    const [name] = parsed.positionals;
    const client = await context.client();
    await client.request(
      'DELETE',
      `/nodes/${encodeURIComponent(name!)}${parsed.flag('force') ? '?force=true' : ''}`,
    );
    context.output.note(`${name} is removed`);
    return exitCodes.done;
  },
};
