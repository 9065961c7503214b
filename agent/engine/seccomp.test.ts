import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { systemCalls } from '../../test/system-calls.ts';
import type { SeccompProfile } from '../../src/spec/seccomp.ts';
import { seccompFromProfile } from './seccomp-profile.ts';
import { seccompProfile, type SeccompRule, type SeccompSection } from './seccomp.ts';

/** Docker's default capabilities, as far as calls depend on them. */
const usual = ['CAP_AUDIT_WRITE', 'CAP_CHOWN', 'CAP_MKNOD', 'CAP_SYS_CHROOT'];
const profile = (...more: string[]) => seccompProfile('x64', [...usual, ...more]);

function matches({ args = [] }: SeccompRule, given: readonly number[]): boolean {
  return args.every(({ index, value, valueTwo = 0, op }) => {
    const argument = given[index] ?? 0;
    if (op === 'SCMP_CMP_EQ') return argument === value;
    if (op === 'SCMP_CMP_NE') return argument !== value;
    return Number(BigInt(argument) & BigInt(value)) === valueTwo;
  });
}

/** What becomes of a call: `allowed`, or the number of its error. */
function verdict(section: SeccompSection, call: string, ...args: number[]): 'allowed' | number {
  const rules = section.syscalls.filter(({ names }) => names.includes(call));
  const rule = rules.find((each) => matches(each, args));
  if (rule === undefined) return section.defaultErrnoRet;
  return rule.action === 'SCMP_ACT_ALLOW' ? 'allowed' : rule.errnoRet!;
}

const isConditional = (section: SeccompSection, call: string) =>
  section.syscalls.some(({ names, args }) => names.includes(call) && args !== undefined);

test('of all calls of the kernel these are refused, and these depend on their arguments; all others are allowed', () => {
  const plain = profile();
  const conditional = systemCalls.filter((call) => isConditional(plain, call));
  expect(conditional).toEqual(['socket', 'clone', 'personality']);
  const refused = systemCalls.filter(
    (call) => !conditional.includes(call) && verdict(plain, call) !== 'allowed',
  );
  expect(refused.filter((call) => verdict(plain, call) === 38)).toEqual(['clone3']);
  expect(refused.filter((call) => verdict(plain, call) === 1)).toEqual(
    [
      // old, and not there any more
      'uselib ustat sysfs _sysctl create_module get_kernel_syms query_module nfsservctl getpmsg putpmsg afs_syscall',
      'tuxcall security lookup_dcookie vserver',
      // the machine: modules, other kernels, clocks, ports, accounts, disks, its log
      'vhangup acct settimeofday clock_settime swapon swapoff reboot iopl ioperm init_module finit_module delete_module',
      'kexec_load kexec_file_load quotactl quotactl_fd syslog',
      // mounts, names and namespaces
      'pivot_root mount umount2 sethostname setdomainname unshare setns open_tree move_mount fsopen fsconfig fsmount',
      'fspick mount_setattr open_by_handle_at statmount listmount open_tree_attr',
      // memory of other nodes, and other processes
      'mbind set_mempolicy get_mempolicy migrate_pages move_pages set_mempolicy_home_node kcmp pidfd_getfd',
      'process_madvise userfaultfd',
      // ways into the kernel
      'add_key request_key keyctl perf_event_open fanotify_init bpf io_uring_setup io_uring_enter io_uring_register',
      'uprobe lsm_get_self_attr lsm_set_self_attr lsm_list_modules file_getattr file_setattr',
    ]
      .flatMap((line) => line.split(' '))
      .sort((left, right) => systemCalls.indexOf(left) - systemCalls.indexOf(right)),
  );
});

test('what arguments decide', () => {
  const plain = profile();
  const [unix, internet, vsock] = [1, 2, 40];
  expect([unix, internet, vsock].map((family) => verdict(plain, 'socket', family))).toEqual([
    'allowed',
    'allowed',
    1,
  ]);
  const personalities = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff, 0x4_0000, 0x10_0000];
  expect(personalities.map((value) => verdict(plain, 'personality', value))).toEqual([
    ...Array.from({ length: 5 }, () => 'allowed'),
    1,
    1,
  ]);
  const [thread, newUser, newNetwork] = [0x3d_0f00, 0x1000_0000, 0x4000_0000];
  expect([thread, newUser, thread + newNetwork].map((flags) => verdict(plain, 'clone', flags))).toEqual([
    'allowed',
    1,
    1,
  ]);
  const able = profile('CAP_SYS_ADMIN');
  expect([newUser, thread + newNetwork].map((flags) => verdict(able, 'clone', flags))).toEqual([
    'allowed',
    'allowed',
  ]);
  expect(verdict(able, 'clone3')).toBe('allowed');
  expect(verdict(seccompProfile('s390x', []), 'clone', newUser, thread)).toBe('allowed');
});

test('a capability brings the calls that it is for, and no others', () => {
  const more = (capability: string) =>
    systemCalls.filter((call) => verdict(profile(), call) !== verdict(profile(capability), call));
  expect(more('CAP_BPF')).toEqual(['bpf']);
  expect(more('CAP_DAC_READ_SEARCH')).toEqual(['open_by_handle_at']);
  expect(more('CAP_PERFMON')).toEqual(['perf_event_open']);
  expect(more('CAP_SYSLOG')).toEqual(['syslog']);
  expect(more('CAP_SYS_BOOT')).toEqual(['reboot']);
  expect(more('CAP_SYS_MODULE')).toEqual(['init_module', 'delete_module', 'finit_module']);
  expect(more('CAP_SYS_NICE')).toEqual([
    'mbind',
    'set_mempolicy',
    'get_mempolicy',
    'set_mempolicy_home_node',
  ]);
  expect(more('CAP_SYS_PACCT')).toEqual(['acct']);
  expect(more('CAP_SYS_PTRACE')).toEqual(['kcmp', 'pidfd_getfd', 'process_madvise']);
  expect(more('CAP_SYS_RAWIO')).toEqual(['iopl', 'ioperm']);
  expect(more('CAP_SYS_TIME')).toEqual(['settimeofday', 'clock_settime']);
  expect(more('CAP_SYS_TTY_CONFIG')).toEqual(['vhangup']);
  expect(more('CAP_NET_ADMIN')).toEqual([]);
  const never = ['pivot_root', 'keyctl', 'userfaultfd', 'kexec_load', 'io_uring_setup', 'swapon'];
  expect(more('CAP_SYS_ADMIN')).toEqual(expect.arrayContaining(['mount', 'unshare', 'statmount']));
  expect(more('CAP_SYS_ADMIN')).toEqual(expect.not.arrayContaining(never));
  expect(verdict(seccompProfile('x64', []), 'chroot')).toBe(1);
});

test('the list of calls is the kernel’s, where its headers are', () => {
  const header = '/usr/include/x86_64-linux-gnu/asm/unistd_64.h';
  if (!existsSync(header)) return;
  const named = [...readFileSync(header, 'utf8').matchAll(/^#define __NR_(\w+) /gm)].map(([, name]) => name);
  expect(named.filter((name) => !systemCalls.includes(name!))).toEqual([]);
});

/** Debian's golang-github-docker-docker-dev has Docker's own of 20.10. */
const dockerProfile =
  process.env['DOCKER_SECCOMP'] ??
  '/usr/share/gocode/src/github.com/docker/docker/profiles/seccomp/default.json';

test.skipIf(!existsSync(dockerProfile))(
  'it differs from the profile of Docker 20.10 in what later ones changed',
  () => {
    const theirs = JSON.parse(readFileSync(dockerProfile, 'utf8')) as SeccompProfile;
    const differing = (...capabilities: string[]) => {
      const here = { architecture: 'x64', kernel: '6.18.0', capabilities };
      const parsed = seccompFromProfile(theirs, here) as Omit<SeccompSection, 'defaultErrnoRet'>;
      const [old, ours] = [{ ...parsed, defaultErrnoRet: 1 }, seccompProfile('x64', capabilities)];
      const samples = [[0], [40], [8], [0x4_0000], [0x1000_0000]];
      return systemCalls.filter((call) =>
        samples.some((args) => verdict(old, call, ...args) !== verdict(ours, call, ...args)),
      );
    };
    const later =
      'socket pkey_mprotect pkey_alloc pkey_free name_to_handle_at process_vm_readv process_vm_writev uretprobe io_uring_setup io_uring_enter io_uring_register cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue mseal setxattrat getxattrat listxattrat removexattrat';
    expect(differing(...usual).sort()).toEqual(later.split(' ').sort());
  },
);
