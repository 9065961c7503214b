import type { SeccompCondition, SeccompProfile } from '../../src/spec/seccomp.ts';

/** What decides which rules of a profile hold. */
interface Surroundings {
  /** Node's name of the machine: `x64`, `arm64`, … */
  architecture: string;
  /** Release of the kernel, `6.18.3-cloud`. */
  kernel: string;
  /** The container's, by full name. */
  capabilities: readonly string[];
}

/** Docker's names of machines by Node's, and libseccomp's. */
const architectures: Record<string, { docker: string; native: string }> = {
  x64: { docker: 'amd64', native: 'SCMP_ARCH_X86_64' },
  ia32: { docker: 'x86', native: 'SCMP_ARCH_X86' },
  arm64: { docker: 'arm64', native: 'SCMP_ARCH_AARCH64' },
  arm: { docker: 'arm', native: 'SCMP_ARCH_ARM' },
  ppc64: { docker: 'ppc64le', native: 'SCMP_ARCH_PPC64LE' },
  s390x: { docker: 's390x', native: 'SCMP_ARCH_S390X' },
  riscv64: { docker: 'riscv64', native: 'SCMP_ARCH_RISCV64' },
};

/** The seccomp section of a runtime specification from a profile in Docker's format: what of it holds here. */
export function seccompFromProfile(profile: SeccompProfile, here: Surroundings): object {
  const { defaultAction, defaultErrnoRet, flags, syscalls } = profile;
  const listed = architecturesOf(profile, here);
  return {
    defaultAction,
    ...(defaultErrnoRet !== undefined && { defaultErrnoRet }),
    ...(listed && { architectures: listed }),
    ...(flags && { flags }),
    syscalls: syscalls
      .filter(({ includes, excludes }) => holds(includes, here) && !isExcluded(excludes, here))
      .map(({ names, action, errnoRet, args }) => ({
        names,
        action,
        ...(errnoRet !== undefined && { errnoRet }),
        ...(args && { args }),
      })),
  };
}

function architecturesOf(profile: SeccompProfile, here: Surroundings): string[] | undefined {
  if (profile.architectures) return profile.architectures;
  const native = architectures[here.architecture]?.native;
  const entry = profile.archMap?.find(({ architecture }) => architecture === native);
  return entry && [entry.architecture, ...entry.subArchitectures];
}

function holds({ caps = [], arches = [], minKernel }: SeccompCondition = {}, here: Surroundings): boolean {
  return (
    caps.every((name) => here.capabilities.includes(name)) &&
    (arches.length === 0 || isOneOf(arches, here)) &&
    (minKernel === undefined || isAtLeast(here.kernel, minKernel))
  );
}

function isExcluded(
  { caps = [], arches = [], minKernel }: SeccompCondition = {},
  here: Surroundings,
): boolean {
  return (
    caps.some((name) => here.capabilities.includes(name)) ||
    isOneOf(arches, here) ||
    (minKernel !== undefined && isAtLeast(here.kernel, minKernel))
  );
}

function isOneOf(arches: readonly string[], { architecture }: Surroundings): boolean {
  return arches.includes(architectures[architecture]?.docker ?? architecture);
}

/** Whether a kernel's release, `6.18.3-cloud`, is that version or later, `4.8`. */
function isAtLeast(release: string, version: string): boolean {
  const numbers = (text: string) => text.split(/[.-]/).slice(0, 2).map(Number) as [number, number];
  const [[major, minor], [wantedMajor, wantedMinor]] = [numbers(release), numbers(version)];
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
