import { ShoalError } from '../../util/errors.ts';
import { localPrefix, type JoinRequest, type LocalInfo } from '../../wire/api.ts';
import { exitCodes, type Command } from '../command.ts';
import { membershipTimeoutMs } from './init.ts';

export const command: Command = {
  name: 'join',
  summary: 'Join this host to a cluster, as a worker or a manager as the token says.',
  positionals: 'MANAGER[:PORT]',
  positionalsMin: 1,
  positionalsMax: 1,
  options: {
    token: { value: 'TOKEN', help: 'From `shoal token` on a manager; `-` reads it from standard input' },
    'advertise-address': {
      value: 'ADDRESS',
      help: 'Address of this host that the other hosts reach (default: that of the default route)',
    },
    json: { help: 'Print the result as JSON' },
  },
  examples: ['shoal join --token SHOAL-1-… 192.168.1.10:2377'],
  async run(context, parsed) {
    const given = parsed.value('token');
    if (given === undefined) {
      throw new ShoalError('invalid_argument', 'Cannot join without a token', {
        next: 'Run `shoal token` on a manager; it prints the whole command.',
      });
    }
    const token = given === '-' ? (await Array.fromAsync(process.stdin)).join('').trim() : given;
    const request: JoinRequest = {
      token,
      manager: parsed.positionals[0]!,
      advertiseAddress: parsed.value('advertise-address'),
    };
    const client = await context.client();
    const info = await client.request<LocalInfo>('POST', `${localPrefix}/join`, request, {
      timeoutMs: membershipTimeoutMs,
    });
    if (parsed.flag('json')) context.output.print(JSON.stringify(info, null, 2));
    else {
      context.output.note(`This host has joined cluster ${info.clusterId} as ${info.role} ${info.nodeId}.`);
      if (info.advice !== undefined) context.output.note(info.advice);
      if (info.notice !== undefined) context.output.note(`It gets no tasks yet: ${info.notice}`);
    }
    return exitCodes.done;
  },
};
