/** What the default seccomp profile allows. Facts of Docker's profile, in an order of our own. */

const words = (...lines: string[]) => lines.flatMap((line) => line.split(' '));

/** Calls that every container may make, whatever their arguments. */
export const callsOfAll: readonly string[] = words(
  // clocks, timers, sleeping
  'adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime',
  'clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep pause',
  'setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64',
  'timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime',
  'timerfd_settime64 times',
  // signals
  'kill pidfd_open pidfd_send_signal restart_syscall rt_sigaction rt_sigpending rt_sigprocmask',
  'rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo',
  'sigaltstack signalfd signalfd4 sigprocmask sigreturn tgkill tkill',
  // users, groups, capabilities
  'capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid',
  'getresgid32 getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid',
  'setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32',
  'setreuid setreuid32 setuid setuid32',
  // sockets
  'accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg',
  'recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair',
  // waiting for several things
  '_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait',
  'epoll_wait_old eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1',
  'inotify_rm_watch poll ppoll ppoll_time64 pselect6 pselect6_time64 select',
  // extended attributes
  'fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat',
  'llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat',
  // memory
  'brk cachestat fadvise64 fadvise64_64 madvise map_shadow_stack membarrier memfd_create memfd_secret',
  'mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap',
  'pkey_alloc pkey_free pkey_mprotect readahead remap_file_pages',
  // messages, semaphores and shared memory
  'ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend',
  'mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop',
  'semtimedop_time64 shmat shmctl shmdt shmget',
  // processes and their scheduling
  'execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv',
  'futex_wake get_robust_list get_thread_area getcpu getpgid getpgrp getpid getppid getpriority',
  'getrlimit getrusage getsid gettid ioprio_get ioprio_set landlock_add_rule landlock_create_ruleset',
  'landlock_restrict_self prctl prlimit64 process_mrelease process_vm_readv process_vm_writev ptrace',
  'rseq sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam',
  'sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity',
  'sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_robust_list set_thread_area',
  'set_tid_address setpgid setpriority setrlimit setsid ugetrlimit uretprobe vfork wait4 waitid waitpid',
  // asynchronous input and output
  'io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit',
  // files
  '_llseek access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3',
  'faccessat faccessat2 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl',
  'fcntl64 fdatasync flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64',
  'futimesat getcwd getdents getdents64 getrandom ioctl lchown lchown32 link linkat lseek lstat lstat64',
  'mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64',
  'preadv preadv2 pwrite64 pwritev pwritev2 read readlink readlinkat readv rename renameat renameat2',
  'rmdir sendfile sendfile64 splice stat stat64 statfs statfs64 statx symlink symlinkat sync',
  'sync_file_range syncfs sysinfo tee truncate truncate64 umask uname unlink unlinkat utime utimensat',
  'utimensat_time64 utimes vmsplice write writev',
);

/** Calls that only some machines have, by Node's names of those. */
export const callsOfMachine: Readonly<Record<string, readonly string[]>> = {
  x64: words('arch_prctl modify_ldt'),
  ia32: words('modify_ldt'),
  arm64: words('arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls'),
  arm: words('arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls'),
  ppc64: words('sync_file_range2 swapcontext'),
  s390x: words('s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr'),
  riscv64: words('riscv_flush_icache riscv_hwprobe'),
};

/** Calls that come with a capability, for without it the kernel refuses them, or should. */
export const callsByCapability: Readonly<Record<string, readonly string[]>> = {
  BPF: words('bpf'),
  DAC_READ_SEARCH: words('open_by_handle_at'),
  PERFMON: words('perf_event_open'),
  SYSLOG: words('syslog'),
  SYS_ADMIN: words(
    'mount mount_setattr move_mount open_tree umount umount2 fsconfig fsmount fsopen fspick listmount statmount',
    'clone clone3 setns unshare sethostname setdomainname',
    'bpf fanotify_init lookup_dcookie perf_event_open quotactl quotactl_fd syslog',
    'lsm_get_self_attr lsm_list_modules lsm_set_self_attr',
  ),
  SYS_BOOT: words('reboot'),
  SYS_CHROOT: words('chroot'),
  SYS_MODULE: words('delete_module finit_module init_module'),
  SYS_NICE: words('get_mempolicy mbind set_mempolicy set_mempolicy_home_node'),
  SYS_PACCT: words('acct'),
  SYS_PTRACE: words('kcmp pidfd_getfd process_madvise'),
  SYS_RAWIO: words('ioperm iopl'),
  SYS_TIME: words('clock_settime clock_settime64 settimeofday stime'),
  SYS_TTY_CONFIG: words('vhangup'),
};

/** Of personality(2): Linux, BSD, each also with `UNAME26`, and asking which it is. */
export const personalities: readonly number[] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/** Of clone(2): new mount, cgroup, uts, ipc, user, pid and network namespaces. */
export const namespaceFlags =
  0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000;
