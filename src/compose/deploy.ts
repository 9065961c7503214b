import { defaultRestart, defaultUpdate } from '../spec/defaults.ts';
import type { RestartPolicy, ServiceMode, UpdatePolicy } from '../spec/service.ts';
import type { CanonicalService } from './model.ts';
import { durationMs } from './values.ts';

/**
 * Whether the service is a job: its programs run to their ends and are then done. It is a service like any other, but one
 * whose tasks are never started anew after they have ended well, and all of which begin at once.
 */
export function isJob({ deploy }: CanonicalService): boolean {
  return deploy?.mode === 'replicated-job' || deploy?.mode === 'global-job';
}

/** How many tasks the service has, and where. */
export function serviceMode({ deploy, scale }: CanonicalService): ServiceMode {
  if (deploy?.mode === 'global' || deploy?.mode === 'global-job') return { kind: 'global' };
  return { kind: 'replicated', replicas: deploy?.replicas ?? scale ?? 1 };
}

/** Whether the number of replicas is what `shoal scale` has made it: where the file says so, or says no number. */
export function keepsItsScale(service: CanonicalService): boolean {
  const { deploy, scale, 'x-shoal-keep-scale': said } = service;
  return said === true || (deploy?.replicas === undefined && scale === undefined && !isJob(service));
}

/** `deploy.restart_policy` decides; without it `restart` does, and without either Swarm's default. */
export function restartPolicy(service: CanonicalService): RestartPolicy {
  const policy = service.deploy?.restart_policy;
  const fallback: RestartPolicy = isJob(service)
    ? { ...defaultRestart, condition: 'on-failure' }
    : defaultRestart;
  if (policy !== undefined) {
    return {
      condition: policy.condition ?? fallback.condition,
      delayMs: policy.delay === undefined ? defaultRestart.delayMs : durationMs(policy.delay),
      maxAttempts: policy.max_attempts ?? defaultRestart.maxAttempts,
      windowMs: policy.window === undefined ? defaultRestart.windowMs : durationMs(policy.window),
    };
  }
  const [word = '', attempts] = (service.restart ?? '').split(':');
  if (word === 'no') return { ...defaultRestart, condition: 'none' };
  if (word !== 'on-failure') return fallback;
  return { ...defaultRestart, condition: 'on-failure', maxAttempts: Number(attempts ?? 0) };
}

/** A job that changes is not rolled: all of it runs anew. */
const jobUpdate: UpdatePolicy = { ...defaultUpdate, parallelism: 0, monitorMs: 0, failureAction: 'continue' };

export function updatePolicy(
  service: CanonicalService,
  name: 'update_config' | 'rollback_config',
): UpdatePolicy {
  if (isJob(service)) return jobUpdate;
  const given = service.deploy?.[name] ?? {};
  return {
    parallelism: given.parallelism ?? defaultUpdate.parallelism,
    delayMs: given.delay === undefined ? defaultUpdate.delayMs : durationMs(given.delay),
    failureAction: given.failure_action ?? defaultUpdate.failureAction,
    monitorMs: given.monitor === undefined ? defaultUpdate.monitorMs : durationMs(given.monitor),
    maxFailureRatio: given.max_failure_ratio ?? defaultUpdate.maxFailureRatio,
    order: given.order ?? defaultUpdate.order,
  };
}
