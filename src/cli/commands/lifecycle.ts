import type { Service } from '../../spec/service.ts';
import { currentVersion } from '../../spec/versions.ts';
import { ShoalError } from '../../util/errors.ts';
import type { ApplicationStatus, ServiceAction, ServiceStatus } from '../../wire/api.ts';
import { wholeNumber } from '../arguments.ts';
import { applicationOptions } from '../options.ts';
import { exitCodes, type Command, type Context, type ParsedArguments } from '../command.ts';
import { follow } from '../follow.ts';
import { servicesFor } from '../lifecycle.ts';
import { applicationName, pickServices } from '../reference.ts';
import { actionVerdict, stopVerdict, type Verdict } from '../verdict.ts';

const defaultTimeoutSeconds = 300;

/** The services that the arguments name, or all of the application that the action is about. */
async function targetsOf(
  context: Context,
  parsed: ParsedArguments,
  action: ServiceAction,
): Promise<Service[]> {
  const application = await applicationName(context, parsed);
  const client = await context.client();
  if (parsed.positionals.length > 0) {
    return pickServices(await client.request<Service[]>('GET', '/services'), application, parsed.positionals);
  }
  if (application === undefined) {
    throw new ShoalError('invalid_argument', `Cannot tell what to ${action}: no Compose file here`, {
      next: 'Name services, or the application with -p.',
    });
  }
  const query = `?application=${encodeURIComponent(application)}`;
  return servicesFor(action, await client.request<Service[]>('GET', `/services${query}`), application);
}

type Judge = (service: Service, status: ServiceStatus | undefined, now: number) => Verdict;

/** Waits until the verdict on each of the services has been reached. Throws with those that are not as asked. */
async function untilJudged(
  context: Context,
  services: Service[],
  { action, judge, timeoutMs }: { action: string; judge: Judge; timeoutMs: number },
): Promise<void> {
  const reasons: string[] = [];
  let isFailure = false;
  for (const [application, group] of Map.groupBy(services, ({ spec }) => spec.application)) {
    const verdictsOn = (latest: ApplicationStatus, now: number) =>
      group.map((service) => {
        const { name } = service.spec;
        const status = latest.services.find((each) => each.service.spec.name === name);
        return { name, verdict: judge(service, status, now) };
      });
    const status = await follow(context, {
      application,
      fromRevision: Math.max(...group.map(({ revision }) => revision)),
      timeoutMs,
      quiet: false,
      until: (latest, now) => verdictsOn(latest, now).every(({ verdict }) => verdict.state !== 'converging'),
    });
    for (const { name, verdict } of verdictsOn(status, status.now)) {
      if (verdict.state !== 'failed' && verdict.state !== 'overtaken') continue;
      reasons.push(`  ${name}: ${verdict.reason}`);
      isFailure ||= verdict.state === 'failed';
    }
  }
  if (reasons.length === 0) return;
  throw new ShoalError(
    isFailure ? 'failed_precondition' : 'overtaken',
    `Cannot ${action} all of it as asked:\n${reasons.join('\n')}`,
    { next: 'See `shoal ps`.' },
  );
}

interface Kind {
  action: ServiceAction;
  summary: string;
  examples: string[];
  /** What is said of each service that was changed. */
  done: (service: Service) => string;
  /** When the service is as asked; absent: at once. */
  judge?: Judge;
  options?: Command['options'];
  /** What is said of it to the manager. Throws `invalid_argument`. */
  bodyOf?: (parsed: ParsedArguments) => object;
}

function commandOf({
  action,
  summary,
  examples,
  done,
  judge,
  options = {},
  bodyOf = () => ({}),
}: Kind): Command {
  return {
    name: action,
    summary,
    positionals: '[SERVICE...]',
    positionalsMax: 1000,
    options: {
      ...applicationOptions,
      ...options,
      ...(judge && {
        detach: { short: 'd', help: 'Return at once, without waiting' },
        timeout: { value: 'SECONDS', help: `How long to wait (default ${defaultTimeoutSeconds})` },
      }),
    },
    examples,
    async run(context, parsed) {
      const timeout = judge === undefined ? undefined : parsed.value('timeout');
      const timeoutMs =
        wholeNumber(timeout ?? String(defaultTimeoutSeconds), 'a time-out in seconds', 1) * 1000;
      const body = bodyOf(parsed);
      const targets = await targetsOf(context, parsed, action);
      const client = await context.client();
      const changed: Service[] = [];
      for (const { id } of targets) {
        const service = await client.request<Service>('POST', `/services/${id}/${action}`, body);
        context.output.note(`${service.spec.name}: ${done(service)}`);
        changed.push(service);
      }
      if (judge !== undefined && !parsed.flag('detach')) {
        await untilJudged(context, changed, { action, judge, timeoutMs });
      }
      return exitCodes.done;
    },
  };
}

/** Each service counts its own versions. */
function rollbackBody(parsed: ParsedArguments): object {
  const to = parsed.value('to');
  if (to === undefined) return {};
  const version = wholeNumber(to, 'a version', 1);
  if (parsed.positionals.length === 1) return { version };
  throw new ShoalError('invalid_argument', `Cannot tell whose version ${version} is meant`, {
    next: 'Name one service.',
  });
}

export const rollback = commandOf({
  action: 'rollback',
  summary:
    'Return services to their last completed version, or take back the last `shoal up` of an application.',
  examples: ['shoal rollback web', 'shoal rollback -p guestbook', 'shoal rollback --to 3 web'],
  options: { to: { value: 'VERSION', help: 'An earlier completed version; see `shoal service history`' } },
  bodyOf: rollbackBody,
  done: (service) => `rolling back to version ${currentVersion(service).restores}`,
  judge: actionVerdict,
});

export const restart = commandOf({
  action: 'restart',
  summary: 'Replace the tasks of services by new ones, as an update would.',
  examples: ['shoal restart web', 'shoal restart -p guestbook'],
  done: (service) => `restarting as version ${currentVersion(service).version}`,
  judge: actionVerdict,
});

export const pause = commandOf({
  action: 'pause',
  summary: 'Hold the rollouts of services: what runs goes on, nothing more is replaced.',
  examples: ['shoal pause web', 'shoal pause -p guestbook'],
  done: ({ spec }) => `rollout paused; \`shoal resume ${spec.name}\` goes on with it`,
});

export const resume = commandOf({
  action: 'resume',
  summary: 'Go on with paused rollouts.',
  examples: ['shoal resume web', 'shoal resume -p guestbook'],
  done: () => 'rollout goes on',
  judge: actionVerdict,
});

export const stop = commandOf({
  action: 'stop',
  summary: 'Stop the tasks of services; `shoal start` or `shoal up` starts as many again.',
  examples: ['shoal stop web', 'shoal stop -p guestbook'],
  done: ({ spec }) => `stopping; \`shoal start ${spec.name}\` starts it again`,
  judge: (service, status) => stopVerdict(service, status),
});

export const start = commandOf({
  action: 'start',
  summary: 'Start services that were stopped.',
  examples: ['shoal start web', 'shoal start -p guestbook'],
  done: () => 'starting',
  judge: actionVerdict,
});
