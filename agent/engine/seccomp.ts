import {
  namespaceFlags,
  callsByCapability,
  callsOfAll,
  callsOfMachine,
  personalities,
} from './seccomp-calls.ts';

/**
 * Docker's default profile, in effect: what is not listed may not be called (EPERM). `seccomp-calls.ts` holds the lists,
 * decision 0033 what was compared.
 */

const errnoPermission = 1;
const errnoNoSystemCall = 38;
/** `AF_VSOCK` (socket(2)): the way from a virtual machine to its host, which no namespace divides. */
const addressFamilyVsock = 40;

const architectures: Record<string, string[]> = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
  s390x: ['SCMP_ARCH_S390X', 'SCMP_ARCH_S390'],
  riscv64: ['SCMP_ARCH_RISCV64'],
};

interface Argument {
  index: number;
  value: number;
  valueTwo?: number;
  op: string;
}

export interface SeccompRule {
  names: string[];
  action: string;
  errnoRet?: number;
  args?: Argument[];
}

export interface SeccompSection {
  defaultAction: string;
  defaultErrnoRet: number;
  architectures?: string[];
  syscalls: SeccompRule[];
}

/**
 * The seccomp section of a runtime specification for this machine (Node's name for its architecture) and a container
 * with these capabilities.
 */
export function seccompProfile(architecture: string, capabilities: readonly string[]): SeccompSection {
  const has = (name: string) => capabilities.includes(`CAP_${name}`);
  const given = Object.entries(callsByCapability).filter(([name]) => has(name));
  const names = new Set([
    ...callsOfAll,
    ...(callsOfMachine[architecture] ?? []),
    ...given.flatMap(([, calls]) => calls),
  ]);
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: errnoPermission,
    ...(architectures[architecture] && { architectures: architectures[architecture] }),
    syscalls: [
      { names: [...names].sort(), action: 'SCMP_ACT_ALLOW' },
      allowedWhen('socket', { index: 0, value: addressFamilyVsock, op: 'SCMP_CMP_NE' }),
      ...personalities.map((value) => allowedWhen('personality', { index: 0, value, op: 'SCMP_CMP_EQ' })),
      ...(has('SYS_ADMIN') ? [] : withoutNamespaces(architecture)),
    ],
  };
}

/** New processes and threads, but no new namespaces. */
function withoutNamespaces(architecture: string): SeccompRule[] {
  const index = architecture === 's390x' ? 1 : 0; // its clone(2) takes the flags second
  return [
    allowedWhen('clone', { index, value: namespaceFlags, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }),
    // its flags are behind a pointer that seccomp cannot follow; the C libraries fall back to clone
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: errnoNoSystemCall },
  ];
}

function allowedWhen(name: string, argument: Argument): SeccompRule {
  return { names: [name], action: 'SCMP_ACT_ALLOW', args: [argument] };
}
