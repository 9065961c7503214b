import { defaultHealthcheck } from '../../src/spec/defaults.ts';
import type { Healthcheck } from '../../src/spec/service.ts';

/** A healthcheck with everything decided. */
export interface HealthPlan {
  command: string[];
  intervalMs: number;
  timeoutMs: number;
  startPeriodMs: number;
  startIntervalMs: number;
  retries: number;
}

export interface HealthState {
  /** Whether it has passed at least once. */
  healthy: boolean;
  /** Failures in a row that count. */
  failures: number;
  /** Probes made so far. */
  probes: number;
}

export interface ProbeResult {
  ok: boolean;
  /** How the check ended and the line that says most of what it printed, such as `exit 1: connection refused`. */
  output: string;
}

/** The first probe comes this long after the start, and the next ones at twice the distance each, up to the interval. */
const firstProbeMs = 100;

/** The healthcheck of a task: each field from the service, else the image, else the engine's default; undefined for none. */
export function healthPlan(
  own: Healthcheck | undefined,
  image: Healthcheck | undefined,
): HealthPlan | undefined {
  const [kind, ...rest] = own?.test ?? image?.test ?? ['NONE'];
  if (kind === undefined || kind === 'NONE' || rest.length === 0) return undefined;
  const command = kind === 'CMD-SHELL' ? ['/bin/sh', '-c', rest.join(' ')] : rest;
  const pick = (field: keyof typeof defaultHealthcheck) => {
    const value = own?.[field] ?? image?.[field];
    return value === undefined || value === 0 ? defaultHealthcheck[field] : value;
  };
  return {
    command,
    intervalMs: pick('intervalMs'),
    timeoutMs: pick('timeoutMs'),
    startPeriodMs: own?.startPeriodMs ?? image?.startPeriodMs ?? defaultHealthcheck.startPeriodMs,
    startIntervalMs: pick('startIntervalMs'),
    retries: pick('retries'),
  };
}

/**
 * What a probe's result means. Failures before the first success do not count within the start period, nor within the
 * first interval, in which the engine of Docker would not have looked at all.
 */
export function judge(
  plan: HealthPlan,
  state: HealthState,
  probe: ProbeResult,
  sinceStartMs: number,
): { state: HealthState; verdict?: 'healthy' | 'unhealthy' } {
  const probes = state.probes + 1;
  if (probe.ok) {
    const next = { healthy: true, failures: 0, probes };
    return state.healthy ? { state: next } : { state: next, verdict: 'healthy' };
  }
  const patience = Math.max(plan.startPeriodMs, plan.intervalMs);
  if (!state.healthy && sinceStartMs < patience) return { state: { ...state, probes } };
  const next = { ...state, probes, failures: state.failures + 1 };
  return next.failures >= plan.retries ? { state: next, verdict: 'unhealthy' } : { state: next };
}

/** What a person is told of the last check; empty when it has passed. `state` is the one that it led to. */
export function failingWords(plan: HealthPlan, state: HealthState, probe: ProbeResult): string {
  if (probe.ok) return '';
  if (state.failures === 0) return `the last check failed: ${probe.output}`;
  return plan.retries === 1
    ? `its check failed: ${probe.output}`
    : `${state.failures} of ${plan.retries} checks failed: ${probe.output}`;
}

/** How long to wait until the next probe. */
export function nextProbeMs(plan: HealthPlan, state: HealthState, sinceStartMs: number): number {
  if (state.healthy || state.failures > 0) return plan.intervalMs;
  const usual =
    sinceStartMs < plan.startPeriodMs ? Math.min(plan.startIntervalMs, plan.intervalMs) : plan.intervalMs;
  return Math.min(usual, firstProbeMs * 2 ** Math.min(state.probes, 20));
}
