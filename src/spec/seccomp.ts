/**
 * A seccomp profile as Docker's users write it (docs.docker.com, "Seccomp security profiles for Docker"). Which of its
 * rules hold depends on the host and on the container's capabilities.
 */
export interface SeccompProfile {
  /** What becomes of a call that no rule names, `SCMP_ACT_ERRNO`. */
  defaultAction: string;
  defaultErrnoRet?: number;
  /** `SCMP_ARCH_X86_64`; absent: by `archMap`, or the host's own. */
  architectures?: string[];
  archMap?: { architecture: string; subArchitectures: string[] }[];
  flags?: string[];
  syscalls: SeccompRule[];
}

export interface SeccompRule {
  names: string[];
  action: string;
  errnoRet?: number;
  args?: { index: number; value: number; valueTwo: number; op: string }[];
  /** The rule holds only where all of this does. */
  includes?: SeccompCondition;
  /** The rule does not hold where any of this does. */
  excludes?: SeccompCondition;
}

export interface SeccompCondition {
  /** `CAP_SYS_ADMIN` */
  caps?: string[];
  /** Names of architectures as Docker has them, `amd64`. */
  arches?: string[];
  /** `4.8` */
  minKernel?: string;
}

/** A profile with more rules than this is not taken. */
export const seccompRulesMax = 1_000;
