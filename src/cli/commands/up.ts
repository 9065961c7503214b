import type { ApplicationSpec } from '../../spec/application.ts';
import { originWords } from '../../spec/project-origin.ts';
import { systemClock } from '../../util/clock.ts';
import { ShoalError } from '../../util/errors.ts';
import { systemRandom } from '../../util/random.ts';
import { count, formatDuration, printable } from '../../util/text.ts';
import type { ApplyResult } from '../../wire/api.ts';
import { readApplication } from '../application.ts';
import { wholeNumber } from '../arguments.ts';
import { applicationOptions } from '../options.ts';
import { exitCodes, type Command, type Context, type ParsedArguments } from '../command.ts';
import { confirm, yesOption } from '../confirm.ts';
import { follow } from '../follow.ts';
import { untilAnswered } from '../lost-answer.ts';
import { originOf } from '../origin.ts';
import { paint } from '../output.ts';
import { assess, endOf, wishOf, type Assessment, type Wish } from '../verdict.ts';

/** How long `up` waits unless told otherwise, in seconds. */
const defaultTimeoutSeconds = 600;

function describeChanges(result: ApplyResult): string {
  const parts = (['create', 'update', 'remove'] as const).flatMap((action) => {
    const names = result.changes.filter((change) => change.action === action);
    return names.length > 0 ? [`${count(names.length, 'object')} to ${action}`] : [];
  });
  return parts.length > 0 ? parts.join(', ') : 'nothing to change';
}

function printPlan({ output }: Context, { changes }: ApplyResult): void {
  for (const { kind, name, action, differences = [] } of changes) {
    output.print(`${action.padEnd(6)}  ${kind.padEnd(7)}  ${name}`);
    for (const line of differences) output.print(`    ${printable(line)}`);
  }
}

function noteChanges({ output }: Context, result: ApplyResult): void {
  output.note(`${result.application}: ${describeChanges(result)}`);
  for (const { name, differences = [] } of result.changes) {
    if (differences.length > 0) output.note(`  ${name}: ${printable(differences.join('; '))}`);
  }
}

/** Services that run on though the file does not have them any more, as a warning. */
function noteOrphans({ output }: Context, { changes }: ApplyResult): void {
  const orphans = changes.filter(({ action }) => action === 'orphan').map(({ name }) => name);
  if (orphans.length === 0) return;
  const are = orphans.length === 1 ? 'is not in the file and runs' : 'are not in the file and run';
  const text = `warning: ${orphans.join(', ')} ${are} on; \`shoal up --remove-orphans\` removes what the file does not have`;
  output.note(paint(output, 'yellow', printable(text)));
}

/** Stores the wish, or says what would become of it. */
async function applyOnce(
  context: Context,
  application: ApplicationSpec,
  options: Record<string, string>,
): Promise<ApplyResult> {
  const { output, signal } = context;
  const { name } = application;
  const client = await context.client();
  const query = new URLSearchParams({ ...options, request: systemRandom.id() }).toString();
  const path = `/applications/${encodeURIComponent(name)}?${query}`;
  const send = (timeoutMs?: number) =>
    client.request<ApplyResult>('PUT', path, application, timeoutMs === undefined ? {} : { timeoutMs });
  const onLost = (why: string) =>
    output.note(paint(output, 'yellow', printable(`warning: no answer, asking again: ${why}`)));
  return await untilAnswered(send, { what: name, onLost, signal }).catch((error: unknown) => {
    throw asRefusal(error, application);
  });
}

/**
 * Asked for, or the default of who runs the command, which is the variable of docker compose; undefined leaves it to the
 * cluster.
 */
function removesOrphans({ environment }: Context, parsed: ParsedArguments): boolean | undefined {
  if (parsed.flag('remove-orphans')) return true;
  const said = environment['COMPOSE_REMOVE_ORPHANS'] ?? '';
  return said === '' ? undefined : /^(?:1|t|true)$/iu.test(said);
}

/** Asks whether to take over what was brought up from elsewhere. Throws the error when it is another one, or nobody can be asked. */
async function confirmTakeOver(context: Context, parsed: ParsedArguments, error: unknown): Promise<void> {
  const details = (error instanceof ShoalError ? error.details : undefined) as { otherOrigin?: unknown };
  if (details?.otherOrigin === undefined || context.ask === undefined) throw error;
  const { message, next = '' } = error as ShoalError;
  await confirm(context, parsed, [`${message}.`, next]);
}

/** Whose application it was, where that is not refused: it was taken over, or nothing is changed. */
function noteOtherOrigin(
  { output }: Context,
  { name, origin }: ApplicationSpec,
  { otherOrigin }: ApplyResult,
  isDry: boolean,
): void {
  if (otherOrigin === undefined || origin === undefined) return;
  const text = `warning: ${name} was brought up from ${originWords(otherOrigin)}, and this is ${originWords(origin)}; ${isDry ? '`shoal up` asks before it changes that' : 'it belongs to this one from now on'}`;
  output.note(paint(output, 'yellow', printable(text)));
}

/** What an interrupt does not end, and what does. */
function goesOn(name: string, { changes }: ApplyResult): string {
  const isNew = changes.every(({ kind, action }) => kind !== 'service' || action === 'create');
  const undo = isNew
    ? `remove it with \`shoal down -p ${name}\``
    : `hold the rollout with \`shoal pause -p ${name}\`, or take the change back with \`shoal rollback -p ${name}\``;
  return `Interrupted. ${name} is being brought up all the same: see \`shoal ps -p ${name}\`, ${undo}.`;
}

function printJson(context: Context, result: ApplyResult, assessment?: Assessment): void {
  const { failures, overtaken } = assessment ?? { failures: [], overtaken: [] };
  context.output.print(JSON.stringify({ ...result, failures, overtaken }, null, 2));
}

/** Says that all is up, or throws with what is not, and why. */
function conclude(
  context: Context,
  application: string,
  wish: Wish,
  assessment: Assessment,
  tookMs: number,
): void {
  const { failures, overtaken } = assessment;
  const end = endOf(assessment);
  if (end === 'done') {
    const text = `${application} is up: ${count(wish.asked.length, 'service')}, ${formatDuration(tookMs)}`;
    context.output.note(paint(context.output, 'green', text));
    return;
  }
  const lines = [...failures, ...overtaken]
    .map(({ service, reason }) => `  ${service}: ${reason}`)
    .join('\n');
  if (end === 'overtaken') {
    throw new ShoalError(
      'overtaken',
      `Cannot bring up ${application} as asked: there was another change\n${lines}`,
      {
        next: `See \`shoal ps -p ${application}\`; \`shoal up\` asks for it again.`,
      },
    );
  }
  const doOthersRun = overtaken.length === 0 && failures.length < wish.asked.length;
  const others = doOthersRun ? 'The other services run. ' : '';
  throw new ShoalError('failed_precondition', `Cannot bring up all of ${application}:\n${lines}`, {
    next: `${others}See \`shoal ps -p ${application}\` and \`shoal logs -p ${application}\`.`,
  });
}

/**
 * What the file says passed its check, and the manager takes exception to a part of what was made of it: that is no
 * wrong use of the command. The part is named by its service and not by its place in a list.
 */
function asRefusal(error: unknown, { name, services }: ApplicationSpec): unknown {
  if (!(error instanceof ShoalError) || error.code !== 'invalid_argument') return error;
  const { path = '' } = (error.details ?? {}) as { path?: string };
  const [, index = '', rest = ''] = /^\/services\/(\d+)(.*)$/.exec(path) ?? [];
  const service = index === '' ? undefined : services[Number(index)];
  const why = error.message.slice(error.message.indexOf(': ') + 2);
  const message =
    service === undefined
      ? error.message
      : `Cannot apply ${name}: ${rest.slice(1).replaceAll('/', '.')} of service ${service.key}: ${why}`;
  return new ShoalError('failed_precondition', message, { cause: error, next: error.next });
}

export const command: Command = {
  name: 'up',
  summary: 'Run the application of a Compose file, or bring it to what the file says now.',
  options: {
    ...applicationOptions,
    detach: { short: 'd', help: 'Return once the wish is stored, without waiting' },
    'dry-run': { help: 'Say what would change, and change nothing' },
    'remove-orphans': {
      help: 'Remove services of the application that are not in the file (default: $COMPOSE_REMOVE_ORPHANS)',
    },
    ...yesOption,
    timeout: { value: 'SECONDS', help: `How long to wait (default ${defaultTimeoutSeconds})` },
    json: { help: 'Print the result as JSON' },
  },
  examples: [
    'shoal up',
    'shoal up -f compose.yaml -f production.yaml',
    'VERSION=v2 shoal up',
    'shoal up --dry-run',
  ],
  async run(context, parsed) {
    const timeoutMs =
      wholeNumber(parsed.value('timeout') ?? String(defaultTimeoutSeconds), 'a time-out in seconds', 1) *
      1000;
    const loaded = await readApplication(context, parsed);
    const origin = await originOf(loaded.projectDirectory, context);
    const application = { ...loaded.application, origin };
    const removeOrphans = removesOrphans(context, parsed);
    let startedAt = systemClock.monotonic();
    const apply = (takesOver: boolean) => {
      startedAt = systemClock.monotonic();
      return applyOnce(context, application, {
        ...(parsed.flag('dry-run') && { dryRun: 'true' }),
        ...(removeOrphans !== undefined && { removeOrphans: String(removeOrphans) }),
        ...(takesOver && { takeOver: 'true' }),
      });
    };
    const result = await apply(parsed.flag('yes')).catch(async (error: unknown) => {
      await confirmTakeOver(context, parsed, error);
      return apply(true);
    });
    noteOtherOrigin(context, application, result, parsed.flag('dry-run'));
    const json = parsed.flag('json');
    noteOrphans(context, result);
    if (parsed.flag('dry-run')) {
      if (json) printJson(context, result);
      else printPlan(context, result);
      return exitCodes.done;
    }
    noteChanges(context, result);
    if (parsed.flag('detach')) {
      if (json) printJson(context, result);
      return exitCodes.done;
    }
    const wish = wishOf(result);
    const status = await follow(context, {
      application: application.name,
      fromRevision: result.revision,
      timeoutMs,
      quiet: json,
      until: (latest, now) => assess(latest, now, wish).done,
    }).catch((error: unknown) => {
      if (context.signal.aborted) context.output.note(goesOn(application.name, result));
      throw error;
    });
    const assessment = assess(status, status.now, wish);
    if (json) printJson(context, result, assessment);
    conclude(context, application.name, wish, assessment, systemClock.monotonic() - startedAt);
    return exitCodes.done;
  },
};
