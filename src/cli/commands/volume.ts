import { isUnderWay, type VolumeDriverOptions } from '../../spec/resource.ts';
import { codeOf, ShoalError } from '../../util/errors.ts';
import { formatBytes } from '../../util/text.ts';
import type { VolumeCopy, VolumeCreate, VolumeInfo } from '../../wire/api.ts';
import { agesOf } from '../ages.ts';
import { exitCodes, type Command, type Context, type ParsedArguments } from '../command.ts';
import { confirm, yesOption } from '../confirm.ts';
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

export const ls = listCommand<VolumeInfo>(
  'volume',
  async (context) => {
    const ago = await agesOf(await context.client());
    return {
      header: ['MOUNTS', 'NODE', 'COPY', 'SIZE', 'LAST USED'],
      rows: ({ spec, move, copies = [] }) => {
        const mounts = spec.driverOptions?.device ?? '-';
        if (copies.length === 0) return [[mounts, '-', '-', '-', '-']];
        const rows = copies.map((copy) => [mounts, copy.node, copy.state, sizeOf(copy), lastUse(copy, ago)]);
        if (!isUnderWay(move)) return rows;
        return [
          ...rows,
          [mounts, move.to.hostname, 'arriving', formatBytes(move.sentBytes), `from ${move.from.hostname}`],
        ];
      },
    };
  },
  '?copies=true',
);

function sizeOf({ bytes }: VolumeCopy): string {
  return bytes === undefined ? '?' : formatBytes(bytes);
}

function lastUse({ usedBy, unknown, lastUsedAt }: VolumeCopy, ago: (at: number) => string): string {
  if (usedBy.length > 0) return 'in use';
  if (lastUsedAt === undefined) return unknown ?? '?';
  return `${ago(lastUsedAt)} ago`;
}

export const inspect = inspectCommand('volume', '?copies=true');

/** Names every copy that goes, and asks. What cannot be looked up is told when it is removed. */
async function confirmRemoval(context: Context, parsed: ParsedArguments): Promise<void> {
  if (parsed.flag('force')) return;
  const client = await context.client();
  const ago = await agesOf(client);
  const warnings: string[] = [];
  for (const name of parsed.positionals) {
    const path = `/volumes/${encodeURIComponent(name)}?copies=true`;
    const volume = await client.request<VolumeInfo>('GET', path).catch((error: unknown) => {
      if (codeOf(error) === 'not_found') return undefined;
      throw error;
    });
    // One that is used is refused, with who uses it.
    if (volume === undefined || volume.usedBy.length > 0) continue;
    for (const copy of volume.copies ?? []) {
      const state = copy.state === 'stale' ? ', stale' : '';
      warnings.push(
        `${name}: ${sizeOf(copy)} on ${copy.node} will be removed (last use: ${lastUse(copy, ago)}${state})`,
      );
    }
  }
  await confirm(context, parsed, warnings);
}

const removal = removeCommand(
  'volume',
  {
    node: { value: 'NODE', help: 'Only the copy that this node has, which is not the volume itself' },
    force: { short: 'f', help: 'Do not ask, and go on when hosts cannot be reached; their data stays there' },
    ...yesOption,
  },
  confirmRemoval,
);

export const rm: Command = {
  ...removal,
  run: (context, parsed) =>
    parsed.value('node') === undefined ? removal.run(context, parsed) : removeCopies(context, parsed),
};

/** What is stale asks no question: the manager refuses everything else. */
async function removeCopies(context: Context, parsed: ParsedArguments): Promise<number> {
  const client = await context.client();
  const node = parsed.value('node')!;
  const force = parsed.flag('force') ? '&force=true' : '';
  for (const name of parsed.positionals) {
    await client.request(
      'DELETE',
      `/volumes/${encodeURIComponent(name)}?node=${encodeURIComponent(node)}${force}`,
    );
    context.output.note(`the copy of ${name} on ${node} is removed`);
  }
  return exitCodes.done;
}
