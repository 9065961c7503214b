import type { CpuSettings, MemorySettings } from '../../src/spec/settings.ts';
import type { ContainerCreate } from './engine.ts';
import type { HostFeatures } from './host.ts';

const cpuPeriodUs = 100_000;

/** The control group settings of a container but for its devices (OCI runtime specification, "Control groups"). */
export function containerResources(
  { limits, reservations, settings }: ContainerCreate,
  { swapLimit }: Pick<HostFeatures, 'swapLimit'>,
): Record<string, object> {
  const memory = {
    ...(limits.memoryBytes !== undefined && {
      limit: limits.memoryBytes,
      // as Docker has it: as much swap as memory; without this line all the swap of the host
      ...(swapLimit && { swap: 2 * limits.memoryBytes }),
    }),
    ...(reservations.memoryBytes !== undefined && { reservation: reservations.memoryBytes }),
    ...memorySettings(settings?.memory ?? {}),
  };
  const cpu = {
    ...(limits.nanoCpus !== undefined && {
      quota: Math.max(1000, Math.round((limits.nanoCpus * cpuPeriodUs) / 1e9)),
      period: cpuPeriodUs,
    }),
    // a reservation is also a claim when CPUs are scarce: 1024 shares for each
    ...(reservations.nanoCpus !== undefined && {
      shares: Math.max(2, Math.round((reservations.nanoCpus * 1024) / 1e9)),
    }),
    ...cpuSettings(settings?.cpu ?? {}),
  };
  return {
    ...(Object.keys(memory).length > 0 && { memory }),
    ...(Object.keys(cpu).length > 0 && { cpu }),
    ...(limits.pids !== undefined && { pids: { limit: limits.pids } }),
  };
}

function memorySettings({ withSwapBytes, swappiness, disableOomKill }: MemorySettings): object {
  return {
    ...(withSwapBytes !== undefined && { swap: withSwapBytes }),
    ...(swappiness !== undefined && { swappiness }),
    ...(disableOomKill !== undefined && { disableOOMKiller: disableOomKill }),
  };
}

function cpuSettings(cpu: CpuSettings): object {
  return {
    ...(cpu.set !== undefined && { cpus: cpu.set }),
    ...(cpu.shares !== undefined && { shares: cpu.shares }),
    ...(cpu.quotaUs !== undefined && { quota: cpu.quotaUs }),
    ...(cpu.periodUs !== undefined && { period: cpu.periodUs }),
    ...(cpu.realtimeRuntimeUs !== undefined && { realtimeRuntime: cpu.realtimeRuntimeUs }),
    ...(cpu.realtimePeriodUs !== undefined && { realtimePeriod: cpu.realtimePeriodUs }),
  };
}
