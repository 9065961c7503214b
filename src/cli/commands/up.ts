import type { ApplicationSpec } from '../../spec/application.ts';
import { systemClock } from '../../util/clock.ts';
import { ShoalError } from '../../util/errors.ts';
import { count, formatDuration, printable } from '../../util/text.ts';
import type { ApplicationStatus, ApplyResult } from '../../wire/api.ts';
import { readApplication } from '../application.ts';
import { wholeNumber } from '../arguments.ts';
import { applicationOptions } from '../options.ts';
import { exitCodes, type Command, type Context } from '../command.ts';
import { assess, type Kept } from '../convergence.ts';
import { follow } from '../follow.ts';
import { paint } from '../output.ts';

/** How long `up` waits unless told otherwise, in seconds. */
const defaultTimeoutSeconds = 600;

function describeChanges(result: ApplyResult): string {
  const parts = (['create', 'update', 'remove'] as const).flatMap((action) => {
    const names = result.changes.filter((change) => change.action === action);
    return names.length > 0 ? [`${count(names.length, 'object')} to ${action}`] : [];
  });
  return parts.length > 0 ? parts.join(', ') : 'nothing to change';
}

/** What the apply found to be as asked already. */
function keptServices({ changes, revision }: ApplyResult): Kept {
  const kept = changes.filter(({ kind, action }) => kind === 'service' && action === 'keep');
  return { services: new Set(kept.map(({ name }) => name)), revision };
}

/** Throws when somebody else has removed services meanwhile, so that they are not up at all. */
function checkAllThere({ name, services }: ApplicationSpec, status: ApplicationStatus): void {
  const there = new Set(status.services.map(({ service }) => service.spec.name));
  const missing = services.filter((service) => !there.has(service.name)).map(({ key }) => key);
  if (missing.length === 0) return;
  throw new ShoalError(
    'failed_precondition',
    `Cannot bring up all of ${name}: ${missing.join(', ')} was removed meanwhile`,
    { next: 'Another `shoal up` or `shoal down` of the application was run. Run `shoal up` again.' },
  );
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

/** What an interrupt does not end. */
function goesOn(name: string): string {
  return `Interrupted. ${name} is being brought up all the same: see \`shoal ps -p ${name}\`, or end it with \`shoal down -p ${name}\`.`;
}

function printJson(context: Context, result: ApplyResult, status: ApplicationStatus | undefined): void {
  const failures = status ? assess(status, status.now).failures : [];
  context.output.print(JSON.stringify({ ...result, failures }, null, 2));
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
    const { application } = await readApplication(context, parsed);
    const client = await context.client();
    const startedAt = systemClock.monotonic();
    const path = `/applications/${encodeURIComponent(application.name)}${parsed.flag('dry-run') ? '?dryRun=true' : ''}`;
    const result = await client.request<ApplyResult>('PUT', path, application).catch((error: unknown) => {
      throw asRefusal(error, application);
    });
    const json = parsed.flag('json');
    if (parsed.flag('dry-run')) {
      if (json) printJson(context, result, undefined);
      else printPlan(context, result);
      return exitCodes.done;
    }
    noteChanges(context, result);
    if (parsed.flag('detach')) {
      if (json) printJson(context, result, undefined);
      return exitCodes.done;
    }
    const kept = keptServices(result);
    const status = await follow(context, {
      application: application.name,
      fromRevision: result.revision,
      timeoutMs,
      quiet: json,
      until: (latest, now) => assess(latest, now, kept).done,
    }).catch((error: unknown) => {
      if (context.signal.aborted) context.output.note(goesOn(application.name));
      throw error;
    });
    if (json) printJson(context, result, status);
    checkAllThere(application, status);
    const { failures } = assess(status, status.now);
    const took = formatDuration(systemClock.monotonic() - startedAt);
    if (failures.length === 0) {
      context.output.note(
        paint(
          context.output,
          'green',
          `${application.name} is up: ${count(status.services.length, 'service')}, ${took}`,
        ),
      );
      return exitCodes.done;
    }
    const reasons = failures.map(({ service, reason }) => `  ${service}: ${reason}`).join('\n');
    const others = failures.length < status.services.length ? 'The other services run. ' : '';
    throw new ShoalError('failed_precondition', `Cannot bring up all of ${application.name}:\n${reasons}`, {
      next: `${others}See \`shoal ps -p ${application.name}\` and \`shoal logs -p ${application.name}\`.`,
    });
  },
};
