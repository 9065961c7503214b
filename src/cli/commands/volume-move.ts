import { isUnderWay, type VolumeMove } from '../../spec/resource.ts';
import { systemClock } from '../../util/clock.ts';
import { codeOf, messageOf, ShoalError } from '../../util/errors.ts';
import { formatBytes } from '../../util/text.ts';
import type { TaskInfo, VolumeInfo, VolumeMoveWish } from '../../wire/api.ts';
import type { Client } from '../../wire/client.ts';
import { wholeNumber } from '../arguments.ts';
import { exitCodes, type Command, type Context, type ParsedArguments } from '../command.ts';
import { confirm, yesOption } from '../confirm.ts';

/** How often it is looked how far the move is. */
const lookMs = 300;
/** How long a manager may be away, which goes on with the move when it is back. */
const awayMsMax = 60_000;
/** How long the tasks may take to run on the other node before no more is said of it. */
const runMsMax = 60_000;

const options = {
  ...yesOption,
  cancel: { help: 'Take back the one that is under way' },
  timeout: { value: 'SECONDS', help: 'How long all of it may take (default 21600)' },
  'stop-timeout': {
    value: 'SECONDS',
    help: 'How long its tasks may be stopped for the last difference (default 600)',
  },
};

export const move: Command = {
  name: 'volume move',
  summary:
    'Move a volume and its tasks to another node: copied while they run, stopped for the last difference.',
  positionals: 'NAME [NODE]',
  positionalsMin: 1,
  positionalsMax: 2,
  options,
  examples: ['shoal volume move shop_data c', 'shoal volume move --cancel shop_data'],
  run: (context, parsed) => run(context, parsed, 'move'),
};

export const copy: Command = {
  name: 'volume copy',
  summary: 'Copy a volume to another node; it stays where it is. `shoal volume use` goes on with the copy.',
  positionals: 'NAME [NODE]',
  positionalsMin: 1,
  positionalsMax: 2,
  options,
  examples: ['shoal volume copy shop_data c'],
  run: (context, parsed) => run(context, parsed, 'copy'),
};

async function run(context: Context, parsed: ParsedArguments, what: VolumeMove['what']): Promise<number> {
  const [name = '', node] = parsed.positionals;
  const client = await context.client();
  const path = `/volumes/${encodeURIComponent(name)}`;
  if (parsed.flag('cancel')) {
    await client.request('DELETE', `${path}/move`);
    context.output.note(await whereItIs(client, path));
    return exitCodes.done;
  }
  if (node === undefined) {
    throw new ShoalError('invalid_argument', `Cannot ${what} volume ${name}: no node was given`, {
      next: `Write \`shoal volume ${what} ${name} NODE\`; \`shoal node ls\` names them.`,
    });
  }
  return await carryOut(context, parsed, { what, name, node });
}

/** Asks for the move or copy and follows it to its end. Throws with why it did not come to a good one; the exit code else. */
export async function carryOut(
  context: Context,
  parsed: ParsedArguments,
  { what, name, node }: { what: VolumeMove['what']; name: string; node: string },
): Promise<number> {
  const client = await context.client();
  const path = `/volumes/${encodeURIComponent(name)}`;
  const before = await client.request<VolumeInfo>('GET', `${path}?copies=true`);
  const replaced = (before.copies ?? []).filter((each) => each.node === node || each.nodeId === node);
  const isThere = before.home !== undefined && replaced.some(({ state }) => state === 'current');
  const warnings = isThere
    ? []
    : replaced.map((each) => `${name}: the copy that ${each.node} has will be replaced`);
  await confirm(context, parsed, warnings);
  const wish: VolumeMoveWish = {
    what,
    node,
    ...(warnings.length > 0 ? { replace: true } : {}),
    ...milliseconds(parsed, 'timeout', 'timeoutMs'),
    ...milliseconds(parsed, 'stop-timeout', 'stopTimeoutMs'),
  };
  const begun = await client.request<VolumeMove>('POST', `${path}/move`, wish);
  const volume = await followed(context, client, path, begun);
  return await toldEnd(context, client, volume, begun);
}

function milliseconds<Key extends string>(
  parsed: ParsedArguments,
  option: string,
  key: Key,
): Partial<Record<Key, number>> {
  const text = parsed.value(option);
  if (text === undefined) return {};
  return { [key]: wholeNumber(text, 'a time-out in seconds', 1) * 1_000 } as Record<Key, number>;
}

/** Says how far it is until it is over. Ctrl-C takes it back. */
async function followed(
  context: Context,
  client: Client,
  path: string,
  begun: VolumeMove,
): Promise<VolumeInfo> {
  let said = '';
  let answeredAt = systemClock.monotonic();
  for (;;) {
    if (context.signal.aborted) return await takenBack(context, client, path, begun);
    try {
      const volume = await client.request<VolumeInfo>('GET', path);
      answeredAt = systemClock.monotonic();
      const { move: now } = volume;
      if (now?.id !== begun.id || !isUnderWay(now)) return volume;
      if (now.message !== said) context.output.note(`${volume.spec.name}: ${now.message}`);
      said = now.message;
    } catch (error) {
      if (codeOf(error) !== 'unavailable' || systemClock.monotonic() - answeredAt > awayMsMax) {
        const next = 'The manager goes on with it: see `shoal volume inspect`.';
        throw new ShoalError(codeOf(error), `Cannot follow the move: ${messageOf(error)}`, {
          cause: error,
          next,
        });
      }
    }
    await systemClock.sleep(lookMs, context.signal).catch(() => undefined); // the next look sees it
  }
}

async function takenBack(context: Context, client: Client, path: string, begun: VolumeMove): Promise<never> {
  try {
    await client.request('DELETE', `${path}/move`);
    context.output.note(`cancelled: ${await whereItIs(client, path)}`);
  } catch (error) {
    context.output.note(`The ${begun.what} goes on: ${messageOf(error)}`);
  }
  throw new ShoalError('failed_precondition', 'interrupted');
}

async function whereItIs(client: Client, path: string): Promise<string> {
  const { spec, home } = await client.request<VolumeInfo>('GET', path);
  return `${spec.name} is on ${home?.hostname ?? 'no node'}`;
}

/** Says how it ended, and what can go now. */
async function toldEnd(
  { output, signal }: Context,
  client: Client,
  volume: VolumeInfo,
  { id, what, from, to }: VolumeMove,
): Promise<number> {
  const { spec, move: end } = volume;
  if (end?.id !== id)
    throw new ShoalError(
      'overtaken',
      `Cannot say what became of it: another move of ${spec.name} was asked for`,
    );
  if (end.state !== 'done') {
    throw new ShoalError(
      'failed_precondition',
      `Cannot ${what} volume ${spec.name} to ${to.hostname}: ${end.message}`,
      {
        next: `It is on ${from.hostname} as before. What ${to.hostname} has of it so far is kept for a day: the same command goes on with it.`,
      },
    );
  }
  const sent = `${formatBytes(end.sentBytes)} sent`;
  const stopped =
    end.stoppedAt === undefined
      ? ''
      : `, tasks stopped for ${((end.endedAt! - end.stoppedAt) / 1_000).toFixed(1)} s`;
  if (what === 'copy') {
    output.note(
      `${to.hostname} has a copy of ${spec.name} (${sent}${stopped}); it stays on ${from.hostname}`,
    );
    return exitCodes.done;
  }
  output.note(`${spec.name} is on ${to.hostname} (${sent}${stopped})`);
  const removal = `shoal volume rm --node ${from.hostname} ${spec.name}`;
  const isUsed = volume.usedBy.length > 0;
  if (isUsed && !(await runsThere(client, volume, to.nodeId, signal))) {
    output.note(
      `No task runs with it there yet: see \`shoal ps\`. The copy on ${from.hostname} stays until \`${removal}\`.`,
    );
  } else output.note(`The copy on ${from.hostname} is stale; remove it with \`${removal}\`.`);
  return exitCodes.done;
}

async function runsThere(
  client: Client,
  volume: VolumeInfo,
  nodeId: string,
  signal: AbortSignal,
): Promise<boolean> {
  const until = systemClock.monotonic() + runMsMax;
  while (!signal.aborted && systemClock.monotonic() < until) {
    const tasks = await client.request<TaskInfo[]>('GET', '/tasks');
    const has = tasks.filter(
      ({ volumes = [], serviceName }) =>
        volumes.includes(volume.spec.name) && volume.usedBy.includes(serviceName),
    );
    if (has.some((task) => task.nodeId === nodeId && task.status.state === 'running')) return true;
    if (has.every(({ desiredState }) => desiredState !== 'running' && desiredState !== 'ready')) return false;
    await systemClock.sleep(lookMs, signal).catch(() => undefined); // the loop ends
  }
  return false;
}
