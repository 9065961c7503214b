import type { Node } from '../../spec/node.ts';
import type { VolumeDriverOptions } from '../../spec/resource.ts';
import { ShoalError } from '../../util/errors.ts';
import type { VolumeCreate, VolumeInfo } from '../../wire/api.ts';
import { exitCodes, type Command, type ParsedArguments } from '../command.ts';
import { inspectCommand, keyValues, labelOption, listCommand, removeCommand } from '../resources.ts';

/** Options of Docker's local driver; undefined when there are none. */
function driverOptions(parsed: ParsedArguments): VolumeDriverOptions | undefined {
  const { type, o, device, ...others } = keyValues(parsed, 'opt');
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw new ShoalError(
      'invalid_argument',
      `Cannot use --opt ${unknown}: the options are type, o and device`,
    );
  }
  if (device !== undefined) {
    return { ...(type === undefined ? {} : { type }), ...(o === undefined ? {} : { o }), device };
  }
  if (type === undefined && o === undefined) return undefined;
  throw new ShoalError('invalid_argument', 'Cannot tell what to mount: there is no --opt device=DEVICE');
}

export const create: Command = {
  name: 'volume create',
  summary: 'Make a volume that services of several applications use with external: true.',
  positionals: 'NAME',
  positionalsMin: 1,
  positionalsMax: 1,
  options: {
    driver: { short: 'd', value: 'DRIVER', help: 'local (default)' },
    opt: {
      short: 'o',
      value: 'KEY=VALUE',
      multiple: true,
      help: 'type, o or device: what is mounted (default: a folder of each host)',
    },
    'per-node': { help: 'A copy of its own on each host, instead of one on one host' },
    ...labelOption,
  },
  examples: [
    'shoal volume create data',
    'shoal volume create --opt type=nfs --opt o=addr=nas,rw --opt device=:/export data',
  ],
  async run(context, parsed) {
    const driver = parsed.value('driver') ?? 'local';
    if (driver !== 'local') {
      throw new ShoalError('invalid_argument', `Cannot make a volume with driver ${JSON.stringify(driver)}`, {
        next: 'Volumes have the driver local; what they mount is said with --opt.',
      });
    }
    const mounted = driverOptions(parsed);
    const body: VolumeCreate = {
      name: parsed.positionals[0]!,
      driver,
      labels: keyValues(parsed, 'label'),
      ...(mounted === undefined ? {} : { driverOptions: mounted }),
      ...(parsed.flag('per-node') ? { perNode: true } : {}),
    };
    const client = await context.client();
    context.output.print((await client.request<VolumeInfo>('POST', '/volumes', body)).spec.name);
    return exitCodes.done;
  },
};

export const ls = listCommand<VolumeInfo>('volume', async (context) => {
  const client = await context.client();
  const nodes = await client.request<Node[]>('GET', '/nodes');
  const names = new Map(nodes.map(({ id, description }) => [id, description?.hostname ?? id]));
  return {
    header: ['MOUNTS', 'DATA ON'],
    row: ({ spec, nodeIds = [] }) => [
      spec.driverOptions?.device ?? '-',
      nodeIds.map((id) => names.get(id) ?? id).join(', ') || '-',
    ],
  };
});

export const inspect = inspectCommand('volume');

export const rm = removeCommand('volume', {
  force: { short: 'f', help: 'Also when hosts cannot be reached; their data stays there' },
});
