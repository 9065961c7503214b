import { systemClock } from '../util/clock.ts';
import { codeOf, ShoalError } from '../util/errors.ts';
import type { ApplicationStatus } from '../wire/api.ts';
import { watchApplication } from '../wire/watch.ts';
import type { Context } from './command.ts';
import { describeService, ProgressDisplay } from './progress.ts';

/** How often the display turns and the time-out is looked at, changes or not. */
const redrawIntervalMs = 120;
/** A watch that breaks (a manager restarting) is taken up again; this long without any answer is a failure. */
const silenceMs = 30_000;

export interface FollowOptions {
  application: string;
  /** Statuses older than this revision are not judged. */
  fromRevision: number;
  timeoutMs: number;
  /** Whether to draw progress. */
  quiet: boolean;
  /** Called again and again with the newest status and the manager's time; following ends when it says so. */
  until: (status: ApplicationStatus, now: number) => boolean;
}

/** Follows an application until `until` holds and gives the last status; throws `deadline_exceeded` after `timeoutMs`. */
export async function follow(context: Context, options: FollowOptions): Promise<ApplicationStatus> {
  const startedAt = systemClock.monotonic();
  const display = new ProgressDisplay(context.output);
  const watching = new AbortController();
  const signal = AbortSignal.any([watching.signal, context.signal]);
  let latest: ApplicationStatus | undefined;
  let answeredAt = startedAt;
  let broken: unknown;
  const reader = watchForever(context, options.application, signal, (status) => {
    latest = status;
    answeredAt = systemClock.monotonic();
  }).catch((error: unknown) => (broken = error));
  try {
    for (;;) {
      const time = systemClock.monotonic();
      if (broken !== undefined) throw broken;
      if (latest && latest.revision >= options.fromRevision) {
        const now = latest.now + (time - answeredAt);
        if (!options.quiet) display.update(latest, { now, elapsedMs: time - startedAt });
        if (options.until(latest, now)) return latest;
      }
      if (time - startedAt > options.timeoutMs) {
        throw notReached(options, latest, time - answeredAt);
      }
      if (latest === undefined && time - answeredAt > silenceMs) {
        throw new ShoalError(
          'unavailable',
          `Cannot follow ${options.application}: no answer from ${(await context.client()).host} for ${silenceMs / 1000} s`,
          {
            next: 'See `shoal doctor`.',
          },
        );
      }
      await systemClock.sleep(redrawIntervalMs, context.signal);
    }
  } finally {
    watching.abort(new Error('done'));
    await reader;
  }
}

/** Services that are not as asked are named up to this many. */
const namedMax = 5;

/** With what each service that is not as asked has and waits for. */
function notReached(
  { application, timeoutMs }: FollowOptions,
  latest: ApplicationStatus | undefined,
  sinceMs: number,
): ShoalError {
  const late = (latest?.services ?? []).filter(({ converged }) => !converged);
  const lines = late.slice(0, namedMax).map((each) => {
    const doing = describeService(each, latest!.now + sinceMs);
    return `\n  ${each.service.spec.name}: ${each.running}/${each.desired} running; ${doing}`;
  });
  if (late.length > namedMax) lines.push(`\n  and ${late.length - namedMax} more`);
  return new ShoalError(
    'deadline_exceeded',
    `${application} did not converge within ${timeoutMs / 1000} s${lines.length > 0 ? ':' : ''}${lines.join('')}`,
    { next: `What is running goes on. See \`shoal ps -p ${application}\`; --timeout waits longer.` },
  );
}

/** What an application that is not there looks like: nothing is left of it. */
function gone(name: string): ApplicationStatus {
  return { name, revision: Number.MAX_SAFE_INTEGER, now: 0, services: [], networks: [], nodes: [] };
}

async function watchForever(
  context: Context,
  application: string,
  signal: AbortSignal,
  onStatus: (status: ApplicationStatus) => void,
): Promise<void> {
  const retryDelayMs = 200;
  while (!signal.aborted) {
    try {
      const client = await context.client();
      for await (const status of watchApplication(client, application, signal)) onStatus(status);
    } catch (error) {
      if (signal.aborted) return;
      if (codeOf(error) === 'not_found') onStatus(gone(application));
      else if (codeOf(error) !== 'unavailable') throw error; // a manager that restarts is waited for
    }
    await systemClock.sleep(retryDelayMs, signal).catch(() => undefined);
  }
}
