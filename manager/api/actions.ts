import {
  canRollBack,
  changeService,
  isPaused,
  resumeUpdate,
  rollBack,
  type Origin,
} from '../../src/spec/change.ts';
import type { Service, ServiceSpec } from '../../src/spec/service.ts';
import { targetOf } from '../../src/spec/targets.ts';
import { currentVersion, withCurrentVersion } from '../../src/spec/versions.ts';
import { ShoalError, unreachable } from '../../src/util/errors.ts';
import { serviceActions, type ServiceAction } from '../../src/wire/api.ts';
import type { View } from '../store/objects.ts';
import type { ApiContext } from './context.ts';
import { checkForesight } from './foresight.ts';
import { callerName } from './identity.ts';
import { findService, writeAgain } from './objects.ts';
import { checkPorts } from './port-check.ts';
import type { Call, Route } from './router.ts';
import { rollbackSchema } from './schema.ts';
import { namesIn, type ResourceKind } from './users.ts';
import { checkSchema } from './validate.ts';

/** What a person does to one service in an incident: take its change back, hold or go on with a rollout, restart, stop, start. */
export function actionRoutes(context: ApiContext): Route[] {
  const { database, clock, random } = context;
  return serviceActions.map((action) => ({
    method: 'POST',
    pattern: `/services/:ref/${action}`,
    access: 'operator',
    handle: async (call): Promise<Service> => {
      const { parameters, objects, identity } = call;
      const reference = parameters.ref!;
      const version = action === 'rollback' ? await versionIn(call) : undefined;
      objects.push(`${action} service ${reference}${version === undefined ? '' : ` to version ${version}`}`);
      const { id } = findService(database.view, reference);
      const by = callerName(identity);
      await writeAgain(database, () => {
        const service = findService(database.view, id);
        const object = acted(database.view, service, action, { by, now: clock.now(), random, version });
        return object === service ? [] : [{ kind: 'service', action: 'update', object }];
      });
      return findService(database.view, id);
    },
  }));
}

/** The version that a rollback is asked to go to; undefined when the request names none. */
async function versionIn({ request: { headers }, body }: Call): Promise<number | undefined> {
  const isEmpty = headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;
  return isEmpty ? undefined : checkSchema(rollbackSchema, await body()).version;
}

/** `version`: what to roll back to, where that is not the last completed one. */
type Caller = Omit<Origin, 'cause'> & { by: string; version?: number | undefined };

/** The service after the action; the same when it is so already. Throws `failed_precondition` when it cannot be done. */
export function acted(view: View, service: Service, action: ServiceAction, caller: Caller): Service {
  switch (action) {
    case 'rollback':
      return takenBack(view, service, caller);
    case 'restart':
      return restarted(service, caller);
    case 'pause':
      return paused(service, caller);
    case 'resume':
      return resumed(service, caller);
    case 'stop':
      return service.stopped === true ? service : { ...service, stopped: true, changedBy: caller.by };
    case 'start': {
      const { stopped, ...rest } = service;
      return stopped === true ? { ...rest, changedBy: caller.by } : service;
    }
    default:
      return unreachable(action);
  }
}

function refusal(what: string, { spec }: Service, why: string, next: string): ShoalError {
  return new ShoalError('failed_precondition', `Cannot ${what} ${spec.name}: ${why}`, { next });
}

function takenBack(view: View, service: Service, caller: Caller): Service {
  const target = caller.version === undefined ? service.rollbackTarget : targetOf(service, caller.version);
  const { name, application } = service.spec;
  if (target === undefined || !canRollBack(service, target)) {
    const { version } = currentVersion(service);
    const why =
      target === undefined
        ? `no version before version ${version} was completed`
        : `version ${version} is what version ${target.version} was`;
    throw refusal('roll back', service, why, `See \`shoal service history ${name}\`.`);
  }
  const missing = missingFor(view, target.spec);
  if (missing !== undefined) {
    throw refusal(
      'roll back',
      service,
      `${missing}, which version ${target.version} used, is gone`,
      'Make it again first.',
    );
  }
  const object = rollBack(service, { cause: 'rollback', ...caller }, undefined, target);
  checkPorts(view, application, [object.spec]);
  checkForesight(view, application, [{ kind: 'service', action: 'update', object }]);
  return object;
}

/** The first thing that the spec uses and that is not there any more. */
function missingFor(view: View, spec: ServiceSpec): string | undefined {
  const known: Record<ResourceKind, Iterable<{ spec: { name: string }; removing?: boolean }>> = {
    network: view.networks.values(),
    volume: view.volumes.values(),
    secret: view.secrets.values(),
    config: view.configs.values(),
  };
  for (const kind of Object.keys(known) as ResourceKind[]) {
    const there = new Set<string>();
    for (const object of known[kind]) if (object.removing !== true) there.add(object.spec.name);
    const missing = namesIn(kind, spec.task).find((name) => !there.has(name));
    if (missing !== undefined) return `${kind} ${missing}`;
  }
  return undefined;
}

function restarted(service: Service, caller: Caller): Service {
  const { name, task } = service.spec;
  if (service.stopped === true) {
    throw refusal('restart', service, 'it is stopped', `Run \`shoal start ${name}\`.`);
  }
  const spec = { ...service.spec, task: { ...task, forceUpdate: task.forceUpdate + 1 } };
  return changeService(service, spec, { cause: 'restart', ...caller });
}

function paused(service: Service, { by }: Caller): Service {
  const { updateStatus: status } = service;
  if (status !== undefined && isPaused(status)) return service;
  if (status?.state !== 'updating' && status?.state !== 'rollback_started') {
    throw refusal(
      'pause',
      service,
      'no update of it is under way',
      `See \`shoal service history ${service.spec.name}\`.`,
    );
  }
  const isRollback = status.state === 'rollback_started';
  const failure = `asked for by ${by}`;
  const message = `${isRollback ? 'rollback' : 'update'} paused: ${failure}`;
  const state = isRollback ? 'rollback_paused' : 'paused';
  return { ...service, changedBy: by, updateStatus: { ...status, state, message, failure } };
}

function resumed(service: Service, { by, random }: Caller): Service {
  const { updateStatus: status } = service;
  if (status === undefined || !isPaused(status)) {
    throw refusal(
      'resume',
      service,
      'no update of it is paused',
      `See \`shoal service history ${service.spec.name}\`.`,
    );
  }
  const again = { ...resumeUpdate(service, random), changedBy: by };
  if (currentVersion(service).state !== 'failed') return again;
  return withCurrentVersion(again, { state: 'rolling', endedAt: undefined, failure: undefined });
}
