import { ShoalError } from '../../util/errors.ts';
import type { NetworkCreate, NetworkInfo } from '../../wire/api.ts';
import { exitCodes, type Command } from '../command.ts';
import { inspectCommand, keyValues, labelOption, listCommand, removeCommand } from '../resources.ts';

export const create: Command = {
  name: 'network create',
  summary: 'Make a network that services of several applications join with external: true.',
  positionals: 'NAME',
  positionalsMin: 1,
  positionalsMax: 1,
  options: {
    driver: { short: 'd', value: 'DRIVER', help: 'overlay (default), which reaches over all hosts' },
    internal: { help: 'No way out of the network' },
    subnet: { value: 'SUBNET', help: 'Such as 10.1.0.0/16 (default: one that is free)' },
    ...labelOption,
  },
  examples: ['shoal network create proxy', 'shoal network create --internal --subnet 10.9.0.0/24 back'],
  async run(context, parsed) {
    const driver = parsed.value('driver') ?? 'overlay';
    if (driver !== 'overlay' && driver !== 'bridge') {
      throw new ShoalError(
        'invalid_argument',
        `Cannot make a network with driver ${JSON.stringify(driver)}`,
        {
          next: 'Networks have the driver overlay (bridge means the same here).',
        },
      );
    }
    const subnet = parsed.value('subnet');
    const body: NetworkCreate = {
      name: parsed.positionals[0]!,
      driver: 'overlay',
      labels: keyValues(parsed, 'label'),
      internal: parsed.flag('internal'),
      ...(subnet === undefined ? {} : { subnet }),
    };
    const client = await context.client();
    context.output.print((await client.request<NetworkInfo>('POST', '/networks', body)).id);
    return exitCodes.done;
  },
};

export const ls = listCommand<NetworkInfo>('network', () =>
  Promise.resolve({
    header: ['SUBNET', 'INTERNAL'],
    rows: ({ subnet, allocationError, spec }) => [
      [subnet ?? allocationError ?? '', spec.internal ? 'yes' : 'no'],
    ],
  }),
);

export const inspect = inspectCommand('network');
export const rm = removeCommand('network');
