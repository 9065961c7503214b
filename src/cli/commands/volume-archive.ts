import { ShoalError } from '../../util/errors.ts';
import type { VolumeInfo } from '../../wire/api.ts';
import { readFrame } from '../../wire/check.ts';
import { errorOf, type ExecConnection } from '../../wire/client.ts';
import { frameBytesMax } from '../../wire/frames.ts';
import { exitCodes, type Command, type Context } from '../command.ts';
import { confirm, yesOption } from '../confirm.ts';

const chunkBytesMax = frameBytesMax / 4;
const forceOption = { force: { short: 'f', help: 'Also while a node that is away may still write to it' } };

export const backup: Command = {
  name: 'volume backup',
  summary: 'Write a volume to standard output, as a tar stream.',
  positionals: 'NAME',
  positionalsMin: 1,
  positionalsMax: 1,
  options: { node: { value: 'NODE', help: 'Whose copy (default: that of the node the volume is on)' } },
  examples: [
    'shoal volume backup shop_data >shop_data.tar',
    'shoal volume backup --node c shop_data >old.tar',
  ],
  async run(context, parsed) {
    if (process.stdout.isTTY) {
      throw new ShoalError('invalid_argument', 'Cannot write a tar stream to a terminal', {
        next: 'Write it to a file: shoal volume backup NAME >NAME.tar',
      });
    }
    const [name = ''] = parsed.positionals;
    const client = await context.client();
    const node = parsed.value('node');
    const query = node === undefined ? '' : `?node=${encodeURIComponent(node)}`;
    const connection = await client.volumeStream(name, 'backup', query);
    try {
      const exitCode = await ended(connection, async (payload) => {
        if (process.stdout.write(payload)) return;
        await new Promise((resolve) => process.stdout.once('drain', resolve));
      });
      if (exitCode === 0) return exitCodes.done;
      context.output.note(
        `warning: files of ${name} changed while they were read; stop what writes to it, and try again`,
      );
      return exitCodes.failed;
    } finally {
      connection.close();
    }
  },
};

export const restore: Command = {
  name: 'volume restore',
  summary: 'Make a volume of a tar stream on standard input, in place of what it has.',
  positionals: 'NAME [NODE]',
  positionalsMin: 1,
  positionalsMax: 2,
  options: { ...yesOption, ...forceOption },
  examples: [
    'shoal volume restore --yes shop_data <shop_data.tar',
    'shoal volume restore shop_data c <shop_data.tar',
  ],
  async run(context, parsed) {
    const [name = '', node] = parsed.positionals;
    const client = await context.client();
    const volume = await client.request<VolumeInfo>(
      'GET',
      `/volumes/${encodeURIComponent(name)}?copies=true`,
    );
    const target = node ?? volume.home?.hostname;
    const replaced = (volume.copies ?? []).filter((copy) => copy.node === target || copy.nodeId === target);
    await confirm(
      { ...context, ask: undefined }, // standard input is the tar stream
      parsed,
      replaced.map((copy) => `${name}: what ${copy.node} has of it will be replaced`),
    );
    const query = node === undefined ? '' : `?node=${encodeURIComponent(node)}`;
    const connection = await client.volumeStream(name, 'restore', query);
    try {
      await Promise.all([ended(connection), sendInput(context, connection)]);
    } finally {
      process.stdin.destroy(); // what is left of it is for nobody
      connection.close();
    }
    if (target !== undefined && volume.spec.perNode !== true) {
      const force = parsed.flag('force') ? { force: true } : {};
      await client.request('POST', `/volumes/${encodeURIComponent(name)}/use`, { node: target, ...force });
    }
    context.output.note(`${name} is restored${target === undefined ? '' : ` on ${target}`}`);
    return exitCodes.done;
  },
};

export const use: Command = {
  name: 'volume use',
  summary: 'Go on with what a node has of a volume: a copy, or nothing. No data is moved.',
  positionals: 'NAME NODE',
  positionalsMin: 2,
  positionalsMax: 2,
  options: { ...yesOption, ...forceOption },
  examples: ['shoal volume use shop_data c'],
  async run(context, parsed) {
    const [name = '', node = ''] = parsed.positionals;
    const client = await context.client();
    const path = `/volumes/${encodeURIComponent(name)}`;
    const { home, copies = [] } = await client.request<VolumeInfo>('GET', `${path}?copies=true`);
    const isThere = copies.some(
      (copy) => (copy.node === node || copy.nodeId === node) && copy.unknown === undefined,
    );
    const what = isThere ? 'the copy that is there' : 'an empty one';
    const isSame = home?.hostname === node || home?.nodeId === node;
    await confirm(context, parsed, isSame ? [] : [`${name} will be on ${node}, and begin with ${what}`]);
    const force = parsed.flag('force') ? { force: true } : {};
    await client.request('POST', `${path}/use`, { node, ...force });
    context.output.note(`${name} is on ${node}`);
    return exitCodes.done;
  },
};

/** Standard input to its end. */
async function sendInput({ signal }: Context, connection: ExecConnection): Promise<void> {
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    signal.throwIfAborted();
    for (let at = 0; at < chunk.length; at += chunkBytesMax) {
      await connection.send('stdin', chunk.subarray(at, at + chunkBytesMax));
    }
  }
  await connection.send('end', '');
}

/** The exit code with which the other side ends. Throws what it says. */
async function ended(
  connection: ExecConnection,
  write: (payload: Buffer) => Promise<void> = () => Promise.resolve(),
): Promise<number> {
  for await (const { type, payload } of connection.frames) {
    if (type === 'stdout') await write(payload);
    else if (type === 'exit') return readFrame('exit', payload).exitCode;
    else if (type === 'error') throw errorOf(readFrame('error', payload));
  }
  throw new ShoalError('unavailable', 'Cannot say how it ended: the connection broke');
}
