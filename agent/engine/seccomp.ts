/**
 * System calls that containers may not make. Most of them need a capability that containers do not have; they are denied
 * as well because a bug behind them is reached before the capability is looked at, or because a user namespace would give
 * the capability back. Everything else is allowed: unlike a list of allowed calls this one does not break programs that
 * are newer than it. `unless` one of these capabilities was given, for then the call is wanted.
 */
const deniedCalls: { why: string; calls: string; unless?: string[] }[] = [
  {
    why: 'loading code into the kernel',
    calls: 'init_module finit_module delete_module create_module',
    unless: ['SYS_MODULE'],
  },
  { why: 'another kernel, or none', calls: 'kexec_load kexec_file_load reboot', unless: ['SYS_BOOT'] },
  { why: 'programs in the kernel', calls: 'bpf', unless: ['BPF', 'SYS_ADMIN'] },
  { why: 'what all processes do', calls: 'perf_event_open', unless: ['PERFMON', 'SYS_ADMIN'] },
  {
    why: 'the clock of the machine',
    calls: 'settimeofday stime clock_settime clock_settime64',
    unless: ['SYS_TIME'],
  },
  { why: 'its accounts', calls: 'acct', unless: ['SYS_PACCT'] },
  { why: 'its log', calls: 'syslog', unless: ['SYSLOG', 'SYS_ADMIN'] },
  { why: 'its terminals', calls: 'vhangup', unless: ['SYS_TTY_CONFIG'] },
  { why: 'its ports', calls: 'ioperm iopl', unless: ['SYS_RAWIO'] },
  { why: 'the machine as a whole', calls: 'swapon swapoff quotactl quotactl_fd', unless: ['SYS_ADMIN'] },
  {
    why: 'mounts and namespaces',
    calls:
      'mount umount umount2 pivot_root mount_setattr move_mount open_tree fsopen fsconfig fsmount fspick setns unshare',
    unless: ['SYS_ADMIN'],
  },
  { why: 'reaching files around their checks', calls: 'open_by_handle_at', unless: ['DAC_READ_SEARCH'] },
  { why: 'watching all files', calls: 'fanotify_init', unless: ['SYS_ADMIN'] },
  { why: 'looking into other processes', calls: 'userfaultfd kcmp', unless: ['SYS_PTRACE'] },
  {
    why: 'calls that only very old programs know',
    calls: 'lookup_dcookie nfsservctl uselib _sysctl sysfs ustat vm86 vm86old',
  },
  { why: 'keys, which namespaces do not keep apart', calls: 'add_key request_key keyctl' },
  {
    why: 'a second way into the kernel, which seccomp does not see',
    calls: 'io_uring_setup io_uring_enter io_uring_register',
  },
];

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

/**
 * The seccomp section of a runtime specification for this machine (Node's name for its architecture) and a container
 * with these capabilities.
 */
export function seccompProfile(architecture: string, capabilities: readonly string[]): object {
  const has = (name: string) => capabilities.includes(`CAP_${name}`);
  const denied = deniedCalls.filter(({ unless = [] }) => !unless.some(has));
  const flags = Array.from({ length: 31 }, (_, bit) => 2 ** bit).filter(
    (flag) => (namespaceFlags & flag) !== 0,
  );
  const noNamespaces = [
    // one rule a flag: each of them is enough
    ...flags.map((flag) => ({
      names: ['clone'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: errnoPermission,
      args: [namespaceFlagsOf(flag)],
    })),
    // its flags are behind a pointer that seccomp cannot follow; the C libraries fall back to clone
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: errnoNoSystemCall },
  ];
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    ...(architectures[architecture] && { architectures: architectures[architecture] }),
    syscalls: [
      {
        names: denied.flatMap(({ calls }) => calls.split(' ')),
        action: 'SCMP_ACT_ERRNO',
        errnoRet: errnoPermission,
      },
      ...(has('SYS_ADMIN') ? [] : noNamespaces),
    ],
  };
}
