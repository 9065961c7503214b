import { existsSync, readdirSync, readFileSync, statfsSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { capabilitiesIn } from './capabilities.ts';

/** What this machine has, as far as a container's specification depends on it. */
export interface HostFeatures {
  cgroupVersion: 1 | 2;
  /** Whether swap can be limited for a control group. */
  swapLimit: boolean;
  seccomp: boolean;
  /** Node's name of the machine: `x64`, `arm64`, … */
  architecture: string;
  /** Release of the kernel, `6.18.3`. */
  kernel: string;
  /** Hard limit of open files of this process. */
  openFilesMax: number;
  /** What this process could give to others, by full name. */
  capabilities: string[];
}

const cgroupRoot = '/sys/fs/cgroup';
/** `CGROUP2_SUPER_MAGIC` (statfs(2)). */
const cgroup2Magic = 0x63677270;

/** Looks at this machine. A hybrid layout, version 1 with an empty version 2 tree beside it, counts as version 1. */
export function hostFeatures(): HostFeatures {
  const status = readFileSync('/proc/self/status', 'utf8');
  const cgroupVersion = statfsSync(cgroupRoot).type === cgroup2Magic ? 2 : 1;
  return {
    cgroupVersion,
    swapLimit: canLimitSwap(cgroupRoot, cgroupVersion),
    seccomp: /^Seccomp:/m.test(status),
    architecture: process.arch,
    kernel: release(),
    openFilesMax: openFilesMax(readFileSync('/proc/self/limits', 'utf8')),
    capabilities: capabilitiesIn(/^CapBnd:\s*(\S+)/m.exec(status)?.[1] ?? '0'),
  };
}

/**
 * Whether the kernel counts swap for each control group: it can be built or started without. The root of version 2 has no
 * such file, so any group below it tells.
 */
export function canLimitSwap(root: string, version: 1 | 2): boolean {
  if (version === 1) return existsSync(join(root, 'memory', 'memory.memsw.limit_in_bytes'));
  const groups = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return groups.some(({ name }) => existsSync(join(root, name, 'memory.swap.max')));
}

/** The hard limit of open files in the text of /proc/self/limits (proc(5)): nobody without privileges goes beyond it. */
export function openFilesMax(limits: string): number {
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1];
  return hard === undefined || hard === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(hard);
}

/**
 * Whether the kernel has killed a process for want of memory, by the counter of the control group with this path
 * (cgroup v1 memory.txt, section 10; cgroup-v2.rst, `memory.events`). No when the group is gone.
 */
export function wasKilledForMemory(host: HostFeatures, path: string): boolean {
  const file =
    host.cgroupVersion === 2
      ? join(cgroupRoot, path, 'memory.events')
      : join(cgroupRoot, 'memory', path, 'memory.oom_control');
  try {
    const count = /^oom_kill (\d+)/m.exec(readFileSync(file, 'utf8'))?.[1];
    return Number(count ?? 0) > 0;
  } catch (error) {
    if (
      (error as NodeJS.ErrnoException).code === 'ENOENT' ||
      (error as NodeJS.ErrnoException).code === 'ENODEV'
    ) {
      return false;
    }
    throw error;
  }
}
