import { ShoalError } from '../../src/util/errors.ts';
import type { Network } from '../../src/spec/network.ts';
import type { Service } from '../../src/spec/service.ts';
import {
  apiBodyBytesMax,
  type ApplicationRemoval,
  type ApplicationStatus,
  type ApplyResult,
} from '../../src/wire/api.ts';
import { groupChangesMax } from '../store/database.ts';
import { Faults } from '../store/isolate.ts';
import type { Database, View } from '../store/objects.ts';
import { planApply, planRemove, type ApplyPlan } from './apply.ts';
import type { ApiContext } from './context.ts';
import { writeLine } from './http.ts';
import { callerName, type Identity } from './identity.ts';
import { applyQueueKey } from './janitor.ts';
import { pageOf } from './pages.ts';
import { requestIdOf } from './repeated.ts';
import { streamed, type Call, type Route } from './router.ts';
import { applicationStatus, summaries } from './status.ts';
import { validateApplication } from './validate.ts';
import { changeAfter } from './view-change.ts';
import { Watched } from './watch.ts';

const attemptsMax = 10;
/** How long a name that is being removed is waited for before the caller is told to try again. */
const removalWaitMs = 15_000;
const removalLookMs = 1_000;

/** The routes of whole applications. */
export function applicationRoutes(context: ApiContext): Route[] {
  const { database, clock } = context;
  const status = (name: string): ApplicationStatus => {
    const found = applicationStatus(database.view, name, clock.now());
    if (found !== undefined) return found;
    throw new ShoalError('not_found', `Cannot find an application called ${JSON.stringify(name)}`, {
      next: 'See `shoal ls` for the applications there are.',
    });
  };
  return [
    {
      method: 'GET',
      pattern: '/applications',
      from: 'view',
      access: 'viewer',
      handle: (call) =>
        pageOf(call, summaries(database.view, clock.now(), call.query.get('all') === 'true'), {
          position: ({ name }) => [name, ''],
        }),
    },
    {
      method: 'GET',
      pattern: '/applications/:name',
      from: 'view',
      access: 'viewer',
      handle: (call) => context.streams.run(() => tellStatus(call, status(call.parameters.name!))),
    },
    {
      method: 'GET',
      pattern: '/applications/:name/watch',
      access: 'viewer',
      handle: (call) => context.streams.run(() => watchApplication(context, call)),
    },
    {
      method: 'PUT',
      bodyBytesMax: apiBodyBytesMax,
      pattern: '/applications/:name',
      access: 'operator',
      handle: (call) => putApplication(context, call),
    },
    {
      method: 'DELETE',
      pattern: '/applications/:name',
      access: 'operator',
      status: 202,
      handle: async ({ parameters, objects, identity }) => {
        objects.push(`remove application ${parameters.name!}`);
        status(parameters.name!);
        return await context.queue.run(applyQueueKey, () =>
          removeApplication(context, parameters.name!, identity),
        );
      },
    },
  ];
}

async function putApplication(context: ApiContext, call: Call): Promise<ApplyResult> {
  const { database, clock, random, queue } = context;
  const spec = validateApplication(await call.body());
  if (spec.name !== call.parameters.name) {
    throw new ShoalError('invalid_argument', `Cannot apply ${spec.name} as ${call.parameters.name}`);
  }
  const by = callerName(call.identity);
  const byDefault = String(database.view.cluster?.defaults?.removeOrphans ?? false);
  const removeOrphans = (call.query.get('removeOrphans') ?? byDefault) === 'true';
  const isDry = call.query.get('dryRun') === 'true';
  const id = requestIdOf(call.query);
  const takesOver = isDry || call.query.get('takeOver') === 'true';
  const plan = () =>
    planApply(database.view, spec, { now: clock.now(), by, random, removeOrphans, takesOver, id });
  const result = ({ changes, otherOrigin }: ApplyPlan): ApplyResult => ({
    application: spec.name,
    changes,
    revision: database.view.revision,
    ...(otherOrigin && { otherOrigin }),
  });
  if (isDry) {
    call.objects.push('dry run');
    return result(plan());
  }
  const deadline = clock.monotonic() + removalWaitMs;
  for (;;) {
    const { revision } = database.view;
    const written = await queue.run(applyQueueKey, () => writeWhole(database, plan));
    if (written.beingRemoved.length === 0) {
      const changed = written.changes.filter(({ action }) => action !== 'keep' && action !== 'orphan');
      call.objects.push(...changed.map(({ action, kind, name }) => `${action} ${kind} ${name}`));
      if (written.otherOrigin !== undefined) call.objects.push(`take over application ${spec.name}`);
      return result(written);
    }
    if (clock.monotonic() >= deadline) throw stillRemoved(written.beingRemoved);
    await changeAfter(database, clock, { revision, waitMs: removalLookMs, signal: call.signal });
  }
}

/** Writes the plan in one transaction, planning again when somebody was faster. Writes nothing while names are being removed. */
async function writeWhole(database: Database, plan: () => ApplyPlan): Promise<ApplyPlan> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const planned = plan();
    if (planned.beingRemoved.length > 0) return planned;
    if (planned.group.length > groupChangesMax) {
      throw new ShoalError(
        'resource_exhausted',
        `Cannot change ${planned.group.length} objects at once: ${groupChangesMax} is the most`,
        { next: 'Split the application, or apply it in steps.' },
      );
    }
    const { conflicts } = await database.write([planned.group]);
    if (conflicts === 0) return planned;
  }
  throw new ShoalError('conflict', 'Cannot apply the application: others keep changing it', {
    next: 'Try again.',
  });
}

function stillRemoved(names: string[]): ShoalError {
  return new ShoalError(
    'conflict',
    `Cannot apply the application: ${names.join(', ')} is still being removed`,
    {
      next: 'Wait until its containers have stopped (`shoal ps` shows them), and try again. Of a volume, run `shoal volume rm` again.',
    },
  );
}

async function removeApplication(
  { database }: ApiContext,
  name: string,
  identity: Identity,
): Promise<ApplicationRemoval> {
  const by = callerName(identity);
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const { group } = planRemove(database.view, name, by);
    // Each mark stands for itself, and marking is repeated until all are set.
    const { conflicts } = await database.write(group.map((change) => [change]));
    if (conflicts === 0) return { ids: leavingOf(database.view, name) };
  }
  throw new ShoalError('conflict', `Cannot remove ${name}: others keep changing it`, { next: 'Try again.' });
}

/** All of the application that is being removed. */
function leavingOf(view: View, application: string): string[] {
  const faults = new Faults();
  return [
    ...faults.filter('service', view.services.values(), (service) => isLeaving(service, application)),
    ...faults.filter('network', view.networks.values(), (network) => isLeaving(network, application)),
  ].map(({ id }) => id);
}

function isLeaving({ spec, removing }: Service | Network, application: string): boolean {
  return removing && spec.application === application;
}

/** The picture as it is now, in the lines with which a watch would begin. */
async function tellStatus({ response, signal }: Call, status: ApplicationStatus): Promise<typeof streamed> {
  for (const line of new Watched().advance(status)) await writeLine(response, line, signal);
  return streamed;
}

/** The whole picture now, and what has changed after every change, until the caller goes. */
async function watchApplication({ feeds }: ApiContext, call: Call): Promise<typeof streamed> {
  for await (const line of feeds.follow(call.parameters.name!, call.signal)) {
    await writeLine(call.response, line, call.signal);
  }
  return streamed;
}
