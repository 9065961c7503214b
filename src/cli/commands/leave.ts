import { localPrefix, type LocalInfo } from '../../wire/api.ts';
import { exitCodes, type Command } from '../command.ts';

/** More than a daemon gives the cluster to move the tasks, and the tasks to stop. */
const leaveTimeoutMs = 10 * 60_000;

export const command: Command = {
  name: 'leave',
  summary: 'Take this host out of its cluster: its tasks move to other hosts, or stop, and its networks go.',
  options: { force: { help: 'Also when it is the manager: the cluster ends with it' } },
  examples: ['shoal leave', 'shoal leave --force'],
  async run(context, parsed) {
    const client = await context.client();
    await client.request<LocalInfo>(
      'POST',
      `${localPrefix}/leave`,
      { force: parsed.flag('force') },
      { timeoutMs: leaveTimeoutMs },
    );
    context.output.note('This host has left its cluster. On a manager, `shoal node rm` forgets it.');
    return exitCodes.done;
  },
};
