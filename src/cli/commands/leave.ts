import { ShoalError } from '../../util/errors.ts';
import { localPrefix, type LeaveRequest, type LocalInfo } from '../../wire/api.ts';
import { exitCodes, type Command } from '../command.ts';
import { confirm, yesOption } from '../confirm.ts';

/** More than a daemon gives the cluster to move the tasks, and the tasks to stop. */
const leaveTimeoutMs = 10 * 60_000;

export const command: Command = {
  name: 'leave',
  summary: 'Take this host out of its cluster: its tasks move to other hosts, or stop, and its networks go.',
  options: {
    force: {
      help: 'Also when no manager can be told; the cluster ends with its only manager',
    },
    ...yesOption,
  },
  examples: ['shoal leave', 'shoal leave --force'],
  async run(context, parsed) {
    const client = await context.client();
    const leave = (withVolumes: boolean) => {
      const request: LeaveRequest = { force: parsed.flag('force'), ...(withVolumes ? { withVolumes } : {}) };
      const settings = { timeoutMs: leaveTimeoutMs };
      return client.request<LocalInfo>('POST', `${localPrefix}/leave`, request, settings);
    };
    try {
      await leave(false);
    } catch (error) {
      const volumes = volumesIn(error);
      if (volumes === undefined) throw error;
      const next = 'its tasks wait, and its data goes with this host';
      await confirm(
        context,
        parsed,
        volumes.map((name) => `volume ${name} is on this host: ${next}`),
      );
      await leave(true);
    }
    context.output.note('This host has left its cluster. On a manager, `shoal node rm` forgets it.');
    return exitCodes.done;
  },
};

/** The volumes for which the daemon refused to leave; undefined when it was for something else. */
function volumesIn(error: unknown): string[] | undefined {
  const { volumes } = ((error instanceof ShoalError && error.details) || {}) as { volumes?: unknown };
  return Array.isArray(volumes) ? volumes.map(String) : undefined;
}
