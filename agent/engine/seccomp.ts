/**
 * System calls that containers may not make. Most of them need a capability that containers do not have; they are denied
 * as well because a bug behind them is reached before the capability is looked at, or because a user namespace would give
 * the capability back. Everything else is allowed: unlike a list of allowed calls this one does not break programs that
 * are newer than it.
 */
const deniedCalls = {
  'loading code into the kernel, or another kernel':
    'init_module finit_module delete_module create_module kexec_load kexec_file_load bpf',
  'the machine as a whole':
    'reboot swapon swapoff acct quotactl quotactl_fd syslog vhangup settimeofday stime clock_settime clock_settime64 ioperm iopl',
  'calls that only very old programs know':
    'lookup_dcookie nfsservctl uselib _sysctl sysfs ustat vm86 vm86old',
  'mounts and namespaces':
    'mount umount umount2 pivot_root mount_setattr move_mount open_tree fsopen fsconfig fsmount fspick setns unshare',
  'reaching files and other processes around their checks':
    'open_by_handle_at fanotify_init perf_event_open userfaultfd kcmp',
  'keys, which namespaces do not keep apart': 'add_key request_key keyctl',
  'a second way into the kernel, which seccomp does not see':
    'io_uring_setup io_uring_enter io_uring_register',
};

const errnoPermission = 1;
const errnoNoSystemCall = 38;
/** `clone(2)`: new mount, cgroup, uts, ipc, user, pid and network namespaces. */
const namespaceFlags =
  0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000;

const architectures: Record<string, string[]> = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
};

const namespaceFlagsOf = (flag: number) => ({
  index: 0,
  value: flag,
  valueTwo: flag,
  op: 'SCMP_CMP_MASKED_EQ',
});

/** The seccomp section of a runtime specification for this machine (Node's name for its architecture). */
export function seccompProfile(architecture: string): object {
  const flags = Array.from({ length: 31 }, (_, bit) => 2 ** bit).filter(
    (flag) => (namespaceFlags & flag) !== 0,
  );
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    ...(architectures[architecture] && { architectures: architectures[architecture] }),
    syscalls: [
      {
        names: Object.values(deniedCalls).flatMap((names) => names.split(' ')),
        action: 'SCMP_ACT_ERRNO',
        errnoRet: errnoPermission,
      },
      // one rule a flag: each of them is enough
      ...flags.map((flag) => ({
        names: ['clone'],
        action: 'SCMP_ACT_ERRNO',
        errnoRet: errnoPermission,
        args: [namespaceFlagsOf(flag)],
      })),
      // its flags are behind a pointer that seccomp cannot follow; the C libraries fall back to clone
      { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: errnoNoSystemCall },
    ],
  };
}
